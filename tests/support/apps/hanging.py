"""One view for each way to hang: `/hang/WAY/NUMBER`; `/quick?SECONDS` answers. Runs on any WSGI server.

A middleware tells the route, as a framework's would. Every view hangs for two minutes at most, where it can.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

try:
    from uwsgi_deploy import set_route
except ImportError:  # another server, which has no use for it

    def set_route(environ: dict[str, Any], *, route: str = "", name: str = "") -> None:
        """Nothing."""


Environ = dict[str, Any]
StartResponse = Callable[..., Any]

LONG = 120.0
PLAIN = [("Content-Type", "text/plain")]


def sleep(environ: Environ) -> None:
    """Python code that waits, and lets others run."""
    time.sleep(LONG)


def loop(environ: Environ) -> None:
    """Python code that computes."""
    end = time.monotonic() + LONG
    number = 0
    while time.monotonic() < end:
        number += 1


def regex(environ: Environ) -> None:
    """C code that holds the interpreter."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def lock(environ: Environ) -> None:
    """A lock that its owner does not give back in time."""
    mine = threading.Lock()
    mine.acquire()
    mine.acquire(timeout=LONG)


def read_socket(environ: Environ) -> None:
    """A peer that never says anything."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(LONG)
        ours.recv(1)


def database(environ: Environ) -> None:
    """A query that takes for ever, on PostgreSQL."""
    import psycopg

    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("SELECT pg_sleep(120)")


def run_program(environ: Environ) -> None:
    """Another program that does not end."""
    subprocess.run(["sleep", str(int(LONG))], check=False)


def stream(environ: Environ) -> Iterator[bytes]:
    """A response without an end, block by block."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        yield b"another block\n"
        time.sleep(0.1)


def read_body(environ: Environ) -> None:
    """A client that sends its body drop by drop; the server must not collect it before (post-buffering = 0)."""
    environ["wsgi.input"].read()


VIEWS: dict[str, Callable[[Environ], object]] = {
    "sleep": sleep,
    "loop": loop,
    "regex": regex,
    "lock": lock,
    "socket": read_socket,
    "database": database,
    "subprocess": run_program,
    "stream": stream,
    "body": read_body,
}
"""Way to hang to its view; the view's name is what a report must show."""


def dispatch(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The application: routing is the middleware's."""
    view = environ.get("hanging.view")
    if view is None:
        time.sleep(float(environ.get("QUERY_STRING") or 0))
        start_response("200 OK", [*PLAIN, ("Content-Length", "6")])
        return [b"quick\n"]
    result = view(environ)
    if isinstance(result, Iterator):
        start_response("200 OK", PLAIN)
        return result
    start_response("200 OK", [*PLAIN, ("Content-Length", "10")])
    return [b"not hung!\n"]


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The middleware: find the view, tell the server its route."""
    words = environ["PATH_INFO"].split("/")
    if len(words) == 4 and words[1] == "hang":
        environ["hanging.view"] = VIEWS[words[2]]
        set_route(environ, route=f"/hang/{words[2]}/<int:number>", name=words[2])
    else:
        set_route(environ, route="/quick", name="quick")
    return dispatch(environ, start_response)
