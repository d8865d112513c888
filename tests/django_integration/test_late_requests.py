"""Requests that run out of time, in real servers: what the client gets, what the database keeps, who is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from tests.django_integration.conftest import Project
from tests.support.postgres import Database
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.reports.ring import Ring

MIDDLEWARE = """
MIDDLEWARE = ["django_integration.middleware.HarakiriMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [BASE_DIR / "templates"]}]
"""
VIEWS = """
import time
from django.db import connection, connections, transaction
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from uwsgi_deploy import HarakiriTimeout, deadline, extend_deadline, harakiri

def wait(seconds):
    # In pieces: a thread that is not the main one cannot be interrupted in the middle of a C function.
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)

def sleep(request, seconds):
    wait(seconds)
    return HttpResponse(f"slept {seconds}")

@harakiri(30)
def patient(request):
    wait(2)
    return HttpResponse("patient")

@method_decorator(harakiri(30), name="dispatch")
class Patient(View):
    def get(self, request):
        wait(2)
        return HttpResponse("patient")

@harakiri(None)
def exempt(request):
    wait(2)
    return HttpResponse("exempt")

def extended(request):
    for _ in range(4):
        extend_deadline(1)
        time.sleep(0.5)
    return HttpResponse("extended")

def partial(request):
    try:
        with deadline(0.3):
            wait(60)
    except HarakiriTimeout:
        return HttpResponse("partial")

