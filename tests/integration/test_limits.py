"""Deadlines and limits of real connections: each has a status code or ends the connection, and none holds a worker."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.servers import Target, fresh_ident, serve
from tests.conformance.wire import Wire, chunks, request
from tests.support.engines import GREEN, PREFORK
from tests.support.waiting import wait_until

SHORT = 1.0
"""Seconds of the timeouts under test; the server may take some more, since it looks at deadlines in coarse steps."""
LATEST = 6.0


@pytest.fixture(scope="module", params=[PREFORK, GREEN], ids=["prefork", "gevent"])
def impatient(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server whose timeouts are all a second."""
    names = ("header-timeout", "body-timeout", "http-keepalive-timeout", "send-timeout")
    options = [text for name in names for text in (f"--{name}", str(SHORT))]
    with serve(tmp_path_factory.mktemp("state"), *options, *request.param) as target:
        yield target


def assert_refused(wire: Wire, started: float) -> None:
    response = wire.read_response()
    assert response.status == 408
    assert not response.from_application
    assert wire.is_closed()
    assert SHORT * 0.8 < time.monotonic() - started < LATEST


def test_head_that_never_ends(impatient: Target) -> None:
    started = time.monotonic()
    with impatient.wire() as wire:
        wire.send(b"GET /x HTTP/1.1\r\nHos")
        assert_refused(wire, started)


def test_slow_head_gains_no_time_by_dripping(impatient: Target) -> None:
    """The header timeout is for the whole head: a byte now and then does not move it."""
    started = time.monotonic()
    with impatient.wire(patience=0.2) as wire:
        wire.send(b"GET /x HTTP/1.1\r\nX-Slow: ")
        while not wire.buffer:
            assert time.monotonic() - started < LATEST
            wire.send(b"a")
            try:
                wire.receive()
            except AssertionError:
                continue  # nothing yet: go on dripping
        assert_refused(wire, started)


def test_connection_that_never_sends(tmp_path: Path) -> None:
    """It is closed after the header timeout; with defer-accept the kernel holds it back before that."""
    with serve(tmp_path, "--header-timeout", str(SHORT), "--no-defer-accept") as target, target.wire() as wire:
        started = time.monotonic()
        wire.read_to_end()
        assert SHORT * 0.8 < time.monotonic() - started < LATEST


def test_idle_connection_is_closed_without_a_word(impatient: Target) -> None:
    with impatient.wire() as wire:
        wire.send(request("/x"))
        assert wire.read_response().status == 200
        started = time.monotonic()
        assert wire.is_closed(within=LATEST)
        assert time.monotonic() - started > SHORT * 0.8


def test_body_that_never_ends(impatient: Target) -> None:
    ident = fresh_ident()
    started = time.monotonic()
    with impatient.wire() as wire:
        wire.send(request(f"/readall?id={ident}", "Content-Length: 100", method="POST") + b"some")
        assert_refused(wire, started)
    assert impatient.count("entered", ident) == 0


