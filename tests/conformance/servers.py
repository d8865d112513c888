"""Servers of the shapes that conformance is judged in, running the conformance application."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.conformance.application import count as count_events
from tests.conformance.wire import Wire, request
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

SHAPES: dict[str, tuple[str, ...]] = {
    "1x1": ("--processes", "1", "--threads", "1"),
    "4-threads": ("--processes", "1", "--threads", "4"),
    "gevent": ("--processes", "1", "--gevent", "50"),
    "2-processes": ("--processes", "2", "--threads", "1"),
}
MODULE = ("--module", "tests.conformance.application")


@dataclass(frozen=True, slots=True)
class Target:
    """A running server, and what tests ask it most."""

    process: ServerProcess
    state: Path

    @property
    def http(self) -> tuple[str, int]:
        return self.process.addresses[0]

    @property
    def uwsgi(self) -> tuple[str, int]:
        return self.process.addresses[1]

    def wire(self, **more: Any) -> Wire:
        return Wire(self.http, **more)

    def count(self, kind: str, ident: str) -> int:
        """How many events of a kind the application noted for `ident`."""
        return count_events(self.state, kind, ident)

    def wait_for(self, kind: str, ident: str, *, timeout: float = 10.0) -> None:
        wait_until(lambda: self.count(kind, ident), timeout, what=f"{kind} of {ident}")

    def assert_serving(self) -> None:
        """A normal client gets a normal answer."""
        with self.wire() as wire:
            wire.send(request("/x"))
            response = wire.read_response()
        assert (response.status, response.body) == (200, b"path=/x\n")


ServerFor = Callable[[str, tuple[str, ...]], Target]
"""A server by the name of its shape and its options."""


@contextmanager
def serve(state: Path, *options: str, application: Sequence[str] = MODULE) -> Iterator[Target]:
    """A server with an HTTP and a uwsgi socket, in the shape and with the limits that the options give."""
    state.mkdir(parents=True, exist_ok=True)
    sockets = ("--http-socket", "127.0.0.1:0", "--socket", "127.0.0.1:0")
    with ServerProcess(*sockets, *application, *options, environment={"CONFORMANCE_STATE": str(state)}) as process:
        yield Target(process, state)


def fresh_ident() -> str:
    """A name under which nothing was counted yet."""
    return uuid4().hex
