"""Sockets that few people use: kept uwsgi connections, status lines of HTTP, shared and abstract addresses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.servers import MODULE
from tests.conformance.wire import Wire, nginx_variables, packet, request
from tests.integration.test_fastcgi import Client, with_length
from tests.integration.test_scgi import exchange, variables
from tests.support.server import ServerProcess
from uwsgi_deploy.protocol import fastcgi, scgi

NAME = "uwsgi-deploy-test-socket-kinds"
PING, PONG = b"\x64\x00\x00\x00", b"\x64\x00\x00\x01"
SHARED = ("--shared-socket", "127.0.0.1:0", "--undeferred-shared-socket", "127.0.0.1:0")
SOCKETS = ("--puwsgi-socket", "=1", "--scgi-nph-socket", "=0", "--fastcgi-nph-socket", "127.0.0.1:0")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    state = tmp_path_factory.mktemp("kinds")
    name = f"{NAME}-{state.parent.name}"
    options = (*SHARED, *SOCKETS, "--http-socket", name, "--abstract-socket", "--limit-post", "100000", *MODULE)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(state)}) as running:
        yield running


@pytest.fixture
def kept(server: ServerProcess) -> Iterator[Wire]:
    """A connection to the puwsgi socket."""
    with Wire(server.addresses[0]) as wire:
        yield wire


def test_several_packets_on_a_connection(kept: Wire) -> None:
    for number in range(3):
        kept.send(packet(nginx_variables(f"/{number}")))
        answer = kept.read_response()
        assert (answer.body, answer.get("Connection")) == (b"path=/%d\n" % number, "keep-alive")
    body = bytes(range(256)) * 200
    post = packet(nginx_variables("/echo", REQUEST_METHOD="POST", CONTENT_LENGTH=str(len(body))))
    # One behind the other, and in pieces.
    data = post + body + packet(nginx_variables("/last"))
    kept.send(data[:5000])
    kept.send(data[5000:])
    assert kept.read_response().body == body
    assert kept.read_response().body == b"path=/last\n"


def test_ping_between_packets(kept: Wire) -> None:
    kept.send(PING)
    assert kept.read_exactly(4) == PONG
    kept.send(packet({"A": "b"}, modifier1=100) + packet(nginx_variables("/x")))
    assert kept.read_exactly(4) == PONG
    assert kept.read_response().body == b"path=/x\n"


def test_answer_without_a_length_ends_the_connection(kept: Wire) -> None:
    kept.send(packet(nginx_variables("/stream?blocks=20&size=5")))
    head, _, body = kept.read_to_end().partition(b"\r\n\r\n")
    assert b"keep-alive" not in head
    assert b"chunked" not in head
    assert len(body) == 100


@pytest.mark.parametrize(("data", "status"), [(b"\x05\x00\x00\x00", 501), (packet({"A": "b"}, modifier1=98), 403)])
def test_refusal_ends_the_connection(kept: Wire, data: bytes, status: int) -> None:
    kept.send(data)
    assert kept.read_to_end().startswith(b"HTTP/1.1 %d " % status)


def test_scgi_with_a_status_line(server: ServerProcess) -> None:
    head, body = exchange(server.addresses[1], scgi.encode_request(variables("/x")))
    assert (head[0], body) == ("HTTP/1.1 200 OK", b"path=/x\n")
    head, _ = exchange(server.addresses[1], scgi.encode_request(variables("/echo", "POST"), bytes(200000)))
    assert head[0] == "HTTP/1.1 413 Content Too Large" or head[0].startswith("HTTP/1.1 413 ")


def test_fastcgi_with_a_status_line(server: ServerProcess) -> None:
    with Client(server.addresses[2]) as client:
        for _ in range(2):
            head, body = client.ask("/x")
            assert (head[0], body) == ("HTTP/1.1 200 OK", b"path=/x\n")
        head, body = client.ask("/stream?blocks=20&size=5")
        assert (head[0], len(body)) == ("HTTP/1.1 200 OK", 100)
        client.send(fastcgi.encode_request(with_length("/echo", "POST", bytes(200000)), bytes(200000)))
        head, _ = client.answer()
        assert head[0].startswith("HTTP/1.1 413 ")


def test_abstract_name(server: ServerProcess) -> None:
    name = next(line.split()[7] for line in server.log_lines if NAME in line and "bound to UNIX address" in line)
    assert name.startswith(f"@{NAME}")
    with Wire(f"\0{name[1:]}") as wire:
        wire.send(request("/x"))
        assert wire.read_response().body == b"path=/x\n"
    assert not list(server.directory.iterdir())


ASKING = """
import sys

def application(environ, start_response):
    start_response("200 OK", [])
    return [sys.stdin.readline().encode()]
"""


@pytest.mark.parametrize(("options", "read"), [(("--honour-stdin",), b"typed\n"), ((), b"")])
def test_standard_input(options: tuple[str, ...], read: bytes, tmp_path: Path) -> None:
    """What pdb in a worker needs; otherwise nobody waits for a terminal."""
    (tmp_path / "asking.py").write_text(ASKING)
    socket = str(tmp_path / "http.sock")
    command = [sys.executable, "-m", "uwsgi_deploy", "--http-socket", socket, "--module=asking", "--master", *options]
    environment = ServerProcess(directory=tmp_path).environment
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            process.stdin.write(b"typed\n")
            process.stdin.flush()
            while b"is ready" not in process.stderr.readline():
                assert process.poll() is None
            with Wire(socket) as wire:
                wire.send(request("/"))
                assert wire.read_response().body == read
        finally:
            process.terminate()
            process.communicate(timeout=30)
