"""Requests that take too long in every way, and what applications say about their deadlines."""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from uwsgi_deploy import (
    HarakiriTimeout,
    deadline,
    extend_deadline,
    harakiri,
    on_timeout,
    set_route,
    timed_out,
)

Environ = dict[str, Any]
Start = Callable[..., Any]


@on_timeout
def note() -> None:
    """Says where it is called."""
    print(f"on_timeout in {threading.current_thread().name}", file=sys.stderr)


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Run the function of the path's name; it answers a result that is no iterable of bytes with its JSON."""
    result = globals()[environ["PATH_INFO"].strip("/") or "pid"](environ, start_response)
    if result is None or isinstance(result, str | int | float):
        body = json.dumps(result).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
    return result  # type: ignore[no-any-return]


def pid(_environ: Environ, _start: Start) -> int:
    """Who answers."""
    return os.getpid()


# --- ways to hang -----------------------------------------------------------------------------------------------------


def sleep(environ: Environ, _start: Start) -> str:
    """Wait."""
    time.sleep(float(environ["QUERY_STRING"] or 1000))
    return "slept"


def busy(_environ: Environ, _start: Start) -> None:
    """Python code."""
    while True:
        pass


def lock(_environ: Environ, _start: Start) -> None:
    """A lock that its owner never gives back."""
    one = threading.Lock()
    one.acquire()
    one.acquire()


def read_socket(_environ: Environ, _start: Start) -> None:
    """A peer that says nothing."""
    ours, _theirs = socket.socketpair()
    ours.recv(1)


def stream(_environ: Environ, start_response: Start) -> Iterator[bytes]:
    """Blocks without end."""
    start_response("200 OK", [])

    def blocks() -> Iterator[bytes]:
        while True:
            yield b"block"
            time.sleep(0.01)

    return blocks()


def read_body(environ: Environ, _start: Start) -> int:
    """Its length."""
    return len(environ["wsgi.input"].read())


def swallow(_environ: Environ, _start: Start) -> None:
    """Goes on whatever happens."""
    while True:
        try:
            time.sleep(0.05)
        except BaseException:
            print("swallowed", file=sys.stderr)


def swallow_stream(_environ: Environ, start_response: Start) -> Iterator[bytes]:
    """Has begun to answer, and goes on whatever happens."""
    start_response("200 OK", [])

    def blocks() -> Iterator[bytes]:
        yield b"block"
        swallow({}, start_response)

    return blocks()


def forked(_environ: Environ, _start: Start) -> str:
    """A child of the application's says something about its own time, which is no business of the request's."""
    child = os.fork()
    if not child:
        try:
            with deadline(0.1):
                os._exit(0)
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    naps(0.5)
    return "forked"


def slow_close(_environ: Environ, start_response: Start) -> Iterable[bytes]:
    """A whole response, whose end takes long."""

    class Result:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"whole"])

        def close(self) -> None:
            while True:
                time.sleep(0.05)

    start_response("200 OK", [("Content-Length", "5")])
    return Result()


# --- what applications say --------------------------------------------------------------------------------------------


def block(environ: Environ, _start: Start) -> str:
    """Catches the timeout of a part; the parts outside have their own."""
    try:
        with deadline(50):
            with deadline(0.3):
                naps(100)
            return "not reached"
    except HarakiriTimeout:
        naps(0.5)
        return "caught"


def uncaught(_environ: Environ, _start: Start) -> None:
    """Does not catch it."""
    with deadline(0.3):
        naps(100)


def naps(seconds: float) -> None:
    """Waits that can be interrupted in any thread."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)


@harakiri(None)
def exempt(_environ: Environ, _start: Start) -> str:
    """Takes longer than the usual limit."""
    naps(2)
    return "exempt"


@harakiri(0.3)
def short(_environ: Environ, _start: Start) -> None:
    """Has less time than others."""
    naps(100)


def extend(_environ: Environ, _start: Start) -> str:
    """Asks for more time."""
    extend_deadline(2)
    naps(2)
    return "extended"


def named(environ: Environ, _start: Start) -> str:
    """Is of a route that has a limit of its own, or none."""
    set_route(environ, route="/named", name=environ["QUERY_STRING"])
    naps(2)
    return "named"


def paged(_environ: Environ, start_response: Start) -> list[bytes]:
    """Answers its timeout itself, which takes a while."""
    try:
        naps(100)
    except HarakiriTimeout:
        timed_out()
        naps(0.8)
    start_response("504 Gateway Timeout", [("Content-Type", "text/html"), ("Content-Length", "4")])
    return [b"page"]


def whatever(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """A response of some kind, around the moment when its time is over; `X-Length` says how long it should be."""
    chance = random.Random(environ["QUERY_STRING"])
    with deadline(chance.uniform(0.001, 0.02)):
        work(chance.uniform(0, 0.01))
        count, size = chance.choice([(1, 10), (1, 40000), (20, 100), (5, 30000)])
        fields = [("X-Length", str(count * size))]
        kind = chance.randrange(4)
        if kind == 0:
            start_response("200 OK", [*fields, ("Content-Length", str(count * size))])
            return [b"x" * size] * count
        if kind == 1:
            write = start_response("200 OK", fields)
            for _ in range(count):
                write(b"x" * size)
                work(0.0005)
            return []
        start_response("200 OK", fields if kind == 2 else [*fields, ("Content-Length", str(count * size))])
        return Parts(chance, count, size)


class Parts:
    """Blocks that take their time, under a deadline of their own."""

    def __init__(self, chance: random.Random, count: int, size: int) -> None:
        self.chance, self.count, self.size = chance, count, size

    def __iter__(self) -> Iterator[bytes]:
        with deadline(self.chance.uniform(0.001, 0.02)):
            for _ in range(self.count):
                work(0.0005)
                yield b"x" * self.size

    def close(self) -> None:
        """The end."""
        work(0.0005)


def work(seconds: float) -> None:
    """Half computing, half waiting."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(100))
        if random.random() < 0.2:
            time.sleep(0.0001)
