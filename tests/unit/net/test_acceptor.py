"""Workers that share listening sockets: no client is forgotten between them."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest

from tests.support.waiting import wait_until
from uwsgi_deploy.net.acceptor import Acceptor, Endpoint, Siblings
from uwsgi_deploy.protocol.messages import Codec

CODEC: Codec = None  # type: ignore[assignment]  # nobody speaks here


class Sibling:
    """A worker as far as it accepts; `admitted` are its clients."""

    def __init__(self, listener: socket.socket, idle: memoryview, own: int, call_fd: int) -> None:
        self.epoll = select.epoll()
        self.admitted: list[int] = []
        self.acceptor = Acceptor(
            self.epoll,
            [Endpoint(listener.dup(), CODEC)],
            at_once=1,
            siblings=Siblings(idle, own, call_fd),
            admit=lambda fd, address, codec, kind: self.admitted.append(fd),
            shortage=lambda: None,
        )

    def poll(self, timeout: float) -> list[int]:
        """The descriptors that have something to say."""
        return [fd for fd, _ in self.epoll.poll(timeout)]

    def round(self, timeout: float, *, room: int = 1) -> None:
        """One round of a reactor."""
        for fd in self.poll(timeout):
            self.acceptor.on_event(fd, now=0.0, room=room)


@pytest.fixture
def siblings() -> Iterator[tuple[Sibling, Sibling, socket.socket]]:
    idle = memoryview(bytearray(2))
    call_fd = os.eventfd(0, os.EFD_NONBLOCK)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        one, other = (Sibling(listener, idle, own, call_fd) for own in range(2))
        yield one, other, listener
    for sibling in (one, other):
        for fd in sibling.admitted:
            os.close(fd)
        sibling.epoll.close()
    os.close(call_fd)


def blocked(thread: threading.Thread) -> bool:
    """Whether the thread waits in the kernel."""
    assert thread.native_id is not None
    with open(f"/proc/self/task/{thread.native_id}/wchan") as file:
        if "poll" in file.read():
            return True
    with open(f"/proc/self/task/{thread.native_id}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def test_who_leaves_passes_on_the_client_it_was_woken_for(
    siblings: tuple[Sibling, Sibling, socket.socket],
) -> None:
    """The kernel tells one of them; when that one goes without accepting the other hears of it."""
    one, other, listener = siblings
    woken: list[list[int]] = []
    waiting = threading.Thread(target=lambda: woken.append(one.poll(20)))
    waiting.start()
    wait_until(lambda: blocked(waiting), what="the first to wait")
    with socket.create_connection(listener.getsockname()):
        waiting.join(20)
        assert len(woken[0]) == 1
        assert other.poll(0) == []  # the premise: it was not told
        one.acceptor.leave(now=0.0, backlog=False)
        other.round(10)
    assert (one.admitted, len(other.admitted)) == ([], 1)


def test_who_leaves_without_a_client_disturbs_nobody_for_long(
    siblings: tuple[Sibling, Sibling, socket.socket],
) -> None:
    """The other looks once, and sleeps on."""
    one, other, _ = siblings
    one.acceptor.leave(now=0.0, backlog=False)
    other.round(10)
    assert other.admitted == []
    assert other.poll(0) == []


def test_last_call_takes_everybody(siblings: tuple[Sibling, Sibling, socket.socket]) -> None:
    """A server that stops: nobody else will serve those who wait."""
    one, _, listener = siblings
    with socket.create_connection(listener.getsockname()), socket.create_connection(listener.getsockname()):
        one.acceptor.leave(now=0.0, backlog=True)
        assert len(one.admitted) == 2


def test_a_shortage_is_found_out_by_several_listeners_of_one_round() -> None:
    """The first lets go of all of them; the next are not let go of again."""
    shortages: list[int] = []
    with select.epoll() as epoll, ExitStack() as opened:
        listeners = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        endpoints = [Endpoint(cast(Any, WithoutDescriptors(one)), CODEC) for one in listeners]
        acceptor = Acceptor(
            epoll,
            endpoints,
            at_once=1,
            siblings=None,
            admit=lambda *_client: pytest.fail("nobody can be accepted"),
            shortage=lambda: shortages.append(1),
        )
        for listener in listeners:
            acceptor.on_event(listener.fileno(), now=0.0, room=1)
        assert acceptor.paused
        assert len(shortages) == 1
        opened.enter_context(socket.create_connection(listeners[1].getsockname()))
        assert epoll.poll(0) == []
        acceptor.resume(1000.0)
        assert [fd for fd, _ in epoll.poll(10)] == [listeners[1].fileno()]


class WithoutDescriptors:
    """A listener in a process that has no descriptor left."""

    def __init__(self, listener: socket.socket) -> None:
        self.fileno = listener.fileno

    def _accept(self) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
