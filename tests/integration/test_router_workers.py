"""The http router and the workers of its own server."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import ConnectionEnded, RawClient
from tests.support.engines import threads_and_gevent
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

BLOCKS = b"".join(b"block %d\n" % number for number in range(100))
SETTINGS = ("--http", "127.0.0.1:0", "--module", "behind_router", "--workers", "2", "--trusted-proxies", "127.0.0.9")


@pytest.fixture(scope="module", params=["kept", "separate"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Two workers that hear only the router, whose connections are kept, or somebody else as well."""
    directory = tmp_path_factory.mktemp("workers")
    more = ["--http-socket", "127.0.0.1:0"] if request.param == "separate" else []
    with ServerProcess(*SETTINGS, *more, "--http-stats", str(directory / "stats"), "--http-auto-gzip") as process:
        yield process


def router_of(server: ServerProcess) -> tuple[str, int]:
    """Where clients of the router connect: other sockets are named `uwsgi socket`."""
    line = server.wait_for_log(r"uWSGI http bound on (\S+):(\d+)")
    return line[1], int(line[2])


def connect(server: ServerProcess) -> RawClient:
    """A client of the router."""
    return RawClient(router_of(server), 20.0)


def test_what_the_application_is_told(server: ServerProcess) -> None:
    with connect(server) as client:
        for number in range(3):
            answer = client.get(f"/environ?n={number}", Cookie="a=b", X_Forwarded_For="9.9.9.9")
            told = json.loads(answer.body)
            wanted = {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": "/environ",
                "QUERY_STRING": f"n={number}",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "REMOTE_ADDR": "127.0.0.1",
                "REMOTE_PORT": str(client.socket.getsockname()[1]),
                "HTTP_HOST": "test",
                "HTTP_COOKIE": "a=b",
                "UWSGI_ROUTER": "http",
                "wsgi.url_scheme": "http",
            }
            assert {name: told.get(name) for name in wanted} == wanted
            assert "HTTP_X_FORWARDED_FOR" not in told  # this client is no proxy


def test_who_the_client_is_behind_a_trusted_proxy(server: ServerProcess) -> None:
    with socket.create_connection(router_of(server), 20.0, source_address=("127.0.0.9", 0)) as proxy:
        proxy.sendall(
            b"GET /environ HTTP/1.1\r\nHost: a\r\nConnection: close, X-Forwarded-For\r\n"
            b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n"
        )
        data = b""
        while piece := proxy.recv(65536):
            data += piece
    told = json.loads(data.partition(b"\r\n\r\n")[2])
    assert (told["REMOTE_ADDR"], told["wsgi.url_scheme"], told["HTTPS"]) == ("1.2.3.4", "https", "on")


@pytest.mark.parametrize("size", [1, 300_000, 5_000_000])
def test_uploads(server: ServerProcess, size: int) -> None:
    body = random.Random(size).randbytes(size)
    with connect(server) as client:
        client.send(b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body)
        assert client.receive("POST").body.decode() == f"{size} {hashlib.sha256(body).hexdigest()}"
        assert client.get("/").status == 200


def test_streams(server: ServerProcess) -> None:
    with connect(server) as client:
        assert client.get("/stream").body == BLOCKS
        packed = client.get("/stream", Accept_Encoding="gzip")
        assert (gzip.decompress(packed.body), packed.header("content-encoding")) == (BLOCKS, "gzip")
        client.send(b"GET /stream HTTP/1.0\r\n\r\n")
        assert client.receive().body == BLOCKS
        assert client.ended()


def test_requests_that_come_together_are_answered_in_order(server: ServerProcess) -> None:
    with connect(server) as client:
        for number in range(5):
            client.send(b"GET /environ?%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        for number in range(5):
            assert json.loads(client.receive().body)["QUERY_STRING"] == str(number)


def test_an_application_may_end_the_clients_connection(server: ServerProcess) -> None:
    with connect(server) as client:
        assert client.get("/close").header("connection") == "close"
        assert client.ended()


def test_another_protocol(server: ServerProcess) -> None:
    with connect(server) as client:
        client.send(b"GET /converse HTTP/1.1\r\nHost: a\r\nUpgrade: words\r\nConnection: Upgrade\r\n\r\nat once ")
        assert client.receive_any().status == 101
        client.send(b"and later")
        client.read_until(b"AT ONCE AND LATER")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.ended()


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_request_that_its_worker_dies_of_is_not_given_to_the_next_one(server: ServerProcess, method: bytes) -> None:
    before = server.log.count("DAMN ! worker")
    with connect(server) as client:
        client.send(method + b" /die HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert client.receive(method.decode()).status == 502
        assert client.get("/").status == 200
    wait_until(lambda: server.log.count("DAMN ! worker") > before, what="the death of the worker")
    assert server.log.count("DAMN ! worker") == before + 1


def test_an_answer_whose_worker_dies_is_not_whole(server: ServerProcess) -> None:
    with connect(server) as client:
        client.send(b"GET /die-later HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"chunked" in client.read_until(b"\r\n\r\n")
        with pytest.raises(ConnectionEnded):
            client.read_until(b"\r\n0\r\n\r\n")


def test_nobody_waits_behind_a_slow_request(server: ServerProcess) -> None:
    """One worker is busy: all that comes meanwhile is for the other one."""
    wait_until(lambda: answered(server) == 2, what="both workers")
    slow: list[bytes] = []

    def run() -> None:
        with connect(server) as client:
            slow.append(client.get("/?1.5").body)

    thread = threading.Thread(target=run)
    thread.start()
    started = time.monotonic()
    others = set()
    while thread.is_alive():
        with connect(server) as client:
            began = time.monotonic()
            others.add(client.get("/").body)
            if thread.is_alive():
                assert time.monotonic() - began < 1.0
        thread.join(0.02)
    assert time.monotonic() - started >= 1.5
    assert len(slow) == 1
    assert len(others) <= 2


def answered(server: ServerProcess) -> int:
    """How many workers answer when two requests are made at the same time."""
    clients = [connect(server) for _ in range(2)]
    for client in clients:
        client.send(b"GET /?0.1 HTTP/1.1\r\nHost: a\r\n\r\n")
    pids = {client.receive().body for client in clients}
    for client in clients:
        client.close()
    return len(pids)


def test_under_load_every_request_has_its_own_answer(server: ServerProcess) -> None:
    wrong: list[BaseException] = []

    def run(seed: int) -> None:
        try:
            with connect(server) as client:
                for number in range(40):
                    body = b"%d/%d" % (seed, number) * (1 + number * 50)
                    client.send(b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    found = client.receive("POST").body.decode()
                    assert found == f"{len(body)} {hashlib.sha256(body).hexdigest()}"
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert not wrong


@threads_and_gevent
def test_engines(engine: tuple[str, ...], tmp_path: Path) -> None:
    """Many requests at the same time for a worker with many cores; those of a worker that leaves are for the next."""
    stats = tmp_path / "stats"
    options = ("--http", "127.0.0.1:0", "--module", "behind_router", "--http-stats", str(stats), *engine)
    with ServerProcess(*options) as server:
        clients = [connect(server) for _ in range(12)]
        for client in clients:
            client.send(b"GET /?0.1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert {client.receive().status for client in clients} == {200}
        with RawClient(str(stats)) as asking:
            state = json.loads(asking.read_to_end())
        assert (state["requests"], state["active_sessions"], state["waiting"]) == (12, 0, 0)
        assert server.stop() == 0
        for client in clients:
            client.close()
