"""The smallest application, and a few that do one thing each."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the path's meaning: /pid, /slow?SECONDS, /exit?CODE, /cwd, /env?NAME, anything else: hello."""
    path, query = environ.get("PATH_INFO", "/"), environ.get("QUERY_STRING", "")
    answer = ROUTES.get(path, hello)(query)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]


def hello(query: str) -> bytes:
    """The answer to everything else."""
    return b"hello\n"


def pid(query: str) -> bytes:
    """Which process answers."""
    return str(os.getpid()).encode()


def slow(query: str) -> bytes:
    """Take `query` seconds, then answer; tell the log that it has begun."""
    print("slow: begins", flush=True)
    time.sleep(float(query or 1))
    return b"slow\n"


def die(query: str) -> bytes:
    """End the process in the middle of a request."""
    os._exit(int(query or 0))


def cwd(query: str) -> bytes:
    """The working directory."""
    return os.getcwd().encode()


def env(query: str) -> bytes:
    """An environment variable."""
    return os.environ.get(query, "").encode()


def identity(query: str) -> bytes:
    """uid, gid, supplementary groups."""
    return f"{os.getuid()} {os.getgid()} {sorted(os.getgroups())}".encode()


def path(query: str) -> bytes:
    """sys.path, one entry per line."""
    return "\n".join(sys.path).encode()


ROUTES = {
    "/pid": pid,
    "/slow": slow,
    "/exit": die,
    "/cwd": cwd,
    "/env": env,
    "/identity": identity,
    "/path": path,
}
