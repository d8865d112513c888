"""Streams: the first block leaves at once, no block waits for the application, and a flood of small ones is joined."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.conformance.servers import Target, serve
from tests.conformance.wire import request
from tests.support.engines import GREEN, PREFORK, THREADS

PAUSE = 1.5
SOON = 0.75
"""Seconds in which a block must have arrived; half of the pause that it would otherwise have waited for."""


@pytest.fixture(scope="module", params=[PREFORK, THREADS, GREEN], ids=["prefork", "threads", "gevent"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with serve(tmp_path_factory.mktemp("state"), *request.param) as running:
        yield running


def test_blocks_are_not_held_back(target: Target) -> None:
    """PEP 3333: a block is sent before the next one is asked for, or while it is being made."""
    with target.wire() as wire:
        started = time.monotonic()
        wire.send(request(f"/stream?blocks=3&pause={PAUSE}"))
        assert wire.receive_until(b"00000") - started < SOON
        assert PAUSE * 0.9 < wire.receive_until(b"11111") - started < PAUSE + SOON
        assert wire.receive_until(b"22222") - started < 2 * PAUSE + SOON


def test_block_after_a_fast_one_is_sent_while_the_application_computes(target: Target) -> None:
    """What is joined with the next block must not wait when no next one comes."""
    with target.wire() as wire:
        started = time.monotonic()
        wire.send(request(f"/stream?blocks=6&burst=3&pause={PAUSE}"))
        assert wire.receive_until(b"22222") - started < SOON
        assert PAUSE * 0.9 < wire.receive_until(b"55555") - started < PAUSE + SOON


def test_written_block_is_sent_while_the_application_computes(target: Target) -> None:
    with target.wire() as wire:
        started = time.monotonic()
        wire.send(request(f"/write/only?pause={PAUSE}"))
        assert wire.receive_until(b"one,") - started < SOON
        assert wire.read_response().body == b"one,two,"


def test_stream_with_a_length_is_not_held_back(target: Target) -> None:
    with target.wire() as wire:
        started = time.monotonic()
        wire.send(request(f"/stream?blocks=2&size=5&length=10&pause={PAUSE}"))
        assert wire.receive_until(b"00000") - started < SOON
        assert wire.read_response().body == b"0000011111"


def test_flood_of_small_blocks_is_joined(target: Target) -> None:
    """2,000 blocks of 5 bytes make few chunks, in order and complete."""
    blocks = 2000
    with target.wire() as wire:
        wire.send(request(f"/stream?blocks={blocks}&size=5", "Connection: close"))
        raw = wire.read_to_end()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    content, chunk_count = decode(body)
    assert content == b"".join(b"%d" % (number % 10) * 5 for number in range(blocks))
    assert chunk_count < blocks / 4


def decode(body: bytes) -> tuple[bytes, int]:
    """Content and number of chunks."""
    content, count = b"", 0
    while True:
        line, _, body = body.partition(b"\r\n")
        size = int(line, 16)
        if size == 0:
            assert body == b"\r\n"
            return content, count
        content, count = content + body[:size], count + 1
        assert body[size : size + 2] == b"\r\n"
        body = body[size + 2 :]


def test_connection_is_kept_after_a_stream(target: Target) -> None:
    with target.wire() as wire:
        for _ in range(3):
            wire.send(request("/stream?blocks=50&size=100"))
            response = wire.read_response()
            assert response.whole
            assert len(response.body) == 5000


def test_slow_reader_of_a_stream(target: Target) -> None:
    """More than the socket buffers take, read slowly: everything arrives, in order."""
    with target.wire(patience=30) as wire:
        wire.send(request("/stream?blocks=2000&size=5000"))
        wire.receive_until(b"\r\n\r\n")
        response = wire.read_response()
    assert response.whole
    assert response.body == b"".join(b"%d" % (number % 10) * 5000 for number in range(2000))
