"""An application behind the http router: what it is told, and ways to die in the middle of it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Chooses by the path."""
    return ROUTES[environ["PATH_INFO"]](environ, start_response)


def tell_pid(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
    """Which worker this is, after as many seconds as the query says."""
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("200 OK", TEXT)
    return [b"%d" % os.getpid()]


def tell_environ(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
    """All text variables, as JSON."""
    start_response("200 OK", TEXT)
    return [json.dumps({name: value for name, value in environ.items() if isinstance(value, str)}).encode()]


def digest(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
    """Length and digest of the body."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()]


def stream(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
    """An answer without a length."""
    start_response("200 OK", [*TEXT, ("uWSGI-Encoding", "gzip")])
    for number in range(100):
        yield b"block %d\n" % number


def die(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
    """The process is gone before there is an answer."""
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def die_later(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
    """The process is gone inside an answer without a length."""
    start_response("200 OK", TEXT)
    yield b"begun"
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)


def close(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
    """The last answer on the client's connection."""
    start_response("200 OK", [*TEXT, ("Connection", "close")])
    return [b"bye"]


def converse(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
    """Another protocol: everything is said again in capitals."""
    peer = environ["werkzeug.socket"]
    peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: words\r\nConnection: Upgrade\r\n\r\n")
    while data := peer.recv(4096):
        peer.sendall(data.upper())
    peer.close()
    return []


ROUTES: dict[str, Callable[..., Iterable[bytes]]] = {
    "/": tell_pid,
    "/environ": tell_environ,
    "/digest": digest,
    "/stream": stream,
    "/die": die,
    "/die-later": die_later,
    "/close": close,
    "/converse": converse,
}
