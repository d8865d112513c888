"""Real applications with --gevent: whatever waits lets others run, and nobody sees what is another's."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import Database
from tests.support.server import APPS, REPOSITORY, ServerProcess
from tests.support.waiting import wait_until

pytest.importorskip("gevent")

CORES = 30
GEVENT = ("--http-socket", "127.0.0.1:0", "--gevent", str(CORES))
# What must take a second takes this much at most on a machine that is busy with other tests; one after the other it
# would be ten.
PATIENCE = 5.0


@pytest.fixture(scope="module")
def flask() -> Iterator[ServerProcess]:
    """One worker for all tests that need no database."""
    with ServerProcess(*GEVENT, "--module", "green_flask:slow_resolver()") as server:
        yield server


def get(server: ServerProcess, path: str) -> str:
    response = server.get(path)
    assert response.status == 200, response.body
    return response.body.decode()


def together(server: ServerProcess, paths: list[str]) -> tuple[float, list[str]]:
    """Ask for all of them at once: seconds until the last answer, and the answers."""
    with ThreadPoolExecutor(len(paths)) as clients:
        started = time.monotonic()
        answers = list(clients.map(lambda path: get(server, path), paths))
        return time.monotonic() - started, answers


# --- what waits -------------------------------------------------------------------------------------------------------


def test_sleep(flask: ServerProcess) -> None:
    """Twenty seconds of sleep in about one."""
    took, answers = together(flask, ["/sleep/1.0"] * 20)
    assert 1 <= took < PATIENCE
    assert set(answers) == {"slept"}


@pytest.mark.parametrize("library", ["requests", "urllib3"])
def test_calls_of_another_server(flask: ServerProcess, library: str) -> None:
    """The application calls itself: with a core that blocks it would never answer."""
    took, answers = together(flask, [f"/fetch/{library}?url={flask.url}/sleep/1.0"] * 10)
    assert 1 <= took < PATIENCE
    assert set(answers) == {"slept"}


def test_subprocess(flask: ServerProcess) -> None:
    """Programs run beside each other, their output and their end are waited for without holding anybody up."""
    with ThreadPoolExecutor(1) as client:
        started = time.monotonic()
        slow = client.submit(get, flask, "/run/3.0")
        _, answers = together(flask, ["/run/0.0"] * 4)
        assert set(answers) == {"ran\n"}
        assert not slow.done()
        assert time.monotonic() - started < 3
        assert slow.result() == "ran\n"


def test_names(flask: ServerProcess) -> None:
    """A name server that takes long holds up who asked it, and nobody else."""
    with ThreadPoolExecutor(1) as client:
        slow = client.submit(get, flask, "/resolve/slow.test")
        served = 0
        while not slow.done():
            started = time.monotonic()
            assert get(flask, "/isolated/x")
            assert time.monotonic() - started < 0.9
            served += 1
        assert slow.result() == "('127.0.0.1', 80)"
        assert served > 2


def test_futures(flask: ServerProcess) -> None:
    """A pool inside a request; its threads are greenlets, which wait beside each other, too."""
    took, answers = together(flask, ["/futures/1.0"] * 5)
    assert 1 <= took < PATIENCE
    assert set(answers) == {"6"}


def test_server_sent_events(flask: ServerProcess) -> None:
    """As many listeners as there are cores but one; each hears all, the worker notices when they leave."""
    with ExitStack() as stack:
        crowd = [stack.enter_context(flask.connect()) for _ in range(CORES - 1)]
        for client in crowd:
            client.send(b"GET /events HTTP/1.1\r\nHost: t\r\n\r\n")
        for client in crowd:
            client.read_until(b": welcome\n\n")
        for text in (b"one", b"two"):
            assert post(flask, "/events", text) == str(CORES - 1).encode()
        for client in crowd:
            assert client.read_until(b"data: two\n\n").count(b"data: one\n\n") == 1
    wait_until(lambda: post(flask, "/events", b"?") == b"0", 20, what="the listeners to be gone")


def test_long_polling(flask: ServerProcess) -> None:
    """All who wait get the answer when there is one."""
    with ThreadPoolExecutor(10) as clients:
        waiting = [clients.submit(get, flask, "/news/0") for _ in range(10)]
        assert get(flask, "/sleep/0.2") == "slept"
        assert not any(one.done() for one in waiting)
        assert post(flask, "/news", b"rain") == b"told"
        assert {one.result() for one in waiting} == {"rain"}


def post(server: ServerProcess, path: str, body: bytes) -> bytes:
    with server.connect() as client:
        client.send(b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body))
        return client.receive().body


# --- what is one's own ------------------------------------------------------------------------------------------------


def test_isolation(flask: ServerProcess) -> None:
    """Threads' locals, context variables and Flask's `g` and `request` belong to one request, core after core."""
    names = [f"{number}" for number in range(4 * CORES)]
    with ThreadPoolExecutor(CORES) as clients:
        seen = [json.loads(answer) for answer in clients.map(lambda name: get(flask, f"/isolated/{name}"), names)]
    for name, facts in zip(names, seen, strict=True):
        assert (facts["variable"], facts["local"], facts["g"]) == (name, name, name)
        assert facts["before"] == "unset", "a context variable of an earlier request"
        assert facts["path"] == f"/isolated/{name}"


def test_more_requests_than_cores(flask: ServerProcess) -> None:
    """The rest waits for its turn."""
    took, answers = together(flask, ["/sleep/0.5"] * (2 * CORES))
    assert took >= 1
    assert len(answers) == 2 * CORES


# --- databases --------------------------------------------------------------------------------------------------------


def test_sqlalchemy(postgres: Database) -> None:
    """Queries run beside each other on connections of the pool; nobody's connection is taken in the middle."""
    options = (*GEVENT, "--module", "green_flask:app")
    with ServerProcess(*options, environment={"DATABASE_URL": postgres.url}) as server:
        took, answers = together(server, ["/query/1.0"] * 10)
        assert 1 <= took < PATIENCE
        pids = [answer.split() for answer in answers]
        assert all(first == second for first, second in pids)
        assert len({first for first, _ in pids}) == 10
        together(server, ["/query/0.01"] * CORES)  # more than the pool has: they wait for each other
        assert len(postgres.clients()) <= 10
        assert server.stop() == 0
        assert "Traceback" not in server.log


