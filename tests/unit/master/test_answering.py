"""Answering in another process's place: its connection is borrowed, written to, and given back to nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from uwsgi_deploy.master import answering


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(params=["tcp", "unix"])
def stopped(request: pytest.FixtureRequest) -> Iterator[tuple[int, int, socket.socket]]:
    """A child that does nothing, as a pidfd; the number of a connection in it that nobody else has; its client."""
    if request.param == "unix":
        ours, theirs = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            theirs, _ = listener.accept()
    theirs.setblocking(False)
    pid = os.fork()
    if not pid:
        ours.close()
        while True:
            signal.pause()
    number = theirs.fileno()
    theirs.close()
    ours.settimeout(10)
    process = os.pidfd_open(pid)
    try:
        yield process, number, ours
    finally:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(process)
        ours.close()


def received(client: socket.socket) -> bytes:
    """All that comes until the end."""
    data = b""
    while block := client.recv(65536):
        data += block
    return data


def test_answer_reaches_the_client(stopped: tuple[int, int, socket.socket]) -> None:
    """Whole, with an orderly end although the owner has not read the request and never closes; nothing is left over."""
    process, number, client = stopped
    client.sendall(b"x" * 100_000)
    before = descriptors()
    data = answering.response(504, "too slow", method="GET")
    with answering.borrow(process, number) as connection:
        assert answering.answer(connection, data)
    assert received(client) == data
    assert descriptors() == before


def test_response_is_a_whole_one() -> None:
    """Length, and the end of the connection; no body for HEAD; Retry-After where it is wanted."""
    head, _, body = answering.response(504, "too slow", method="GET").partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 504 Gateway Timeout"
    assert lines[1].startswith(b"Date: ")
    assert {b"Content-Length: 9", b"Connection: close"} <= set(lines)
    assert body == b"too slow\n"
    assert b"Retry-After" not in head
    other = answering.response(503, "lost", method="HEAD", retry_after=1)
    assert other.endswith(b"\r\n\r\n")
    assert b"\r\nContent-Length: 5\r\nRetry-After: 1\r\n" in other


def test_client_that_takes_nothing_or_has_left(stopped: tuple[int, int, socket.socket]) -> None:
    """Nobody waits for it."""
    process, number, client = stopped
    with answering.borrow(process, number) as connection:
        with contextlib.suppress(BlockingIOError):
            while connection.send(b"x" * 65536, socket.MSG_DONTWAIT):
                pass
        assert not answering.answer(connection, b"late")
    client.close()
    with answering.borrow(process, number) as connection:
        assert not answering.answer(connection, b"late")


def test_cut_is_no_end(stopped: tuple[int, int, socket.socket]) -> None:
    """A client that waits for the end of a response must not take it for whole: a reset over TCP."""
    process, number, client = stopped
    with answering.borrow(process, number) as connection:
        is_tcp = connection.family == socket.AF_INET
        answering.cut(connection)
    if is_tcp:
        with pytest.raises(ConnectionResetError):
            received(client)
    else:
        assert received(client) == b""


def test_descriptor_that_is_none(stopped: tuple[int, int, socket.socket]) -> None:
    """An error, and nothing stays open: neither for a number that is free nor for a file."""
    process, _, _ = stopped
    before = descriptors()
    with pytest.raises(OSError, match="Bad file descriptor"):
        answering.borrow(process, 999_999)
    reader, writer = os.pipe()
    ourselves = os.pidfd_open(os.getpid())
    with pytest.raises(OSError, match="non-socket"):
        answering.borrow(ourselves, reader)
    for descriptor in (reader, writer, ourselves):
        os.close(descriptor)
    assert descriptors() == before


def test_end_is_awaited(stopped: tuple[int, int, socket.socket]) -> None:
    """But not for ever."""
    process, _, _ = stopped
    assert not answering.await_end(process, 0.01)
    signal.pidfd_send_signal(process, signal.SIGKILL)
    assert answering.await_end(process, 10)
