"""Streams: what gathers is sent soon by the flusher, quiet streams cost nothing, and no block is forgotten."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.waiting import wait_until
from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.net.flusher import Flusher
from uwsgi_deploy.protocol.http1 import Http1Codec
from uwsgi_deploy.wsgi.response import BlockStream

CODEC = Http1Codec({}, max_head=1000, max_line=1000, max_fields=10)


class Whole:
    """As much of a response as a stream looks at."""

    complete = False


class Client:
    def __init__(self) -> None:
        ours, self.socket = socket.socketpair()
        ours.setblocking(False)
        self.socket.settimeout(10)
        self.connection = Connection(
            ours.detach(),
            CODEC,
            "",
            send_timeout=5.0,
            wait=lambda _fd, _events, _seconds: bool(time.sleep(0.001)) or True,
        )
        self.flusher = Flusher()
        self.stream = BlockStream(self.connection, self.connection.send, self.flusher)

    def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self.socket.recv(size - len(data))
        return data


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.socket.close()


def run(client: Client, blocks: Iterator[bytes]) -> None:
    client.stream.run(blocks, Whole())  # type: ignore[arg-type]


def test_block_is_sent_while_the_next_one_is_made(client: Client) -> None:
    """Nobody may have to wait for the next block (PEP 3333)."""

    def blocks() -> Iterator[bytes]:
        for number in range(3):
            yield b"%d" % number
            assert client.receive(1) == b"%d" % number

    run(client, blocks())


def test_quiet_stream_is_forgotten_and_then_its_core_sends(client: Client) -> None:
    """Thousands of listeners that hear something now and then must not be looked at every millisecond."""
    sent_by: list[str] = []

    def send(data: bytes) -> None:
        sent_by.append("core" if threading.current_thread() is threading.main_thread() else "flusher")
        client.connection.send(data)

    client.stream._send_block = send

    def blocks() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x"
            client.receive(1)
            wait_until(lambda: not client.flusher._watched, 5)

    run(client, blocks())
    assert sent_by == ["flusher", "core", "core"]


def test_fast_blocks_are_joined_and_none_is_lost(client: Client) -> None:
    """While the flusher forgets and is told again all the time."""
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(client.receive(30_000)))
    reader.start()
    sends: list[int] = []

    def send(data: bytes) -> None:
        sends.append(len(data))
        client.connection.send(data)

    client.stream._send_block = send

    def blocks() -> Iterator[bytes]:
        for number in range(10_000):
            if number % 500 == 0:
                time.sleep(0.003)
            yield b"%03d" % (number % 1000)

    run(client, blocks())
    reader.join(10)
    assert received == [b"".join(b"%03d" % (number % 1000) for number in range(10_000))]
    assert len(sends) < 2000


def test_client_that_left_ends_the_stream(client: Client) -> None:
    client.socket.close()

    def blocks() -> Iterator[bytes]:
        while True:
            yield b"x" * 1000

    with pytest.raises(OSError, match=r"Broken pipe|reset"):
        run(client, blocks())
    assert not client.flusher._watched


def test_stream_that_is_over_is_not_touched(client: Client) -> None:
    """Its descriptor may be another client's by then."""
    run(client, iter([b"a", b"b"]))
    client.stream._pending.append(b"late")
    assert not client.stream.tick()
    assert client.stream.rest()
    client.connection.send(b"!")
    assert client.receive(3) == b"ab!"
