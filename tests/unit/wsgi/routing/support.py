"""Rules run for a request without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.wsgi.routing.chain import CHANGES
from uwsgi_deploy.wsgi.routing.front import routing_of

APPLICATION = "the application"


@dataclass
class Outcome:
    """What came of a request: the answer, the environ that the application found, and what was said in the log."""

    environ: dict[str, Any]
    status: str = APPLICATION
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    log: list[str] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)

    @property
    def added(self) -> list[tuple[str, str]]:
        """Headers that would be added to whatever is answered."""
        return self.environ[CHANGES].added if CHANGES in self.environ else []


def placed(*lines: str) -> tuple[tuple[str, str, str], ...]:
    """Rules that are written as in an ini file."""
    pairs = (line.split(" = ", 1) for line in lines)
    return tuple((name, value, f"app.ini:{number}") for number, (name, value) in enumerate(pairs, 1))


def visitor(*lines: str) -> Callable[..., Outcome]:
    """A function that sends a request to rules: visit(path="/", method="GET", HTTP_HOST=...)."""
    log: list[str] = []
    limits: list[float] = []
    routing = routing_of(Settings(routes=placed(*lines)), limits.append, log.append)

    def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(APPLICATION, [])
        return []

    front = routing.in_front_of(application, 3)

    def visit(path: str = "/", method: str = "GET", **variables: str) -> Outcome:
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": ""}
        environ |= {"wsgi.url_scheme": "http", **variables}
        outcome = Outcome(environ, log=log, limits=limits)

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            outcome.status, outcome.headers = status, dict(headers)

        body = front(environ, start_response)
        outcome.body = b"".join(body)
        close = getattr(body, "close", None)
        if close is not None:
            close()
        return outcome

    return visit
