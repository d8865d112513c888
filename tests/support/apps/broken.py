"""Fails in the way that the path names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Broken(Exception):
    """The application's own."""


def cut() -> Iterator[bytes]:
    """Fail in the middle of the response."""
    yield b"beginning"
    raise Broken("in the middle")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """`/value?TEXT`: ValueError, `/broken?TEXT`: Broken, `/exit`: SystemExit, `/cut`; else the pid."""
    path, text = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/value":
        raise ValueError(text)
    if path == "/broken":
        raise Broken(text)
    if path == "/exit":
        raise SystemExit(text)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return cut() if path == "/cut" else [str(os.getpid()).encode()]
