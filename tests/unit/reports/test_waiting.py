"""What a request waits for, by its frames, its lines, what was noted, and the kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

import uwsgi_deploy
from tests.support.waiting import wait_until
from tests.unit.reports.incidents import frames, incident
from uwsgi_deploy.reports import waiting
from uwsgi_deploy.reports.hints import ADVICE, hint
from uwsgi_deploy.reports.incident import Frame
from uwsgi_deploy.reports.notes import Call, RequestNotes
from uwsgi_deploy.reports.redaction import Redactor
from uwsgi_deploy.reports.stacks import SourceLines, Territory
from uwsgi_deploy.reports.waiting import KINDS, Waiting, waiting_on

SITE = "/srv/venv/lib/python3.11/site-packages"
STANDARD = "/usr/lib/python3.11"
SERVER = os.path.dirname(uwsgi_deploy.__file__)
VIEW = "/srv/shop/views.py:8 page"


def judged(*lines: str, **fields: Any) -> Waiting | None:
    """The judgement about a stack."""
    fields = {"notes": None, "environ": None, "core": 0, **fields}
    stack = tuple(frames(*lines))
    return waiting_on(incident(**fields), stack, Territory(), SourceLines(), Redactor())


@pytest.mark.parametrize(
    ("kind", "lines", "place"),
    [
        (
            "database",
            [f"{SITE}/psycopg/waiting.py:9 wait", f"{SITE}/psycopg/cursor.py:97 execute"],
            "psycopg/cursor.py",
        ),
        ("database", [f"{SITE}/django/db/backends/utils.py:89 _execute"], "django/db/backends/utils.py _execute"),
        (
            "database",
            [f"{SITE}/sqlalchemy/engine/default.py:9 do_execute", f"{SITE}/sqlalchemy/orm/query.py:1 all"],
            "",
        ),
        ("database", [f"{SITE}/pymysql/connections.py:9 _read_bytes"], "pymysql"),
        (
            "database pool",
            [
                f"{STANDARD}/threading.py:324 wait",
                f"{SITE}/sqlalchemy/util/queue.py:170 get",
                f"{SITE}/sqlalchemy/pool/impl.py:158 _do_get",
            ],
            "sqlalchemy/util/queue.py get",
        ),
        ("cache", [f"{STANDARD}/socket.py:706 readinto", f"{SITE}/redis/client.py:9 get"], "redis/client.py get"),
        (
            "http",
            [f"{STANDARD}/ssl.py:1 read", f"{STANDARD}/http/client.py:2 begin", f"{SITE}/requests/api.py:3 get"],
            "requests/api.py get",
        ),
        ("http", [f"{STANDARD}/socket.py:706 readinto", f"{STANDARD}/urllib/request.py:216 urlopen"], "urlopen"),
        ("dns", [f"{STANDARD}/socket.py:962 getaddrinfo", f"{SITE}/urllib3/connection.py:9 connect"], "getaddrinfo"),
        ("mail server", [f"{STANDARD}/socket.py:706 readinto", f"{STANDARD}/smtplib.py:398 getreply"], "smtplib.py"),
        ("message broker", [f"{STANDARD}/socket.py:1 recv", f"{SITE}/kombu/messaging.py:9 publish"], "kombu"),
        (
            "subprocess",
            [f"{STANDARD}/subprocess.py:2021 _wait", f"{STANDARD}/subprocess.py:503 run"],
            "subprocess.py run",
        ),
        ("lock", [f"{STANDARD}/threading.py:324 wait"], "threading.py wait"),
        ("lock", [f"{STANDARD}/threading.py:324 wait", f"{STANDARD}/concurrent/futures/_base.py:1 result"], "result"),
        ("lock", [f"{SITE}/gevent/event.py:9 wait"], "gevent/event.py wait"),
        ("sleep", [f"{SITE}/gevent/hub.py:159 sleep"], "gevent/hub.py sleep"),
        ("socket", [f"{SITE}/gevent/_socketcommon.py:66 recv"], "gevent/_socketcommon.py recv"),
        ("socket", [f"{STANDARD}/socket.py:706 readinto"], "socket.py readinto"),
        ("dns", [f"{SITE}/gevent/_socketcommon.py:66 getaddrinfo"], "getaddrinfo"),
        ("subprocess", [f"{SITE}/gevent/subprocess.py:9 wait"], "gevent/subprocess.py wait"),
        ("file", [f"{STANDARD}/shutil.py:9 copyfileobj"], "shutil.py copyfileobj"),
        ("cpu", [f"{STANDARD}/re/__init__.py:166 match"], "re/__init__.py match"),
        ("lock", [f"{STANDARD}/queue.py:171 Queue.get"], "queue.py Queue.get"),
        ("database pool", [f"{SITE}/psycopg_pool/pool.py:1 ConnectionPool.getconn"], "ConnectionPool.getconn"),
        (
            "client",
            [f"{SERVER}/wsgi/body.py:60 LiveBody._receive", f"{SITE}/werkzeug/wsgi.py:1 read"],
            "the request's body",
        ),
        ("client", [f"{SERVER}/worker/engines/threads.py:9 wait", f"{SERVER}/wsgi/body.py:60 x"], "the request's body"),
        ("client", [f"{SERVER}/net/connection.py:9 send", f"{SERVER}/wsgi/response.py:60 x"], "sending the response"),
        ("client", [f"{SERVER}/net/connection.py:9 receive"], "net/connection.py receive"),
    ],
)
def test_libraries(kind: str, lines: list[str], place: str) -> None:
    found = judged(*lines, VIEW)
    assert found is not None
    assert found.kind == kind
    assert place in found.place
    assert found.evidence


def test_what_the_application_is_called_by_does_not_count() -> None:
    """A view that computes inside of a transaction does not wait for the database."""
    found = judged(VIEW, f"{SITE}/django/db/backends/utils.py:89 _execute")
    assert found is not None
    assert found.kind == "cpu"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("time.sleep(60)", "sleep"),
        ("sleep(60)", "sleep"),
        ("self.lock.acquire()", "lock"),
        ("with self._lock:", "lock"),
        ("with cache_lock, open(path) as file:", "lock"),
        ("worker.join()", "lock"),
        ("fcntl.flock(file, fcntl.LOCK_EX)", "lock"),
        ("data = connection.recv(4096)", "socket"),
        ("select.select([a], [], [])", "socket"),
        ("cursor.execute(sql, values)", "database"),
        ("os.system('sleep 60')", "subprocess"),
        ("socket.getaddrinfo(host, 80)", "dns"),
        ("if PATTERN.match(text):", "cpu"),
        ("data = file.read()", "file"),
        ("for number in range(10**9): total += number", "cpu"),
    ],
)
def test_lines_that_call_c_code(tmp_path: Path, line: str, kind: str) -> None:
    (tmp_path / "views.py").write_text(f"\n{line}\n")
    found = judged(f"{tmp_path}/views.py:2 page")
    assert found is not None
    assert found.kind == kind
    assert found.place.endswith("views.py page")
    assert kind == "cpu" or line in found.evidence[0]


def stack_of(thread: threading.Thread) -> tuple[Frame, ...]:
    """The frames of a thread as they are now, innermost first."""
    frame = sys._current_frames().get(thread.ident or 0)
    found = []
    while frame is not None:
        found.append(Frame(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    return tuple(found)


def ended_by(act: Callable[[], object]) -> None:
    """Do it, until what it waits for is taken away."""
    with suppress(OSError, HTTPException):
        act()


@pytest.mark.parametrize("kind", ["lock", "sleep", "socket", "subprocess", "http"])
def test_real_stacks(kind: str) -> None:
    """Whatever this Python's library calls its functions."""
    over = threading.Event()
    mine, theirs = socket.socketpair()
    acts: dict[str, Callable[[], object]] = {
        "lock": lambda: over.wait(60),
        "sleep": lambda: time.sleep(3),
        "socket": lambda: mine.makefile("rb").read(),
        "subprocess": lambda: subprocess.run(["cat"], stdin=theirs, stdout=subprocess.DEVNULL, timeout=60),
    }
    silent = socket.create_server(("127.0.0.1", 0))
    acts["http"] = lambda: urlopen(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=60)
    thread = threading.Thread(target=lambda: ended_by(acts[kind]), daemon=True)
    thread.start()

    def is_judged() -> bool:
        found = waiting_on(incident(notes=None), stack_of(thread), Territory(), SourceLines(), Redactor())
        return found is not None and found.kind == kind

    try:
        wait_until(is_judged)
    finally:
        over.set()
        theirs.shutdown(socket.SHUT_RDWR)
        thread.join(1)
        mine.close()
        theirs.close()
        silent.close()


