"""The reactor's corners that no client can reach at will: what happens between two looks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from select import EPOLLHUP, EPOLLIN, EPOLLRDHUP

import pytest

from uwsgi_deploy.net.connection import Connection, Limits, State
from uwsgi_deploy.net.reactor import Reactor
from uwsgi_deploy.protocol.http1 import Http1Codec

LIMITS = Limits(
    header_timeout=10.0,
    body_timeout=10.0,
    keepalive_timeout=10.0,
    send_timeout=10.0,
    post_buffering=4096,
    limit_post=0,
)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor(
        (),
        LIMITS,
        cores=1,
        accept_at_once=1,
        wait=lambda *_: True,
        on_refused=lambda *_: None,
        on_gone=lambda *_: None,
    )
    yield made
    made.close()


@pytest.fixture
def client(reactor: Reactor) -> Iterator[socket.socket]:
    """The other end of an idle connection."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    codec = Http1Codec({}, max_head=4096, max_line=1024, max_fields=100)
    reactor.admit(theirs.detach(), "", codec)
    with ours:
        ours.settimeout(5)
        yield ours


def sweep(reactor: Reactor, seconds: float) -> None:
    """Look for who is late, `seconds` from now."""
    reactor.now += seconds
    reactor._sweep(reactor.now)


def test_idle_connection_is_closed(reactor: Reactor, client: socket.socket) -> None:
    sweep(reactor, LIMITS.header_timeout + 1)
    assert client.recv(1) == b""
    assert reactor.connections == {}


def test_request_of_this_very_moment(reactor: Reactor, client: socket.socket) -> None:
    """It came after the events were collected and before the idle connection is closed: it is not reset."""
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    sweep(reactor, LIMITS.header_timeout + 1)
    (connection,) = reactor.ready
    assert connection.state is State.BUSY


def test_beginning_of_this_very_moment(reactor: Reactor, client: socket.socket) -> None:
    """Half a head has the time that heads have."""
    client.sendall(b"GET / HTTP/1.1\r\n")
    sweep(reactor, LIMITS.header_timeout + 1)
    assert len(reactor.connections) == 1
    client.sendall(b"Host: x\r\n\r\n")
    reactor.poll()
    assert len(reactor.ready) == 1


def test_half_a_head_in_time_left(reactor: Reactor, client: socket.socket) -> None:
    client.sendall(b"GET / HTTP/1.1\r\n")
    reactor.poll()
    sweep(reactor, LIMITS.header_timeout + 1)
    assert client.recv(4096).startswith(b"HTTP/1.1 408 ")


class Interfered(Connection):
    """While a core ends its response, the leader comes in between with the news that the client is gone."""

    __slots__ = ("meddle",)

    def shut_down(self) -> None:
        self.meddle()
        super().shut_down()


def test_a_core_that_lingers_still_owns_its_descriptor(reactor: Reactor) -> None:
    """Closed by the leader, it may be another client's by the time that the core shuts it down."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    fd = theirs.detach()
    ours.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nmore")
    reactor.admit(fd, "", Http1Codec({}, max_head=4096, max_line=1024, max_fields=100), Interfered)
    connection = reactor.ready.popleft()
    assert isinstance(connection, Interfered)

    def meddle() -> None:
        ours.close()
        reactor._event(connection, EPOLLIN | EPOLLRDHUP | EPOLLHUP)
        assert reactor.connections == {fd: connection}

    connection.meddle = meddle
    reactor.release(connection)
    reactor.poll()
    assert reactor.connections == {}


class Swept(Connection):
    """The leader sweeps at the very moment in which a core gives its connection back."""

    __slots__ = ("sweep", "theirs")

    @property
    def state(self) -> State:  # type: ignore[override]
        return self.theirs

    @state.setter
    def state(self, state: State) -> None:
        self.theirs = state
        if state is State.SENDING:
            self.sweep()


def test_a_response_that_is_given_back_has_its_deadline(reactor: Reactor) -> None:
    """That of its request is long over."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours:
        ours.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        reactor.admit(theirs.detach(), "", Http1Codec({}, max_head=4096, max_line=1024, max_fields=100), Swept)
        connection = reactor.ready.popleft()
        assert isinstance(connection, Swept)
        connection.leave(b"rest")
        connection.sweep = lambda: sweep(reactor, 0)
        reactor.now += 1000
        reactor.release(connection)
        assert connection.state is State.SENDING


def test_body_of_known_length_is_no_reason_to_linger(reactor: Reactor) -> None:
    """Its last read may have filled what was asked for: whether more has come is looked at before the close."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours:
        ours.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n")
        reactor.admit(theirs.detach(), "", Http1Codec({}, max_head=4096, max_line=1024, max_fields=100))
        ours.sendall(b"abc")
        reactor.poll()
        connection = reactor.ready.popleft()
        assert connection.readable
        reactor.release(connection)
        assert connection.state is State.CLOSED
        assert ours.recv(1) == b""
