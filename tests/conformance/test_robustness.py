"""Whatever clients do, the server answers the next one: early leavers, slow peers, many connections, noise."""

from __future__ import annotations

import hashlib
import random
import socket
import time
from contextlib import ExitStack

from tests.conformance.servers import Target
from tests.conformance.wire import Wire, chunks, nginx_variables, packet, request


def answer_time(target: Target) -> float:
    """How long a normal client waits for an answer, connecting included."""
    started = time.monotonic()
    target.assert_serving()
    return time.monotonic() - started


def test_client_that_leaves_early(target: Target) -> None:
    for _ in range(20):
        with target.wire() as wire:
            wire.send(request("/big?size=3000000"))
            wire.receive()
            wire.reset()
    target.assert_serving()


def test_client_that_leaves_inside_its_request(target: Target) -> None:
    whole = request("/echo", "Content-Length: 100", method="POST") + b"x" * 50
    for end in range(1, len(whole), 7):
        with target.wire() as wire:
            wire.send(whole[:end])
            wire.reset()
    target.assert_serving()


def test_truncated_body_never_reaches_the_application_as_whole(target: Target) -> None:
    ident = "truncated"
    before = target.count("full", ident)
    with target.wire() as wire:
        wire.send(request(f"/readall?id={ident}", "Content-Length: 100", method="POST") + b"only a part")
        wire.end_sending()
        if wire.receive():
            assert wire.read_response().status >= 400
    target.assert_serving()
    assert target.count("full", ident) == before


def test_large_bodies_by_length_and_chunked(target: Target) -> None:
    """Five megabytes go to a temporary file and come out unchanged."""
    data = random.Random(1).randbytes(5_000_000)
    expected = f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()
    blocks = [data[start : start + 70_000] for start in range(0, len(data), 70_000)]
    with target.wire(patience=30) as wire:
        wire.send(request("/digest", method="POST", body=data))
        assert wire.read_response().body == expected
        wire.send(request("/digest", "Transfer-Encoding: chunked", method="POST") + chunks(*blocks))
        assert wire.read_response().body == expected
        wire.send(request("/behind"))
        assert wire.read_response().body == b"path=/behind\n"


def test_large_response(target: Target) -> None:
    with target.wire(patience=30) as wire:
        wire.send(request("/big?size=20000000"))
        response = wire.read_response()
    assert response.whole
    assert len(response.body) == 20_000_000


def test_slow_reader_gets_everything(target: Target) -> None:
    """What the kernel's buffers do not take waits with the reactor until the client reads; the core is free."""
    with Wire(target.http, patience=30) as wire:
        wire.send(request("/big?size=30000000"))
        wire.receive_until(b"\r\n\r\n")
        assert answer_time(target) < 2
        response = wire.read_response()
    assert response.whole
    assert len(response.body) == 30_000_000


def test_slow_senders_do_not_hold_a_worker(target: Target) -> None:
    with ExitStack() as stack:
        for number in range(50):
            wire = stack.enter_context(target.wire())
            wire.send(
                b"POST /echo HTTP/1.1\r\nHost: te" if number % 2 else request("/echo", "Content-Length: 9") + b"x"
            )
        assert answer_time(target) < 2


def test_slow_readers_do_not_hold_a_worker(target: Target) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            wire = stack.enter_context(target.wire())
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire.send(request("/big?size=400000"))
            wire.receive_until(b"HTTP/1.1 200")
        assert answer_time(target) < 2


def test_five_hundred_idle_connections(target: Target) -> None:
    with ExitStack() as stack:
        for number in range(500):
            wire = stack.enter_context(target.wire())
            if number % 2:
                wire.send(request("/x"))
                assert wire.read_response().status == 200
        assert answer_time(target) < 2


def drain(wire: Wire) -> None:
    wire.end_sending()
    while wire.receive():
        pass


def test_noise_never_kills(target: Target) -> None:
    noise = random.Random(2)
    for address in (target.http, target.uwsgi):
        for _ in range(40):
            with Wire(address) as wire:
                wire.send(noise.randbytes(noise.randrange(1, 400)) + b"\r\n\r\n")
                drain(wire)
    target.assert_serving()


def test_mutated_requests_never_kill(target: Target) -> None:
    noise = random.Random(3)
    seed = request("/echo", "X-A: b", "Transfer-Encoding: chunked", method="POST") + chunks(b"hello", b"world")
    for _ in range(120):
        data = bytearray(seed)
        for _ in range(noise.randrange(1, 4)):
            at = noise.randrange(len(data))
            data[at : at + noise.randrange(3)] = noise.randbytes(noise.randrange(3))
        with target.wire() as wire:
            wire.send(bytes(data))
            drain(wire)
    target.assert_serving()


def test_uwsgi_variables_load_no_code(target: Target) -> None:
    """UWSGI_FILE and its like load code in uWSGI 2.0; who can reach a socket must not be able to."""
    evil = target.state / "evil.py"
    ran = target.state / "ran"
    evil.write_text(f"open({str(ran)!r}, 'w').close()\napplication = None\n")
    for name in ("UWSGI_FILE", "UWSGI_SCRIPT", "UWSGI_MODULE", "UWSGI_POSTFILE", "UWSGI_SETENV"):
        with Wire(target.uwsgi) as wire:
            wire.send(packet(nginx_variables("/x", **{name: str(evil), "UWSGI_APPID": "evil"})))
            drain(wire)
    assert not ran.exists()
    target.assert_serving()