def noted(call: Call, seen: float = 130.0) -> RequestNotes:
    notes = RequestNotes(seen=seen)
    notes.begin(call)
    return notes


def test_what_was_noted_says_for_whom_and_for_how_long() -> None:
    notes = noted(Call("http", "api.example:443", "GET https://api.example/pay?card=hunter2", 105.1))
    found = judged(f"{SITE}/requests/sessions.py:9 send", VIEW, notes=notes)
    assert found is not None
    assert (found.kind, found.target, round(found.seconds or 0, 1)) == ("http", "api.example:443", 24.9)
    assert found.place == "requests/sessions.py send"
    assert "hunter2" not in repr(found)


def test_of_several_calls_the_last_one_runs() -> None:
    notes = noted(Call("database", "default (sqlite)", "SELECT 1", 101.0))
    notes.begin(Call("http", "api.example", "GET https://api.example/", 102.0))
    found = judged(VIEW, notes=notes)
    assert found is not None
    assert found.kind == "http"


def test_a_name_that_is_resolved_is_more_telling_than_the_call() -> None:
    notes = noted(Call("http", "api.example", "GET https://api.example/", 102.0))
    found = judged(f"{STANDARD}/socket.py:962 getaddrinfo", f"{SITE}/requests/api.py:9 get", VIEW, notes=notes)
    assert found is not None
    assert (found.kind, found.target) == ("dns", "api.example")


