"""The least an application can do, and one that takes as long as the query says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

BODY = b"Hello, world!\n"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]


def pid_after_pause(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Sleep for QUERY_STRING seconds and answer with the worker's pid."""
    time.sleep(float(environ["QUERY_STRING"] or 0))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def journal(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Note `ID PID` in the file that JOURNAL names, then answer like `pid_after_pause`. QUERY_STRING: ID=SECONDS."""
    name, _, pause = environ["QUERY_STRING"].partition("=")
    os.write(_journal(), f"{name} {os.getpid()}\n".encode())
    return pid_after_pause({"QUERY_STRING": pause}, start_response)


@cache
def _journal() -> int:
    return os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
