"""The reactor's corners that no client can reach at will: what happens between two looks."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from uwsgi_deploy.net.connection import Limits, State
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