def test_without_a_stack_the_kernel_is_asked() -> None:
    assert judged() is None
    sleeping = judged(kernel={"wchan": "hrtimer_nanosleep"})
    assert sleeping is not None
    assert sleeping.kind == "sleep"
    waits = judged(kernel={"wchan": "do_wait", "syscall": ""})
    assert waits is not None
    assert waits.kind == "subprocess"
    computes = judged(kernel={"syscall": "running"})
    assert computes is not None
    assert computes.kind == "cpu"
    assert judged(kernel={"wchan": "0"}) is None


def test_the_kernel_tells_of_the_main_thread_only() -> None:
    """And its futex may be the interpreter that another thread holds."""
    kernel = {"wchan": "hrtimer_nanosleep"}
    main, other = judged(VIEW, kernel=kernel), judged(VIEW, kernel=kernel, engine="threads", core=1)
    assert main is not None
    assert other is not None
    assert (main.kind, other.kind) == ("sleep", "cpu")
    for_interpreter = judged(VIEW, kernel={"wchan": "futex_wait_queue"})
    assert for_interpreter is not None
    assert for_interpreter.kind == "cpu"


@pytest.mark.skipif(os.uname().machine not in waiting._SYSCALLS, reason="no table of this machine's system calls")
def test_system_calls_by_their_number() -> None:
    number = {"x86_64": 230, "aarch64": 115}[os.uname().machine]
    found = judged(kernel={"syscall": f"{number} 0x1 0x0 0x7f 0x7f 0x0 0x0 0x7f 0x7f"})
    assert found is not None
    assert found.kind == "sleep"


def test_there_is_advice_for_everything() -> None:
    assert set(ADVICE) == set(KINDS)


def test_the_hint_is_a_sentence() -> None:
    late = incident(age=30.04)
    assert hint(late, Waiting("database", "psycopg/cursor.py execute", "default", 24.9), "views.py page") == (
        "blocked 24.9 s in psycopg/cursor.py execute (default), called by views.py page; "
        "set statement_timeout below the limit, add an index, or look for a transaction that holds a lock"
    )
    assert hint(late, Waiting("cpu", "re/__init__.py match"), "").startswith(
        "after 30.0 s in re/__init__.py match; a regular expression may backtrack"
    )
    assert hint(late, Waiting("client", "wsgi/body.py _receive"), "").startswith(
        "after 30.0 s in wsgi/body.py _receive; the"
    )
    assert "no stack could be had" in hint(replace(late, victim=None), None, "")
