"""What only greenlets can tell: what was patched and when, contexts, who shares a greenlet, how many there are."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from time import sleep as sleep_at_import
from typing import Any

Environ = dict[str, Any]
SEEN: ContextVar[str] = ContextVar("SEEN", default="nothing")
LOCAL = threading.local()
TURNS: list[str] = []


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer by the path, see ROUTES; the query string is the argument."""
    answer = ROUTES[environ["PATH_INFO"]](environ, environ.get("QUERY_STRING", ""))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode()] if isinstance(answer, str) else answer


def is_patched(function: object) -> str:
    return "patched" if getattr(function, "__module__", "").startswith("gevent") else "native"


def patched(environ: Environ, query: str) -> str:
    """How time.sleep was when this was imported, and how it is now."""
    return f"{is_patched(sleep_at_import)} {is_patched(time.sleep)}"


def sleep(environ: Environ, query: str) -> str:
    """Wait, and let others run."""
    time.sleep(float(query))
    return "slept"


def block(environ: Environ, query: str) -> str:
    """Wait, and let nobody run: what a database driver in C does."""
    deadline = time.monotonic() + float(query)
    while time.monotonic() < deadline:
        hold_everything_up()
    return "blocked"


def hold_everything_up() -> None:
    sum(range(10_000))


def context(environ: Environ, query: str) -> str:
    """What was in the context at the start, and whether it is one's own after others ran."""
    before = SEEN.get()
    SEEN.set(query)
    time.sleep(0.05)
    return f"{before} {SEEN.get() == query}"


def local(environ: Environ, query: str) -> str:
    """How often this greenlet came here."""
    LOCAL.visits = getattr(LOCAL, "visits", 0) + 1
    return str(LOCAL.visits)


def greenlets(environ: Environ, query: str) -> str:
    """How many there are in this process."""
    import greenlet

    return str(sum(isinstance(thing, greenlet.greenlet) for thing in gc.get_objects()))


def core(environ: Environ, query: str) -> str:
    return str(environ["uwsgi.core"])


def stream(environ: Environ, query: str) -> Iterator[bytes]:
    """As many blocks, with a pause before each."""
    for number in range(int(query)):
        time.sleep(0.05)
        yield f"{number}\n".encode()


def endless(environ: Environ, query: str) -> Iterator[bytes]:
    """Until the client has enough; stops when nobody takes it."""
    while True:
        TURNS.append("endless")
        yield bytes(65536)


def turns(environ: Environ, query: str) -> str:
    """How many blocks `endless` was asked for."""
    return str(len(TURNS))


def body(environ: Environ, query: str) -> str:
    """The size of the request body."""
    return str(len(environ["wsgi.input"].read()))


def spawn(environ: Environ, query: str) -> str:
    """Something that goes on after the answer, for so many seconds."""
    threading.Thread(target=go_on, args=(float(query),), daemon=True).start()
    return "spawned"


def go_on(seconds: float) -> None:
    time.sleep(seconds)
    os.write(2, b"green: it has gone on to its end\n")


def about(environ: Environ, query: str) -> str:
    import uwsgi

    return f"{uwsgi.loop} {uwsgi.cores} {environ['wsgi.multithread']}"


ROUTES: dict[str, Callable[[Environ, str], Any]] = {
    "/patched": patched,
    "/sleep": sleep,
    "/block": block,
    "/context": context,
    "/local": local,
    "/greenlets": greenlets,
    "/core": core,
    "/stream": stream,
    "/endless": endless,
    "/turns": turns,
    "/body": body,
    "/spawn": spawn,
    "/about": about,
}
