"""Requests that do not end: in Python, in C code that holds the interpreter, in a lock."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]


class Interrupted(Exception):
    """A signal ended the request."""


def interrupt(number: int, frame: object) -> None:
    """What an application may do with harakiri-graceful-signal."""
    raise Interrupted


signal.signal(signal.SIGUSR2, interrupt)


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Run the path's function, answer with the pid."""
    if environ["PATH_INFO"] in WITH_CLIENT:
        return WITH_CLIENT[environ["PATH_INFO"]](environ, start_response)
    STUCK.get(environ["PATH_INFO"], lambda query: None)(environ["QUERY_STRING"])
    answer = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]


def stuck_in_sleep(query: str) -> None:
    """Python code that waits, and lets others run."""
    time.sleep(float(query or 1000))


def stuck_in_regex(query: str) -> None:
    """C code that holds the interpreter, and looks for signals that nobody can handle."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def stuck_in_power(query: str) -> None:
    """C code that holds the interpreter and never looks up."""
    len(str((10**7) ** (10**7)))


def stuck_in_habit(query: str) -> None:
    """Code that lets nothing but `Interrupted` disturb it."""
    while True:
        try:
            time.sleep(0.05)
        except Interrupted:
            raise
        except BaseException:
            continue


def stuck_in_lock(query: str) -> None:
    """A lock that its owner never gives back."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def stuck_in_read(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Wait for a body."""
    length = str(len(environ["wsgi.input"].read())).encode()
    start_response("200 OK", [("Content-Length", str(len(length)))])
    return [length]


def stuck_in_stream(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Send for ever."""
    start_response("200 OK", [])
    while True:
        yield b"x" * 65536


def large(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Much more than a socket's buffers hold, at once."""
    start_response("200 OK", [("Content-Length", str(16 << 20))])
    return [b"x" * (16 << 20)]


WITH_CLIENT = {"/read": stuck_in_read, "/stream": stuck_in_stream, "/large": large}

STUCK = {
    "/sleep": stuck_in_sleep,
    "/regex": stuck_in_regex,
    "/power": stuck_in_power,
    "/lock": stuck_in_lock,
    "/habit": stuck_in_habit,
}
