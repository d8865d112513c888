"""An application with a thread pool and an exit handler: what a worker must not cut off when it ends."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

POOL = ThreadPoolExecutor(2)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Start a job that outlives the request."""
    POOL.submit(job)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def job() -> None:
    """Take a while, then say so."""
    time.sleep(0.3)
    print(f"job done in {os.getpid()}")


@atexit.register
def bye() -> None:
    """Say that exit handlers run."""
    print(f"exit handler in {os.getpid()}")