def django(database: dict[str, Any], *options: str) -> ServerProcess:
    """The Django project on a database."""
    return ServerProcess(
        *GEVENT, "--module", "green_django.wsgi", *options, environment={"GREEN_DATABASE": json.dumps(database)}
    )


@pytest.mark.parametrize("age", [0, 60])
def test_django_on_postgresql(postgres: Database, age: int) -> None:
    """Connections are a greenlet's own: closed after each request, or kept for its next one, never used by two."""
    with django({**postgres.django, "CONN_MAX_AGE": age}) as server:
        took, answers = together(server, ["/asleep/1000"] * 10)
        assert 1 <= took < PATIENCE
        first = [json.loads(answer) for answer in answers]
        assert len({one["pid"] for one in first}) == 10
        for _ in range(3):
            _, answers = together(server, ["/asleep/20"] * (2 * CORES))
            for facts in map(json.loads, answers):
                assert facts["pid"] == facts["again"]
                assert facts["shared"] == []
        if age:
            clients = postgres.clients()
            assert 0 < len(clients) <= CORES
            before = {pid for pid, _, _ in clients}
            reused = [json.loads(get(server, "/asleep/0"))["pid"] for _ in range(5)]
            assert set(reused) <= before, "a kept connection is used again"
        else:
            wait_until(lambda: postgres.clients() == [], 20, what="the connections to be closed")
        assert server.stop() == 0
        wait_until(lambda: postgres.clients() == [], 20, what="the connections to be closed")
        assert "Traceback" not in server.log


