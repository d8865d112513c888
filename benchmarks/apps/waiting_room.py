"""Requests that wait until somebody lets them go, all of them at once: /wait, /count, /go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gevent.event import Event

GO = Event()
waiting = 0


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    global waiting
    path = environ["PATH_INFO"]
    if path == "/wait":
        waiting += 1
        GO.wait()
        waiting -= 1
    elif path == "/go":
        GO.set()
    answer = str(waiting).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