def execute(sql, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []

def create(request):
    execute("CREATE TABLE written (number integer)")
    return HttpResponse("created")

@transaction.atomic
def write_and_hang(request):
    execute("INSERT INTO written VALUES (1)")
    wait(60)

def count(request):
    return HttpResponse(str(execute("SELECT count(*) FROM written")[0][0]))

def connected(request):
    before = connection.connection is not None
    execute("SELECT 1")
    return JsonResponse({"connected": before, "atomic": connection.in_atomic_block})

def query(request):
    execute("SELECT pg_sleep(60)")

@transaction.atomic
def query_in_transaction(request):
    execute("CREATE TABLE written_later (number integer)")
    execute("SELECT pg_sleep(%s)", 60)

def long_statement(request):
    execute("WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number) SELECT count(*) FROM number")

def query_with_deadline(request):
    try:
        with deadline(0.3):
            execute("SELECT pg_sleep(60)")
    except HarakiriTimeout:
        return HttpResponse(str(execute("SELECT 7")[0][0]))

urlpatterns += [
    path("sleep/<int:seconds>/", sleep, name="sleep"),
    path("export/<int:seconds>/", sleep, name="export"),
    path("patient/", patient),
    path("patient-class/", Patient.as_view()),
    path("exempt/", exempt),
    path("extended/", extended),
    path("partial/", partial),
    path("create/", create),
    path("write-and-hang/", write_and_hang),
    path("count/", count),
    path("connected/", connected),
    path("query/", query, name="query"),
    path("query-in-transaction/", query_in_transaction),
    path("long-statement/", long_statement),
    path("query-with-deadline/", query_with_deadline),
]
"""
ENGINES = [
    pytest.param((), id="prefork"),
    pytest.param(("--threads", "3"), id="threads"),
    pytest.param(("--gevent", "20"), id="gevent"),
]


@pytest.fixture
def late(project: Project) -> Project:
    """A project with views that hang."""
    with open(project.directory / "company/sites/main/urls.py", "a", encoding="utf-8") as file:
        file.write(VIEWS)
    return project


@contextmanager
def served(project: Project, *options: object, harakiri: float = 1, **environment: str) -> Iterator[ServerProcess]:
    """A server of this project with a short limit, which keeps reports."""
    arguments = ("127.0.0.1:0", "--harakiri", str(harakiri), "--harakiri-dir", project.directory / "reports")
    command = (*arguments, *map(str, options))
    with ServerProcess(*command, launcher=project.manage, environment=environment, timeout=60) as server:
        yield server


def reports(project: Project, count: int = 1) -> list[dict[str, Any]]:
    """The reports that are kept, the newest first, when there are so many."""
    ring = Ring(str(project.directory / "reports"), 50)
    return wait_until(lambda: found if len(found := list(ring.reports())) >= count else [], 20, what=f"{count} reports")


@pytest.mark.parametrize("engine", ENGINES)
def test_page_of_the_project(late: Project, engine: tuple[str, ...]) -> None:
    """504.html, and a report that knows the route, the view and the line."""
    late.configure(MIDDLEWARE)
    (late.directory / "templates").mkdir()
    (late.directory / "templates/504.html").write_text("Sorry: {{ path }} {{ request_id }}")
    with served(late, *engine) as server:
        response = server.get("/sleep/60/", X_Request_ID="abc-7")
        assert (response.status, response.body) == (504, b"Sorry: /sleep/60/ abc-7"), server.log
        assert response.header("content-type") == "text/html; charset=utf-8"
        response = server.get("/sleep/60/", Accept="application/json")
        assert (response.status, json.loads(response.body)) == (504, {"error": "timeout", "status": 504})
        assert server.get("/sleep/0/").body == b"slept 0"
        report = reports(late, 2)[-1]
    request = report["request"]
    assert (report["kind"], report["outcome"]) == ("deadline", "answered_504")
    assert (request["route"], request["url_name"]) == ("sleep/<int:seconds>/", "sleep")
    assert request["view"] == "company.sites.main.urls.sleep"
    assert (report["culprit"]["function"], report["culprit"]["code"]) == ("wait", "time.sleep(0.05)")
    assert "sleep" in [frame["function"] for frame in report["stack"]]


def test_without_the_middleware(late: Project) -> None:
    """The server's own page; the report knows path and line."""
    with served(late) as server:
        assert server.get("/sleep/60/").status == 504
        assert server.get("/sleep/0/").status == 200
        (report,) = reports(late)
    assert report["request"]["path"] == "/sleep/60/"
    assert report["culprit"]["code"] == "time.sleep(0.05)"


@pytest.mark.parametrize("engine", ENGINES)
def test_limits_of_their_own(late: Project, engine: tuple[str, ...]) -> None:
    """A decorator on a function, on a class; by URL name, by path; extended; for a block only."""
    late.configure(MIDDLEWARE)
    with served(late, *engine, "--harakiri-routes", "export=30", "--harakiri-routes", "^/sleep/2/=off") as server:
        assert server.get("/patient/").body == b"patient"
        assert server.get("/patient-class/").body == b"patient"
        assert server.get("/exempt/").body == b"exempt"
        assert server.get("/export/2/").body == b"slept 2"
        assert server.get("/sleep/2/").body == b"slept 2"
        assert server.get("/extended/").body == b"extended"
        assert server.get("/partial/").body == b"partial"
        assert server.get("/sleep/3/").status == 504


def file_database(project: Project) -> None:
    """SQLite, persistent connections."""
    project.configure('DATABASES["default"]["CONN_MAX_AGE"] = None')


@pytest.mark.parametrize("with_middleware", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_sqlite(late: Project, engine: tuple[str, ...], with_middleware: bool) -> None:
    """What was written is undone, and the connection is closed although it may live for ever."""
    file_database(late)
    if with_middleware:
        late.configure(MIDDLEWARE)
    with served(late, *engine) as server, server.connect() as client:
        client.get("/create/")
        assert client.get("/write-and-hang/").status == 504
        wait_until(lambda: server.get("/count/").body == b"0", 20, what="the transaction to be undone")


@pytest.mark.parametrize("engine", ENGINES[:2])
def test_a_long_statement_of_sqlite(late: Project, engine: tuple[str, ...]) -> None:
    """It runs in C code, where no exception comes through, and is ended from another thread; the worker lives on."""
    late.configure(MIDDLEWARE)
    with served(late, *engine) as server:
        assert server.get("/long-statement/").status == 504, server.log
        assert "Respawned" not in server.log
        assert json.loads(server.get("/connected/").body)["atomic"] is False
        (report,) = reports(late)
    assert (report["kind"], report["waiting_on"]["kind"]) == ("deadline", "database")
    assert report["db"]["running"][0]["text"].startswith("WITH RECURSIVE")


def postgres_database(project: Project, postgres: Database) -> None:
    """PostgreSQL, persistent connections, one per thread."""
    project.configure(f'DATABASES["default"] = {postgres.django | {"CONN_MAX_AGE": None}!r}')


def running_queries(postgres: Database) -> int:
    """How many backends still sleep."""
    return sum(state == "active" for _, state, _ in postgres.clients())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", ["/query/", "/query-in-transaction/"])
def test_postgresql(late: Project, postgres: Database, engine: tuple[str, ...], path: str) -> None:
    """The statement is in the report, and no longer in the database; the next request connects anew."""
    late.configure(MIDDLEWARE)
    postgres_database(late, postgres)
    with served(late, *engine) as server:
        assert server.get(path).status == 504, server.log
        assert "Respawned" not in server.log
        wait_until(lambda: running_queries(postgres) == 0, 10, what="the query to end")
        (report,) = reports(late)
        assert json.loads(server.get("/connected/").body) == {"connected": False, "atomic": False}
    (running,) = report["db"]["running"]
    assert running["target"] == "default (postgresql)"
    assert running["text"].startswith("SELECT pg_sleep(")
    assert running["elapsed"] > 0.5
    assert report["waiting_on"]["kind"] == "database"
    assert postgres.value("SELECT to_regclass('written_later')") is None


def test_postgresql_with_a_deadline(late: Project, postgres: Database) -> None:
    """A block's deadline that the view catches: the view goes on, with a new connection."""
    late.configure(MIDDLEWARE)
    postgres_database(late, postgres)
    with served(late, harakiri=30) as server:
        assert server.get("/query-with-deadline/").body == b"7", server.log
        assert running_queries(postgres) == 0


SIGNALS = """
import json, os
from django.dispatch import receiver
from django_integration.signals import harakiri

@receiver(harakiri)
def broken(sender, report, **kwargs):
    raise ValueError("this receiver is broken")

@receiver(harakiri)
def tell(sender, report, **kwargs):
    from django.contrib.contenttypes.models import ContentType
    line = {"kind": report["kind"], "sender": sender.__name__, "late": report.get("delivered_late", False)}
    line["rows"] = ContentType.objects.count()
    with open("told.jsonl", "a") as file:
        file.write(json.dumps(line) + os.linesep)
"""
"""Receivers of the signal; the one that tells asks the database, too."""


def migrate(project: Project) -> None:
    environment = ServerProcess(directory=project.directory).environment
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=project.directory, env=environment, check=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_signal(late: Project, engine: tuple[str, ...]) -> None:
    """Sent for each report, whatever another receiver does."""
    (late.directory / "company/sites/main/receivers.py").write_text(SIGNALS)
    with open(late.directory / "company/sites/main/urls.py", "a", encoding="utf-8") as file:
        file.write("from company.sites.main import receivers\n")
    migrate(late)
    with served(late, *engine, "--soft-harakiri", "0.4") as server:
        assert server.get("/sleep/60/").status == 504
        told = lines_of(late.directory / "told.jsonl", 2)
        assert [(line["kind"], line["sender"], line["late"]) for line in told] == [
            ("soft", "uwsgi_deploy", False),
            ("deadline", "uwsgi_deploy", False),
        ]
        assert all(line["rows"] > 0 for line in told)
        server.wait_for_log("this receiver is broken", timeout=20)


def lines_of(path: Path, count: int) -> list[Any]:
    """JSON lines of a file, when there are so many."""

    def found() -> list[Any]:
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()] if text.endswith("\n") else []
        return lines if len(lines) >= count else []

    return wait_until(found, 30, what=f"{count} lines in {path.name}")


MAIL = """
ADMINS = [("Owner", "owner@example.com")]
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = BASE_DIR / "mail"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"mail": {"class": "django.utils.log.AdminEmailHandler", "level": "ERROR"}},
    "loggers": {"uwsgi.harakiri": {"handlers": ["mail"]}},
}
"""


def test_mail_to_admins(late: Project) -> None:
    """The logger `uwsgi.harakiri` is all that it takes; a soft report is a warning, and no mail."""
    late.configure(MIDDLEWARE + MAIL)
    with served(late, "--soft-harakiri", "0.4") as server:
        assert server.get("/sleep/60/?token=sesame").status == 504
        folder = late.directory / "mail"
        wait_until(lambda: any(END in file.read_bytes() for file in folder.glob("*")), 30, what="a whole mail")
        reports(late, 2)
    (file,) = folder.glob("*")
    mail = message_from_bytes(file.read_bytes().partition(END)[0])
    assert mail["To"] == "owner@example.com"
    assert mail["Subject"].startswith("[Django] ERROR: ")
    content = mail.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert b"GET /sleep/60/" in content
    assert b"company.sites.main.urls.sleep" in content
    assert b"sesame" not in content


END = b"-" * 79
"""What Django's mail backend writes behind each mail in a file."""
