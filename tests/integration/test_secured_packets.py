"""uwsgi packets over TLS (suwsgi-socket), beside an HTTP socket of the same address that is as plain as before."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.conformance.servers import MODULE
from tests.conformance.wire import Wire, nginx_variables, packet, request
from tests.support.certificates import Authority
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until


def exchange(address: tuple[str, int], context: ssl.SSLContext, data: bytes) -> bytes:
    wire = Wire(address)
    wire.socket = context.wrap_socket(wire.socket, server_hostname="localhost")
    with wire:
        wire.send(data)
        return wire.read_to_end()


def test_packets_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    sockets = ("--http-socket", "127.0.0.1:0", "--ssl-socket", f"127.0.0.1:0,{pair.value}")
    shared = ("--shared-socket", "127.0.0.1:0", "--suwsgi-socket", f"=0,{pair.value}")
    environment = {"CONFORMANCE_STATE": str(tmp_path)}
    with ServerProcess(*sockets, *shared, *MODULE, "--limit-post", "1000", environment=environment) as server:
        plain, *secured = server.addresses
        trust = authority.trust()
        for address in secured:
            assert exchange(address, trust, packet(nginx_variables("/x"))).endswith(b"\r\n\r\npath=/x\n")
        # What its client speaks is the web server's word, and not this connection's.
        for said, scheme in (({}, b"http"), ({"HTTPS": "on"}, b"https")):
            told = exchange(secured[0], trust, packet(nginx_variables("/environ", **said)))
            assert b'"wsgi.url_scheme": "%b"' % scheme in told
        post = packet(nginx_variables("/echo", REQUEST_METHOD="POST", CONTENT_LENGTH="5")) + b"hello"
        assert exchange(secured[0], trust, post).endswith(b"\r\n\r\nhello")
        assert exchange(secured[0], trust, b"\x64\x00\x00\x00") == b"\x64\x00\x00\x01"
        with Wire(secured[0]) as wire:
            wire.send(packet(nginx_variables("/x")))
            assert not wire.read_to_end().startswith(b"HTTP/1.1 200")
        with Wire(plain) as wire:
            wire.send(request("/x"))
            assert wire.read_response().body == b"path=/x\n"
        wait_until(lambda: exchange(secured[0], trust, packet(nginx_variables("/y"))), what="to be served still")
