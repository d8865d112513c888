"""What an exception of the application leads to when options ask for more than an answer 500 and a traceback."""

from __future__ import annotations

import re

import pytest

from tests.support.client import BadResponse
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

BROKEN = ("--http-socket", "127.0.0.1:0", "--module", "broken", "--disable-logging")


def pid_of(server: ServerProcess) -> int:
    """Who answers."""
    return int(server.get("/").body)


@pytest.mark.parametrize(
    ("option", "harmless", "fatal", "reason"),
    [
        ("--reload-on-exception", [], "/value?a", "ValueError: a"),
        ("--reload-on-exception", [], "/exit?a", "SystemExit: a"),
        ("--reload-on-exception", [], "/cut", "Broken: in the middle"),
        ("--reload-on-exception-type=Broken", ["/value?Broken"], "/broken?a", "Broken: a"),
        ("--reload-on-exception-type=broken.Broken", ["/value?Broken"], "/broken?a", "Broken: a"),
        ("--reload-on-exception-value=b", ["/value?a"], "/broken?b", "Broken: b"),
        ("--reload-on-exception-repr=ValueError: b", ["/value?a", "/broken?b"], "/value?b", "ValueError: b"),
    ],
)
def test_reload_on_exception(option: str, harmless: list[str], fatal: str, reason: str) -> None:
    """The exceptions that the options name have their worker replaced; no client notices."""
    with ServerProcess(*BROKEN, option) as server:
        pid = pid_of(server)
        for path in harmless:
            assert server.get(path).status == 500
        assert pid_of(server) == pid
        try:
            assert server.get(fatal).status == 500
        except BadResponse:
            assert fatal == "/cut"
        wait_until(lambda: pid_of(server) != pid, 20, what="another worker")
        server.wait_for_log(rf"^\.\.\.The work of process {pid} is done \(exception {re.escape(reason)}\)\. Seeya!$")
        server.wait_for_log(rf"^worker 1 killed successfully \(pid: {pid}\)$", timeout=20)
        assert server.log.count("is done (") == 1


def test_without_a_master_the_process_ends() -> None:
    """With uWSGI's exit code, for a supervisor."""
    with ServerProcess(*BROKEN, "--master=false", "--reload-on-exception") as server:
        assert server.get("/value?a").status == 500
        assert server.wait_end() == 5


def test_every_request_fails() -> None:
    """Each worker serves a request or a few; none is lost."""
    with ServerProcess(*BROKEN, "--processes", "2", "--reload-on-exception") as server:
        assert [server.get("/value?a").status for _ in range(40)] == [500] * 40
        assert "DAMN" not in server.log


def test_catch_exceptions() -> None:
    """The client reads the traceback, and the log says at the start that it can."""
    with ServerProcess(*BROKEN, "--catch-exceptions") as server:
        assert server.log.count("'catch-exceptions' lets every client read tracebacks: not for production") == 1
        response = server.get("/broken?%C3%A4")
        assert (response.status, response.header("Content-Type")) == (500, "text/plain; charset=utf-8")
        page = response.body.decode()
        assert page.startswith('uwsgi-deploy exceptions catcher for "GET /broken?%C3%A4"')
        assert "Exception class: Broken" in page
        assert "Exception message: %C3%A4" in page
        assert "raise Broken(text)" in page
        assert "lifecycle.py" not in page
        assert server.get("/").status == 200


def test_tracebacks_are_not_shown_by_default() -> None:
    """The name of the status, and nothing else."""
    with ServerProcess(*BROKEN) as server:
        assert server.get("/value?secret").body == b"Internal Server Error"
