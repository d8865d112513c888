"""The PROXY protocol on real sockets: whole, in pieces, kept connections, strangers, and curl as the load balancer."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.servers import Target, serve
from tests.conformance.wire import Wire, request
from tests.support.engines import each_engine, prefork_and_gevent
from tests.support.server import ServerProcess

TRUSTING = ("--enable-proxy-protocol", "--trusted-proxies", "127.0.0.1")
LINE = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BINARY = (
    SIGNATURE + struct.pack(">BBH", 0x21, 0x11, 15) + bytes([198, 51, 100, 7, 192, 0, 2, 1, 18, 103, 1, 187, 4, 0, 0])
)
LOCAL = SIGNATURE + b"\x20\0\0\0"


def environ(wire: Wire, *headers: str) -> dict[str, Any]:
    wire.send(request("/environ", *headers))
    found: dict[str, Any] = json.loads(wire.read_response().body)["environ"]
    return found


@each_engine
@pytest.mark.parametrize("header", [LINE, BINARY], ids=["v1", "v2"])
def test_client_is_who_the_header_says(engine: tuple[str, ...], header: bytes, tmp_path: Path) -> None:
    """For every request of the connection, in the log, too; its own headers are not believed."""
    with serve(tmp_path, *TRUSTING, *engine) as target, target.wire() as wire:
        wire.send(header)
        for _ in range(3):
            found = environ(wire, "X-Forwarded-For: 9.9.9.9")
            assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == ("198.51.100.7", "4711")
            assert (found["SERVER_ADDR"], found["SERVER_PORT"]) == ("192.0.2.1", "443")
            assert "HTTP_X_FORWARDED_FOR" not in found
        target.process.wait_for_log(r"\] 198\.51\.100\.7 \(\) .*GET /environ", count=3)


@pytest.mark.parametrize("header", [LINE, BINARY, LOCAL, b"PROXY UNKNOWN\r\n"], ids=["v1", "v2", "local", "unknown"])
def test_header_in_pieces_and_together_with_the_request(header: bytes, tmp_path: Path) -> None:
    client = "198.51.100.7" if header in (LINE, BINARY) else "127.0.0.1"
    with serve(tmp_path, *TRUSTING, "--no-defer-accept") as target:
        with target.wire() as wire:
            wire.drip(header + request("/environ"))
            assert json.loads(wire.read_response().body)["environ"]["REMOTE_ADDR"] == client
        with target.wire() as wire:
            wire.send(header + request("/environ") * 2 + request("/echo", method="POST", body=b"abc"))
            for _ in range(2):
                assert json.loads(wire.read_response().body)["environ"]["REMOTE_ADDR"] == client
            assert wire.read_response().body == b"abc"


@prefork_and_gevent
def test_a_connection_without_header_is_refused(engine: tuple[str, ...], tmp_path: Path) -> None:
    """Health checks without it, too: a guess would let any client name itself."""
    with serve(tmp_path, *TRUSTING, *engine) as target:
        for data in (request("/x"), b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n" + request("/x"), LINE.lower() + request("/x")):
            with target.wire() as wire:
                wire.send(data)
                assert wire.read_response().status == 400
                assert wire.is_closed()
        target.process.wait_for_log(
            r"refused a request from 127\.0\.0\.1: no PROXY protocol header, .* \(400\)", count=2
        )
        target.process.wait_for_log(r"refused a request from 127\.0\.0\.1: a malformed PROXY protocol header \(400\)")


def test_a_stranger_is_refused(tmp_path: Path) -> None:
    with serve(tmp_path, *TRUSTING) as target:
        with socket.create_connection(target.http, 20, source_address=("127.0.0.2", 0)) as stranger:
            stranger.sendall(LINE + request("/x"))
            assert stranger.recv(4096).startswith(b"HTTP/1.1 403 ")
        target.process.wait_for_log(
            r"refused a request from 127\.0\.0\.2: a peer that is not in trusted-proxies.*\(403\)"
        )


def test_a_second_header_is_no_request(tmp_path: Path) -> None:
    with serve(tmp_path, *TRUSTING) as target, target.wire() as wire:
        wire.send(LINE + LINE + request("/x"))
        assert wire.read_response().status == 400
        target.process.wait_for_log(r"refused a request from 198\.51\.100\.7: .* \(400\)")


def test_a_header_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    with serve(tmp_path, *TRUSTING, "--header-timeout=1", "--no-defer-accept") as target, target.wire() as wire:
        wire.send(BINARY[:20])
        assert wire.read_response().status == 408


def test_health_check_that_only_knocks_is_no_event(tmp_path: Path) -> None:
    """HAProxy's `check-send-proxy` sends a header and leaves, every two seconds."""
    with serve(tmp_path, *TRUSTING, "--no-defer-accept") as target:
        with target.wire() as wire:
            wire.send(LOCAL)
            wire.end_sending()
            assert wire.read_to_end() == b""
        served(target)
        assert "refused" not in target.process.log


def served(target: Target) -> None:
    with target.wire() as wire:
        wire.send(LINE)
        assert environ(wire)["REMOTE_ADDR"] == "198.51.100.7"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_as_the_load_balancer(tmp_path: Path) -> None:
    with serve(tmp_path, *TRUSTING) as target:
        url = "http://{}:{}/environ".format(*target.http)
        command = ["curl", "-s", "--max-time", "20", "--haproxy-protocol", url]
        answer = subprocess.run(command, capture_output=True, check=True).stdout
        assert json.loads(answer)["environ"]["REMOTE_ADDR"] == "127.0.0.1"


def test_other_sockets_are_not_concerned(tmp_path: Path) -> None:
    with serve(tmp_path, *TRUSTING) as target, Wire(target.uwsgi) as wire:
        wire.send(b"\x00\x1e\x00\x00\x0e\x00REQUEST_METHOD\x03\x00GET\x09\x00")  # cut short: refused as a packet
        wire.end_sending()
        assert b"400" in wire.read_to_end()[:20]


def test_it_does_not_start_without_somebody_to_trust() -> None:
    with ServerProcess("--http-socket", "127.0.0.1:0", "--enable-proxy-protocol", wait=False) as server:
        assert server.wait_end() == 1
        assert "'enable-proxy-protocol' needs 'trusted-proxies'" in server.log