def test_django_transactions_on_postgresql(postgres: Database) -> None:
    """Transactions of requests that take turns do not mix, and one that fails is undone alone."""
    with django({**postgres.django, "CONN_MAX_AGE": 60}) as server:
        assert get(server, "/reset") == "made"
        with ThreadPoolExecutor(10) as clients:
            failed = [clients.submit(server.get, "/fail") for _ in range(10)]
            _, answers = together(server, [f"/write/note-{number}" for number in range(20)])
            assert {one.result().status for one in failed} == {500}
        assert [json.loads(answer)["text"] for answer in answers] == [f"NOTE-{number}" for number in range(20)]
        assert json.loads(get(server, "/count")) == {"notes": 20}


def test_django_on_sqlite(tmp_path: Path) -> None:
    """SQLite belongs to the thread that opened it; writers that overlap wait for each other."""
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "notes.sqlite3"),
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
        "CONN_MAX_AGE": 60,
    }
    with django(database) as server:
        assert get(server, "/reset") == "made"
        answers = [get(server, f"/write/note-{number}") for number in range(5)]
        assert [json.loads(answer)["text"] for answer in answers] == [f"NOTE-{number}" for number in range(5)]
        _, counts = together(server, ["/count"] * (2 * CORES))
        assert {json.loads(one)["notes"] for one in counts} == {5}
        assert "SQLite objects created in a thread" not in server.log
        assert server.stop() == 0


def test_connections_are_not_inherited(postgres: Database, tmp_path: Path) -> None:
    """Two workers, forked from a process that had asked the database while it loaded the application."""
    (tmp_path / "asks.py").write_text(
        "from green_django.wsgi import application\n"
        "from django.db import connection\n"
        "with connection.cursor() as cursor:\n    cursor.execute('SELECT 1')\n"
    )
    environment = {"GREEN_DATABASE": json.dumps({**postgres.django, "CONN_MAX_AGE": 60})}
    options = (*GEVENT, "--module", "asks", "--processes", "2")
    with ServerProcess(*options, environment=environment, directory=tmp_path) as server:
        for _ in range(3):
            _, answers = together(server, ["/asleep/50"] * 20)
            for facts in map(json.loads, answers):
                assert facts["pid"] == facts["again"]
        assert "Traceback" not in server.log


# --- said in the framework's settings ---------------------------------------------------------------------------------


def test_django_setting(tmp_path: Path) -> None:
    """UWSGI = {"gevent": …}; the patches come before everything, although manage.py has imported Django already."""
    (tmp_path / "green_settings.py").write_text(
        "from green_django.settings import *\n"
        "INSTALLED_APPS = [*INSTALLED_APPS, 'django_integration']\n"
        "WSGI_APPLICATION = 'green_django.wsgi.application'\n"
        "UWSGI = {'gevent': 20}\n"
    )
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "notes.sqlite3")}
    environment = {
        "GREEN_DATABASE": json.dumps(database),
        "DJANGO_SETTINGS_MODULE": "green_settings",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(APPS), str(tmp_path)]),
    }
    launcher = (sys.executable, "-m", "django", "runuwsgi")
    with ServerProcess("127.0.0.1:0", launcher=launcher, environment=environment, directory=tmp_path) as server:
        assert get(server, "/reset") == "made"
        took, answers = together(server, [f"/wait/{number}" for number in range(10)])
        assert 1 <= took < PATIENCE
        assert set(answers) == {"waited"}
        assert server.stop() == 0


def test_flask_configuration(tmp_path: Path) -> None:
    """app.config["UWSGI"], with `flask uwsgi run`."""
    (tmp_path / "web.py").write_text("from green_flask import app\napp.config['UWSGI'] = {'gevent': 20}\n")
    launcher = (sys.executable, "-m", "flask", "--app", "web", "uwsgi", "run", "--port", "0")
    with ServerProcess(launcher=launcher, directory=tmp_path) as server:
        took, answers = together(server, ["/sleep/1.0"] * 10)
        assert 1 <= took < PATIENCE
        assert set(answers) == {"slept"}
        assert server.stop() == 0
