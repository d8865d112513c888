"""Packets on a uwsgi socket that are no requests: the ping of health checks, and commands that nobody is to give."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.servers import MODULE
from tests.conformance.wire import Wire, nginx_variables, packet
from tests.support.engines import GREEN
from tests.support.server import ServerProcess


@pytest.fixture(scope="module", params=[(), ("--threads", "4"), GREEN], ids=["prefork", "threads", "gevent"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    state = tmp_path_factory.mktemp("packets")
    options = ("--socket", "127.0.0.1:0", "--master", *MODULE, *request.param)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(state)}) as running:
        yield running


def exchange(server: ServerProcess, data: bytes) -> bytes:
    with Wire(server.addresses[0]) as wire:
        wire.send(data)
        return wire.read_to_end()


def assert_serving(server: ServerProcess) -> None:
    assert exchange(server, packet(nginx_variables("/x"))).endswith(b"path=/x\n")


@pytest.mark.parametrize(
    "data", [b"\x64\x00\x00\x00", packet({"A": "b"}, modifier1=100)], ids=["empty", "with variables"]
)
def test_ping(server: ServerProcess, data: bytes) -> None:
    for _ in range(5):
        assert exchange(server, data) == b"\x64\x00\x00\x01"
    assert_serving(server)


@pytest.mark.parametrize("modifier", [17, 18, 22, 97, 98, 99, 111, 173])
def test_command(server: ServerProcess, modifier: int) -> None:
    """It is refused with a status, the log says what it was, and nothing of it is done."""
    assert exchange(server, packet({"key": "value"}, modifier1=modifier)).startswith(b"HTTP/1.1 403 Forbidden\r\n")
    server.wait_for_log(rf"refused a request from 127\.0\.0\.1: .*\(modifier {modifier}\), which is not obeyed \(403\)")
    assert_serving(server)
    assert "reload" not in server.log.lower().replace("the order to reload", "")


def test_signal(server: ServerProcess) -> None:
    assert exchange(server, b"\x6e\x00\x00\x05") == b"\x6e\x00\x00\x00"
    server.wait_for_log(r"a uwsgi packet with a signal \(modifier 110\)")


def test_other_languages_and_unknown(server: ServerProcess) -> None:
    assert exchange(server, packet({}, modifier1=14)).startswith(b"HTTP/1.1 501 ")
    assert exchange(server, packet({}, modifier1=250)).startswith(b"HTTP/1.1 400 ")


def test_noise_hurts_nobody(server: ServerProcess) -> None:
    source = random.Random(3)
    for modifier in range(1, 256, 3):
        with Wire(server.addresses[0]) as wire:
            wire.send(bytes((modifier,)) + source.randbytes(40))
            if modifier % 2:
                wire.reset()
    assert_serving(server)
    assert Path(f"/proc/{server.process.pid}").exists()