def test_chunked_body_that_never_ends(impatient: Target) -> None:
    started = time.monotonic()
    with impatient.wire() as wire:
        wire.send(request("/echo", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhel")
        assert_refused(wire, started)


def test_slow_body_that_goes_on_is_read(impatient: Target) -> None:
    """The body timeout is for a pause: a slow upload that moves is not cut."""
    with impatient.wire() as wire:
        wire.send(request("/echo", "Content-Length: 8", method="POST"))
        pace = iter([started := time.monotonic()] + [started + step * SHORT / 4 for step in range(1, 8)])
        for moment in pace:
            wait_until(lambda moment=moment: time.monotonic() >= moment, what="the next byte's turn")
            wire.send(b"x")
        assert wire.read_response().body == b"x" * 8


def test_reader_that_stops_reading_is_cut(impatient: Target) -> None:
    """A client that takes no byte loses its connection, and the application's iterable is closed long before."""
    with impatient.wire() as wire:
        wire.send(request("/big?size=30000000"))
        wire.receive_until(b"\r\n\r\n")
        started = time.monotonic()
        peer = wire.socket.getsockname()[1]
        wait_until(
            lambda: not server_holds(impatient.http[1], peer), LATEST * 2, what="the server to cut the connection"
        )
        assert time.monotonic() - started > SHORT * 0.8
        assert not wire.read_response().whole
    impatient.assert_serving()


def server_holds(port: int, peer: int) -> bool:
    """Whether the server's side of a loopback connection is established (state 01 of /proc/net/tcp)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if int(local.split(":")[1], 16) == port and int(remote.split(":")[1], 16) == peer:
            return state == "01"
    return False


def test_keepalive_timeout_zero_closes_after_each_response(tmp_path: Path) -> None:
    with serve(tmp_path, "--http-keepalive-timeout", "0") as target, target.wire() as wire:
        wire.send(request("/x"))
        response = wire.read_response()
        assert response.get("Connection") == "close"
        assert wire.is_closed()


def deleted_files(target: Target) -> list[str]:
    """Unlinked files that the server's processes hold open."""
    found = []
    for pid in target.process.session_pids():
        try:
            links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
        except OSError:
            continue  # the process, or the descriptor, is gone
        found += [link for link in links if link.endswith("(deleted)") and link.startswith("/") and "zero" not in link]
    return found


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_large_body_goes_to_an_unlinked_file(tmp_path: Path, coding: str) -> None:
    """Beyond post-buffering a body is on disk, under no name, and gone with its request."""
    data = bytes(range(256)) * 800
    with serve(tmp_path, "--post-buffering", "1000") as target, target.wire() as wire:
        before = len(deleted_files(target))
        if coding == "length":
            whole = request("/echo", method="POST", body=data)
        else:
            whole = request("/echo", "Transfer-Encoding: chunked", method="POST") + chunks(data[:99_999], data[99_999:])
        wire.send(whole[:150_000])
        wait_until(lambda: len(deleted_files(target)) > before, what="a temporary file")
        wire.send(whole[150_000:])
        assert wire.read_response().body == data
        wait_until(lambda: len(deleted_files(target)) == before, what="the temporary file to go")


# ---------------------------------------------------------- post-buffering = 0: the application reads from the client


@pytest.fixture(scope="module", params=[("--threads", "2"), GREEN], ids=["threads", "gevent"])
def unbuffered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    options = ("--post-buffering", "0", "--body-timeout", str(SHORT), "--limit-post", "100000")
    with serve(tmp_path_factory.mktemp("state"), *options, *request.param) as running:
        yield running


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_unbuffered_application_runs_before_the_body_is_there(unbuffered: Target, coding: str) -> None:
    ident = fresh_ident()
    with unbuffered.wire() as wire:
        if coding == "length":
            wire.send(request(f"/readall?id={ident}", "Content-Length: 10", method="POST") + b"hello")
            rest = b"world"
        else:
            head = request(f"/readall?id={ident}", "Transfer-Encoding: chunked", method="POST")
            wire.send(head + b"5\r\nhello\r\n")
            rest = b"5\r\nworld\r\n0\r\n\r\n"
        unbuffered.wait_for("entered", ident)
        wire.send(rest + request("/behind"))
        assert wire.read_response().body == b"helloworld"
        assert wire.read_response().body == b"path=/behind\n"


def test_unbuffered_body_that_the_application_ignores(unbuffered: Target) -> None:
    """The answer arrives whole though its request was not read; what was not read is never taken for a request."""
    with unbuffered.wire() as wire:
        wire.send(request("/ignore", method="POST", body=b"x" * 50_000) + request("/behind"))
        response = wire.read_response()
        assert response.body == b"ignored"
        assert response.get("Connection") == "close"
        assert wire.is_closed()


def test_unbuffered_client_that_stalls(unbuffered: Target) -> None:
    """The application's read fails instead of lasting for ever, and never looks like the end of the body."""
    ident = fresh_ident()
    with unbuffered.wire() as wire:
        wire.send(request(f"/readall?id={ident}", "Content-Length: 10", method="POST") + b"hello")
        if wire.receive():
            assert wire.read_response().status in (408, 500)
        assert wire.is_closed()
    unbuffered.assert_serving()
    assert unbuffered.count("full", ident) == 0


def test_unbuffered_client_that_leaves(unbuffered: Target) -> None:
    ident = fresh_ident()
    with unbuffered.wire() as wire:
        wire.send(request(f"/readall?id={ident}", "Content-Length: 10", method="POST") + b"hello")
        unbuffered.wait_for("entered", ident)
        wire.reset()
    unbuffered.assert_serving()
    assert unbuffered.count("full", ident) == 0


def test_unbuffered_broken_chunk(unbuffered: Target) -> None:
    ident = fresh_ident()
    with unbuffered.wire() as wire:
        head = request(f"/readall?id={ident}", "Transfer-Encoding: chunked", method="POST")
        wire.send(head + b"5\r\nhello\r\nxyz\r\n" + request("/behind"))
        assert wire.read_response().status in (400, 500)
        assert wire.is_closed()
    assert unbuffered.count("full", ident) == 0


def test_unbuffered_continue_is_sent(unbuffered: Target) -> None:
    with unbuffered.wire() as wire:
        wire.send(request("/echo", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        assert wire.read_response(interim=True).status == 100
        wire.send(b"hello")
        assert wire.read_response().body == b"hello"


def test_unbuffered_limit_post_holds(unbuffered: Target) -> None:
    with unbuffered.wire() as wire:
        wire.send(request("/echo", "Content-Length: 100001", method="POST") + b"x" * 1000)
        assert wire.read_response().status == 413
        assert wire.is_closed()


def test_unbuffered_limit_post_holds_for_chunks(unbuffered: Target) -> None:
    ident = fresh_ident()
    with unbuffered.wire() as wire:
        head = request(f"/readall?id={ident}", "Transfer-Encoding: chunked", method="POST")
        wire.send(head + chunks(*[b"x" * 60_000] * 2))
        assert wire.read_response().status in (413, 500)
        assert wire.is_closed()
    assert unbuffered.count("full", ident) == 0
