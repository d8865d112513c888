"""https and http-to-https: TLS at the router, and its workers behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
from pathlib import Path
from signal import SIGHUP
from typing import Any

import pytest

from tests.support.apps.secured import PIECE
from tests.support.certificates import Authority, Pair, TlsClient
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

ANY = "127.0.0.1:0"
BIG = PIECE * 24


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


def told(client: TlsClient, **headers: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.get("/environ", **headers).body)
    return found


def test_router(authority: Authority, pair: Pair) -> None:
    """Addresses with and without TLS side by side, in whatever order they are given, each with its own certificate."""
    alice = authority.issue("alice", "alice", subject="/CN=alice")
    other = authority.issue("other", "other.example")
    options = ["--http", ANY, "--http-to-https", ANY, "--https", f"{ANY},{pair.value}"]
    options += ["--https2", f"addr={ANY},cert={other.certificate},key={other.key},clientca={authority.certificate}"]
    options += ["--http-socket", ANY, "--https-socket", f"{ANY},{pair.value}", "--hsts", "1h"]
    with ServerProcess(*options, "--module", "secured") as server:
        plain_worker, worker, plain, router, second, redirecting = server.addresses
        for address in (plain_worker, plain):
            answer = server.connect(server.addresses.index(address)).get("/environ")
            assert json.loads(answer.body)["wsgi.url_scheme"] == "http"
            assert answer.header("strict-transport-security") is None
        for address in (worker, router):
            with TlsClient(address, authority.trust()) as client:
                found = told(client)
                assert (found["wsgi.url_scheme"], found["HTTPS"], found["REMOTE_ADDR"]) == ("https", "on", "127.0.0.1")
                assert "SSL_CLIENT_VERIFY" not in found
                for path, body in (("/big", BIG), ("/stream", PIECE[:1000] * 3000), ("/file", BIG)):
                    answer = client.get(path)
                    assert (answer.status, answer.body == body) == (200, True), path
                    assert answer.header("strict-transport-security") == "max-age=3600"
                for _ in range(2):
                    client.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG)
                    assert client.receive().body == BIG
                client.send(b"GET /stream HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
                assert client.receive().body == PIECE[:1000] * 3000
                assert client.socket.recv(1) == b""
        with TlsClient(second, authority.trust(alice), host="other.example") as client:
            found = told(client, SSL_CLIENT_VERIFY="NONE")
            assert (found["SSL_CLIENT_VERIFY"], found["HTTPS_DN"]) == ("SUCCESS", "/CN=alice")
        with TlsClient(second, authority.trust(), host="other.example") as client:
            found = told(client)
            assert found["SSL_CLIENT_VERIFY"] == "NONE"
            assert "HTTPS_DN" not in found
        with server.connect(server.addresses.index(redirecting)) as client:
            client.send(b"POST /a%20b?c=d HTTP/1.1\r\nHost: www.example.com:80\r\nContent-Length: 3\r\n\r\nabc")
            answer = client.receive()
            assert answer.status == 301
            assert answer.header("location") == f"https://www.example.com:{worker[1]}/a%20b?c=d"
        with server.connect(server.addresses.index(router)) as client:
            assert client.get("/").status == 400
            assert client.ended()
        with server.connect(server.addresses.index(router)) as client:
            client.send(os.urandom(2000))
            assert not client.read_to_end().startswith(b"HTTP")
        assert "Traceback" not in server.log


def test_websockets_pass_through(authority: Authority, pair: Pair) -> None:
    simple_websocket = pytest.importorskip("simple_websocket")
    options = ("--https", f"{ANY},{pair.value}", "--threads", "4", "--module", "talking")
    with ServerProcess(*options) as server:
        client = simple_websocket.Client(f"wss://localhost:{server.port}/simple", ssl_context=authority.trust())
        for text in ("one", "x" * 300_000):
            client.send(text)
            assert client.receive(timeout=20) == text.upper()
        client.send("bye")
        assert client.receive(timeout=20) == "BYE"
        with pytest.raises(simple_websocket.ConnectionClosed):
            client.receive(timeout=20)
        assert "Traceback" not in server.log


def test_reload_and_renewal(tmp_path: Path) -> None:
    """The router's processes get new certificates as workers do, and a reload changes what an address is."""
    authority = Authority(tmp_path)
    pair, fresh = authority.issue("server"), authority.issue("fresh")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    configuration = tmp_path / "server.ini"
    common = "[uwsgi]\nmodule = secured\ntls-check-freq = 0.2\n"
    configuration.write_text(f"{common}https = 127.0.0.1:{port},{pair.value}\n")

    def serial() -> str:
        with TlsClient(("127.0.0.1", port), authority.trust()) as client:
            assert client.get("/").status == 200
            certificate: Any = client.socket.getpeercert()
            return str(certificate["serialNumber"])

    with ServerProcess("--ini", configuration) as server:
        before = serial()
        shutil.copy(fresh.certificate, pair.certificate)
        shutil.copy(fresh.key, pair.key)
        wait_until(lambda: serial() != before, 20, what="the renewed certificate")
        configuration.write_text(f"{common}http = 127.0.0.1:{port}\n")
        server.signal(SIGHUP)

        def is_plain() -> bool:
            try:
                with server.connect() as client:
                    return client.get("/").status == 200
            except (AssertionError, OSError):
                return False

        wait_until(is_plain, 30, what="plain HTTP")
        with pytest.raises((ssl.SSLError, OSError)):
            serial()


def test_what_cannot_be_used_is_told_at_the_start(pair: Pair, authority: Authority, tmp_path: Path) -> None:
    other = authority.issue("another")
    running = []
    for number, (option, value, sentence) in enumerate(
        (
            ("https", f":0,{pair.certificate},{other.key}", "does not belong to the certificate"),
            ("https2", f"addr=:0,cert={pair.certificate}", "has no key"),
            (
                "https2",
                f"addr=:0,cert={pair.certificate},key={pair.key},spdy=1",
                "knows ciphers and clientca, not 'spdy=1'",
            ),
        )
    ):
        configuration = tmp_path / f"{number}.ini"
        configuration.write_text(f"[uwsgi]\nmodule = hello\n{option} = {value}\n")
        server = ServerProcess("--ini", configuration)
        server.start()
        running.append((server, f"{number}.ini:3: '{option}'", sentence))
    for server, place, sentence in running:
        assert server.wait_end(60) == 1
        assert place in server.log
        assert sentence in server.log
