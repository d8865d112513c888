"""Strict-Transport-Security (RFC 6797) on answers over TLS. Made for those who set `hsts` only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.wsgi.lifecycle import Application

_FIELD = "strict-transport-security"


class StrictTransport:
    """The application, whose answers tell browsers to come by https only, for so many seconds.

    Answers over plain HTTP do not, as section 7.2 demands; nor does one replace what the application says itself.
    """

    def __init__(self, application: Application, seconds: float) -> None:
        self._application = application
        self._field = ("Strict-Transport-Security", f"max-age={int(seconds)}")

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["wsgi.url_scheme"] != "https":
            return self._application(environ, start_response)
        field = self._field

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if isinstance(headers, list) and not any(str(name).lower() == _FIELD for name, _ in headers):
                headers = [*headers, field]
            return start_response(status, headers, exc_info)

        return self._application(environ, start)
