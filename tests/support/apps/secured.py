"""An application that says what it is told of its client, and answers in every way there is."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

PIECE = bytes(range(256)) * 512
FILE = tempfile.TemporaryFile()  # noqa: SIM115 - for the life of the process
FILE.write(PIECE * 24)
FILE.flush()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "application/octet-stream")]
    if path == "/big":
        start_response("200 OK", headers)
        return [PIECE * 24]
    if path == "/stream":
        start_response("200 OK", headers)
        return (PIECE[:1000] for _ in range(3000))
    if path == "/file":
        copy = open(f"/proc/self/fd/{FILE.fileno()}", "rb")  # noqa: SIM115 - closed by the server
        start_response("200 OK", headers)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](copy)
        return wrapped
    if path == "/cut":
        start_response("200 OK", headers)
        return _cut()
    if path == "/strict":
        start_response("200 OK", [*headers, ("strict-transport-security", "max-age=1")])
        return [b"own"]
    if path == "/echo":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
        return [body]
    told = {name: value for name, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", headers)
    return [json.dumps({**told, "pid": os.getpid()}).encode()]


def _cut() -> Iterable[bytes]:
    yield b"begun"
    raise ValueError("in the middle of the answer")
