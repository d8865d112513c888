"""The WSGI middleware: notes, and the page of a request whose time is over. Without a server, and under real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from flask_integration.middleware import SERVER, HarakiriMiddleware
from tests.support.engines import each_engine
from tests.support.reports import wait_for_report
from tests.support.server import ServerProcess
from uwsgi_deploy import NOTES, HarakiriTimeout, RequestNotes, current_notes

Environ = dict[str, Any]


class Client:
    """A server's side of WSGI: what start_response was called with, and whether a head is out already."""

    def __init__(self, *, sent: bool = False) -> None:
        self.sent = sent
        self.statuses: list[str] = []
        self.environ: Environ = {SERVER: b"2.0.31"}

    def start_response(self, status: str, headers: list[tuple[str, str]], reason: Any = None) -> Callable[..., None]:
        if self.statuses:
            assert reason is not None, "a second call needs exc_info (PEP 3333)"
            if self.sent:
                raise reason[1].with_traceback(reason[2])
        self.statuses.append(status)
        return lambda block: None

    def ask(self, application: Any) -> bytes:
        return b"".join(application(self.environ, self.start_response))


def late(environ: Environ, start_response: Any) -> Iterable[bytes]:
    raise HarakiriTimeout(limit=2)


def late_after_its_head(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    raise HarakiriTimeout(limit=2)


def sorry(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("504 Gateway Timeout", [("Content-Type", "text/plain")])
    return [b"sorry"]


def test_notes() -> None:
    """The request's notes are in the environ and where they are found without it."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        notes = environ[NOTES]
        assert isinstance(notes, RequestNotes)
        assert notes is current_notes()
        return [notes.framework.encode()]

    assert Client().ask(HarakiriMiddleware(application, framework="bottle")) == b"bottle"


@pytest.mark.parametrize("application", [late, late_after_its_head])
def test_a_page(application: Any) -> None:
    """It takes the place of a head that has not been sent."""
    client = Client()
    limits = []

    def page(environ: Environ, timeout: HarakiriTimeout) -> Any:
        limits.append(timeout.limit)
        return sorry

    assert client.ask(HarakiriMiddleware(application, page)) == b"sorry"
    assert client.statuses[-1] == "504 Gateway Timeout"
    assert limits == [2]


def test_a_response_that_has_begun() -> None:
    """What is out cannot be replaced: the server gets the exception, and cuts the connection."""
    client = Client(sent=True)
    with pytest.raises(HarakiriTimeout):
        client.ask(HarakiriMiddleware(late_after_its_head, lambda environ, timeout: sorry))
    assert client.statuses == ["200 OK"]


def broken_page(environ: Environ, timeout: HarakiriTimeout) -> Any:
    raise LookupError("no template")


@pytest.mark.parametrize("page", [None, lambda environ, timeout: None, broken_page])
def test_no_page(page: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The server answers, also when the page fails; then the log says why."""
    client = Client()
    with pytest.raises(HarakiriTimeout):
        client.ask(HarakiriMiddleware(late, page))
    assert client.statuses == []
    assert ("LookupError: no template" in caplog.text) is (page is broken_page)


def test_another_server() -> None:
    """There it takes no notes, and an exception is that server's."""
    client = Client()
    client.environ = {}
    with pytest.raises(HarakiriTimeout):
        client.ask(HarakiriMiddleware(late, lambda environ, timeout: sorry))
    assert client.environ == {}


def test_it_imports_no_framework() -> None:
    """For whoever wraps another framework's application."""
    program = (
        "import sys; from flask_integration import HarakiriMiddleware; HarakiriMiddleware(print); print(*sys.modules)"
    )
    names = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"flask", "werkzeug", "blinker", "sqlalchemy"} & {*names}


# --- under real servers -----------------------------------------------------------------------------------------------

APPLICATION = """\
import time
from flask_integration import HarakiriMiddleware
from uwsgi_deploy import current_notes, extend_deadline, set_route

def answer(environ, start_response):
    path = environ["PATH_INFO"]
    set_route(environ, route=path, name=path.strip("/"))
    notes = current_notes()
    notes.route, notes.view = path, "answer"
    if path == "/extended":
        extend_deadline(30)
    if path in ("/extended", "/slow"):
        time.sleep(1.6)
    while path == "/late":
        time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"whole"]

def page(environ, timeout):
    def respond(environ, start_response):
        start_response("504 Gateway Timeout", [("Content-Type", "text/plain")])
        time.sleep(0.7)  # it has the time that it needs
        return [b"our own page"]
    return respond

application = HarakiriMiddleware(answer, page, framework="bottle")
bare = HarakiriMiddleware(answer)
"""
OPTIONS = (
    "--http-socket",
    "127.0.0.1:0",
    "--harakiri",
    "1",
    "--harakiri-dir",
    "reports",
    "--harakiri-routes",
    "slow=30",
)


@each_engine
def test_a_page_and_limits_by_name(tmp_path: Path, engine: tuple[str, ...]) -> None:
    """Whatever the application is made with."""
    (tmp_path / "plain.py").write_text(APPLICATION)
    with ServerProcess(*OPTIONS, "--module", "plain", *engine, directory=tmp_path) as server:
        assert server.get("/slow").body == b"whole"
        assert server.get("/extended").body == b"whole"
        late = server.get("/late")
        assert (late.status, late.body) == (504, b"our own page")
        report = wait_for_report(tmp_path / "reports", "/late")
        assert (report["kind"], report["outcome"]) == ("deadline", "answered_504")
        assert (report["request"]["framework"], report["request"]["view"]) == ("bottle", "answer")
        assert "Respawned" not in server.log


@each_engine
def test_the_servers_answer(tmp_path: Path, engine: tuple[str, ...]) -> None:
    """Without a page; JSON for who prefers it."""
    (tmp_path / "plain.py").write_text(APPLICATION)
    with ServerProcess(*OPTIONS, "--module", "plain:bare", *engine, directory=tmp_path) as server:
        assert server.get("/late").status == 504
        late = server.get("/late", Accept="application/json")
        assert (late.status, late.header("content-type")) == (504, "application/json")
        assert json.loads(late.body)["status"] == 504
        assert server.get("/").body == b"whole"
