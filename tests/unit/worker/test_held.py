"""Held responses: each is sent once, in any thread; a client that left ends its connection and no other."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.protocol.http1 import Http1Codec
from uwsgi_deploy.worker.held import HeldResponses


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    codec = Http1Codec({}, max_head=1000, max_line=1000, max_fields=10)
    connection = Connection(
        os.dup(ours.fileno()), codec, "", send_timeout=1.0, wait=lambda _fd, _events, _timeout: False
    )
    with ours, theirs:
        yield connection, theirs
    os.close(connection.fd)


def test_flush_sends_and_gives_back(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    released: list[Connection] = []
    held = HeldResponses(released.append, pytest.fail)
    connection.held = b"answer"
    held.hold(connection)
    held.flush()
    held.flush()
    assert client.recv(100) == b"answer"
    assert released == [connection]
    assert connection.held is None


def test_a_client_that_left(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    client.close()
    os.set_blocking(connection.fd, False)
    gone: list[Connection] = []
    held = HeldResponses(pytest.fail, gone.append)
    connection.held = b"answer"
    # The peer of a Unix pair is known to be gone at once; SIGPIPE is ignored by Python.
    held.hold(connection)
    held.flush()
    assert gone == [connection]
