"""Applications that stress one thing each: many small blocks, an upload, a large answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

LARGE = b"x" * (1 << 20)


def blocks(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """2,000 blocks of about ten bytes."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (b"block %d\n" % number for number in range(2000))


def upload(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Reads the whole body and answers with its size."""
    body = str(len(environ["wsgi.input"].read())).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def large(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A megabyte in one block."""
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(LARGE)))])
    return [LARGE]
