"""Answers that rules give in place of the application. Each is a WSGI application itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.protocol.responses import reason_phrase
from uwsgi_deploy.wsgi.routing.chain import Answer, Visit
from uwsgi_deploy.wsgi.routing.text import cleaned

_BODYLESS = ("204", "304")
# RFC 3986: what may stand in a URL as it is; everything else, blanks and control characters above all, is encoded.
_URL_SIGNS = "%:/?#[]@!$&'()*+,;=-._~"


def say(status: str, text: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    """A status with a short text, the status's name unless given; text is bytes as Latin-1."""
    status = with_reason(cleaned(status))
    body = (status[4:] if text is None else text).encode("latin-1", "replace")
    fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers]
    if status.startswith(_BODYLESS):
        fields, body = list(headers), b""

    def answer(_environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, fields)
        return [body]

    return answer


def sent(visit: Visit, status: str) -> Answer:
    """What `send` has written, with a status, or with the one that the response has."""
    return say(status or (str(visit.status) if visit.status else "200 OK"), "".join(visit.sent))


def redirect(status: str, location: str) -> Answer:
    """To another place; see `place`."""
    return say(status, headers=[("Location", location)])


def place(url: str, *, is_ours: bool) -> str:
    """A URL for Location. is_ours: the rule says no host: then no client can make it lead to another one.

    Two slashes or backslashes at the beginning would (RFC 3986 §4.2, and what browsers make of backslashes).
    """
    url = quote(url, safe=_URL_SIGNS, encoding="latin-1", errors="replace")
    # Backslashes are encoded by now.
    return "/" + url.lstrip("/") if is_ours and url.startswith("//") else url


def with_reason(status: str) -> str:
    """A status with its standard text unless it has one."""
    return status if len(status) > 4 else f"{status[:3]} {reason_phrase(int(status[:3]))}"
