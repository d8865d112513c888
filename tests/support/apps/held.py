"""Requests that hold the interpreter, so that nobody in their worker can do anything."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]


def hold() -> None:
    """C code that never looks up."""
    sum(range(10**16))


def match() -> None:
    """C code that looks for signals and does not come back to Python otherwise."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def defy(seconds: float) -> None:
    """Python code that nothing can interrupt, and which lets others run."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            time.sleep(0.01)
        except BaseException:
            continue


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """`/hold`, `/hold?LIMIT`, `/begun` (after a first block), `/match`, `/defy?SECONDS`, `/wait?SECONDS`.

    All answer with the pid, and all but `/` say that they have begun.
    """
    path = environ["PATH_INFO"]
    if path != "/":
        sys.stderr.write(f"at {path}\n")
    if path == "/begun":
        return begun(start_response)
    if path == "/hold":
        if environ["QUERY_STRING"].isdigit():
            sys.modules["uwsgi"].set_user_harakiri(int(environ["QUERY_STRING"]))
        hold()
    if path == "/match":
        match()
    if path == "/defy":
        defy(float(environ["QUERY_STRING"]))
    if path == "/wait":
        time.sleep(float(environ["QUERY_STRING"]))
    answer = str(os.getpid()).encode()
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(answer)))])
    return [answer]


def begun(start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A response without a length."""
    start_response("200 OK", TEXT)
    yield b"begun"
    hold()
