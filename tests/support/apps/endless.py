"""Requests that never end: /sleep in a Python call, /interpreter in C code that holds the interpreter."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable
from typing import Any


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    print(f"endless: {path}", flush=True)
    if path == "/interpreter":
        ctypes.PyDLL(None).sleep(600)  # unlike CDLL it does not let go of the interpreter
    time.sleep(600)
    return []
