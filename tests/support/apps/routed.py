"""An application behind routing rules: its errors in every form that WSGI knows, and what it was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain"), ("Server", "of the application"), ("X-App", "yes")]
closed: list[str] = []


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the end of the path's meaning; anything else: the request as it was found."""
    path = environ["PATH_INFO"]
    for end, answer in ANSWERS.items():
        if path.endswith(end):
            return answer(start_response)
    start_response("200 OK", list(TEXT))
    names = ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REMOTE_USER", "ADDED")
    return [" ".join(f"{name}={environ.get(name, '')}" for name in names).encode("latin-1")]


class Body:
    """A body that has to be closed."""

    def __init__(self, blocks: list[bytes]) -> None:
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._blocks)

    def close(self) -> None:
        """PEP 3333."""
        closed.append("closed")


def as_list(start_response: Callable[..., Any]) -> Iterable[bytes]:
    """An error with a whole body."""
    start_response("404 Not Found", [*TEXT, ("Content-Length", "11")])
    return [b"the app's 404"[:11]]


def as_generator(start_response: Callable[..., Any]) -> Iterator[bytes]:
    """start_response() within the iteration."""
    start_response("404 Not Found", list(TEXT))
    yield b"some"
    yield b"thing"


def by_write(start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The old way."""
    write = start_response("404 Not Found", list(TEXT))
    write(b"written")
    return []


def with_close(start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A body that has to be closed although it is not sent."""
    start_response("404 Not Found", list(TEXT))
    return Body([b"a", b"b"])


def how_many_closed(start_response: Callable[..., Any]) -> Iterable[bytes]:
    """How many such bodies were."""
    start_response("200 OK", list(TEXT))
    return [str(len(closed)).encode()]


def failing(start_response: Callable[..., Any]) -> Iterable[bytes]:
    """An exception."""
    raise RuntimeError("on purpose")


def failing_late(start_response: Callable[..., Any]) -> Iterator[bytes]:
    """An exception after an error was announced and before anything was sent."""
    start_response("404 Not Found", list(TEXT))
    raise RuntimeError("on purpose")
    yield b""


def slow(start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Longer than anybody waits."""
    time.sleep(60)
    return []


ANSWERS: dict[str, Callable[[Callable[..., Any]], Iterable[bytes]]] = {
    "/list": as_list,
    "/generator": as_generator,
    "/write": by_write,
    "/close": with_close,
    "/closed": how_many_closed,
    "/fails": failing,
    "/fails-late": failing_late,
    "/slow": slow,
}
