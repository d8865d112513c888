"""The fastrouter and the rawrouter: what web servers, clients and servers on either side of them meet."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_processes import alive, processes
from tests.support.client import RawClient, Response
from tests.support.nginx import needs_nginx, nginx_with
from tests.support.scripted import Asked, ScriptedServer, answers, answers_and_waits
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.protocol.uwsgi import encode_variables

PATIENCE = 20.0
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
HUGE = 24 << 20
BLOCK = bytes(range(256)) * 256
RESET = struct.pack("ii", 1, 0)
APPLICATION = """
import hashlib
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/large":
        return [b"x" * 65536] * 64
    return [hashlib.sha256(body).hexdigest().encode(), b" ", environ["HTTP_HOST"].encode()]
"""


def digest(server: ScriptedServer, peer: socket.socket, asked: Asked) -> None:
    """Says what body it has been sent."""
    length, body = int(asked.variables["CONTENT_LENGTH"]), asked.body
    while len(body) < length:
        body += peer.recv(65536)
    peer.sendall(OK + hashlib.sha256(body).hexdigest().encode())


def huge(server: ScriptedServer, peer: socket.socket, asked: Asked) -> None:
    """More than anybody keeps in memory; `gone` counts up when all of it was taken."""
    peer.sendall(OK)
    for _ in range(HUGE // len(BLOCK)):
        peer.sendall(BLOCK)
    server.gone += 1


def breaks(server: ScriptedServer, peer: socket.socket, asked: Asked) -> None:
    """Begins an answer, and dies."""
    peer.sendall(OK + b"half")
    server.release.wait(0.2)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def early(server: ScriptedServer, peer: socket.socket, asked: Asked) -> None:
    """Refuses a request without having read its body."""
    peer.sendall(b"HTTP/1.1 413 Never\r\n\r\nnever")
    peer.shutdown(socket.SHUT_WR)
    server.await_end(peer)


SCRIPTS = {
    "/plain": answers(OK, b"a", b"b"),
    "/garbage": answers(b"\0\1\2"),
    "/digest": digest,
    "/nothing": answers(),
    "/silent": answers_and_waits(),
    "/stalled": answers_and_waits(OK + b"half"),
    "/breaks": breaks,
    "/early": early,
    "/early-and-gone": answers(b"HTTP/1.1 413 Never\r\n\r\nnever"),
    "/huge": huge,
}


def packet(path: str = "/", **variables: str) -> bytes:
    """A question as a web server asks it."""
    return encode_variables({"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_HOST": "test", **variables})


class RawServer:
    """For a rawrouter: does with each connection what the last script says."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.script: Callable[[socket.socket], None] = lambda _peer: None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listening.accept()
            except OSError:
                return
            peer.settimeout(PATIENCE)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            self.script(peer)

    def close(self) -> None:
        """Take no more connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


class Routers:
    """A fastrouter and a rawrouter of one server, and the servers behind them."""

    def __init__(self, process: ServerProcess, server: ScriptedServer, raw: RawServer, stats: str) -> None:
        self.process, self.server, self.raw, self._stats = process, server, raw, stats

    def fast(self) -> RawClient:
        """A client of the fastrouter."""
        return RawClient(self.process.addresses[0], PATIENCE)

    def tcp(self) -> socket.socket:
        """A client of the rawrouter."""
        return socket.create_connection(self.process.addresses[1], PATIENCE)

    def ask(self, data: bytes) -> Response:
        """One answer of the fastrouter."""
        with self.fast() as client:
            client.send(data)
            return client.receive()

    def state(self) -> dict[str, Any]:
        """What the fastrouter tells of itself."""
        return state(self._stats)


def state(path: str) -> dict[str, Any]:
    """What a router tells of itself."""
    with RawClient(path) as client:
        found: dict[str, Any] = json.loads(client.read_to_end())
        return found


def unused() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routers]:
    """Both in one server, with little patience; one of the rawrouter's two servers is not there."""
    directory = tmp_path_factory.mktemp("routers")
    stats, raw = str(directory / "fast.sock"), RawServer()
    with ExitStack() as stack:
        server = stack.enter_context(ScriptedServer(SCRIPTS))
        options = ["--fastrouter", "127.0.0.1:0", "--fastrouter-to", server.address, "--fastrouter-timeout", "2"]
        options += ["--fastrouter-stats", stats, "--rawrouter", "127.0.0.1:0", "--rawrouter-timeout", "3"]
        options += ["--rawrouter-to", f"{unused()},weight=9", "--rawrouter-to", raw.address]
        process = stack.enter_context(ServerProcess(*options, directory=directory))
        yield Routers(process, server, raw, stats)
    raw.close()


# -- the fastrouter ----------------------------------------------------------------------------------------------------


def test_packets_and_answers_pass_as_they_are(routers: Routers) -> None:
    """Variables twice, of any name, with any modifiers of languages; answers that are none."""
    question = packet("/plain", UWSGI_FILE="a.py") + b""
    for modifiers in ((0, 0), (14, 7)):
        asked = bytes((modifiers[0], *question[1:3], modifiers[1])) + question[4:]
        with routers.fast() as client:
            for at in range(len(asked)):
                client.send(asked[at : at + 1])
            assert client.read_to_end() == OK + b"ab"
        assert routers.server.seen("/plain")[-1].head == asked
    with routers.fast() as client:
        client.send(packet("/garbage"))
        assert client.read_to_end() == b"\0\1\2"


def test_bodies_pass_while_they_come(routers: Routers) -> None:
    body = os.urandom(3 << 20)
    answer = routers.ask(packet("/digest", CONTENT_LENGTH=str(len(body))) + body)
    assert answer.body == hashlib.sha256(body).hexdigest().encode()


def test_a_client_that_has_ended_its_side_gets_its_answer(routers: Routers) -> None:
    with routers.fast() as client:
        client.send(packet("/plain"))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.receive().body == b"ab"


@pytest.mark.parametrize("path", ["/early", "/early-and-gone"])
def test_an_early_answer_reaches_a_client_that_still_sends(routers: Routers, path: str) -> None:
    before = state_of(routers)["failures"]
    with routers.fast() as client:
        client.send(packet(path, CONTENT_LENGTH=str(HUGE)) + BLOCK * 64)
        assert client.receive().status == 413
    assert state_of(routers)["failures"] == before


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "an HTTP request"),
        (b"\x16\4\0\0\1\0a\0", 403, "code to evaluate"),
        (b"\0\0\0\0", 400, "empty"),
        (b"\0\4\0\0\xff\xff\0\0", 400, "lying"),
        (b"\xee\4\0\0\1\0a\0", 400, "modifier"),
        (packet("/nothing"), 502, "without an answer"),
        (packet("/silent"), 504, "within 2 s"),
    ],
)
def test_what_cannot_be_answered_gets_an_answer_all_the_same(
    routers: Routers, data: bytes, status: int, words: str
) -> None:
    answer = routers.ask(data)
    assert (answer.status, words in answer.body.decode()) == (status, True), answer.body


def test_half_a_packet_and_a_ping(routers: Routers) -> None:
    with routers.fast() as client:
        client.send(packet("/plain")[:-1])
        client.socket.shutdown(socket.SHUT_WR)
        assert client.receive().status == 400
    with routers.fast() as client:
        client.send(b"\x64\0\0\0")
        assert client.socket.recv(4)[0] == 100


@pytest.mark.parametrize("path", ["/breaks", "/stalled"])
def test_half_an_answer_is_not_taken_for_a_whole_one(routers: Routers, path: str) -> None:
    with routers.fast() as client:
        client.send(packet(path))
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: client.socket.recv(65536), b""))
    assert state_of(routers)["active"] == 0


def state_of(routers: Routers) -> dict[str, Any]:
    """Of the fastrouter's server."""
    found: dict[str, Any] = routers.state()["static_nodes"][0]
    return found


def test_a_server_waits_for_a_slow_client(routers: Routers) -> None:
    before = routers.server.gone
    with routers.fast() as client:
        client.send(packet("/huge"))
        # What the kernel holds on the sockets on the way, and the router, is less than the answer is long.
        seen = [0, 1]

        def stands_still() -> bool:
            seen[:] = seen[1], state_of(routers)["rx"]
            return bool(seen[1]) and seen[0] == seen[1]

        wait_until(stands_still, PATIENCE, what="the answer to stand still", interval=0.2)
        assert seen[1] < HUGE
        assert routers.server.gone == before
        received = sum(map(len, iter(lambda: client.socket.recv(1 << 20), b"")))
    assert received == len(OK) + HUGE
    wait_until(lambda: routers.server.gone == before + 1, PATIENCE, what="the server to end")


def test_a_server_hears_that_its_client_has_left(routers: Routers) -> None:
    before = routers.server.gone
    with routers.fast() as client:
        client.send(packet("/stalled"))
        client.read_until(b"half")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    wait_until(lambda: routers.server.gone > before, PATIENCE, what="the server to hear of it")


def test_its_state(routers: Routers) -> None:
    routers.ask(packet("/plain"))
    found = routers.state()
    host, port = routers.process.addresses[0]
    assert found["fastrouter"] == [f"{host}:{port}"]
    assert found["static_nodes"][0]["name"] == routers.server.address
    assert found["static_nodes"][0]["hits"] >= 1
    assert found["statuses"]["2xx"] >= 1


# -- the rawrouter -----------------------------------------------------------------------------------------------------


def test_either_side_may_speak_first_and_end_first(routers: Routers) -> None:
    """A server that is not there is left alone, and no client notices."""

    def greets(peer: socket.socket) -> None:
        peer.sendall(b"220 hello\r\n")
        heard = b"".join(iter(lambda: peer.recv(65536), b""))
        peer.sendall(heard.upper())

    def leaves_first(peer: socket.socket) -> None:
        peer.sendall(b"bye")
        peer.shutdown(socket.SHUT_WR)
        heard.append(b"".join(iter(lambda: peer.recv(65536), b"")))

    routers.raw.script = greets
    for _ in range(3):
        with routers.tcp() as client:
            assert client.recv(100) == b"220 hello\r\n"
            client.sendall(b"ehlo")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b"EHLO"
            assert client.recv(100) == b""
    heard: list[bytes] = []
    routers.raw.script = leaves_first
    with routers.tcp() as client:
        assert client.recv(100) == b"bye"
        assert client.recv(100) == b""
        client.sendall(b"wait")
        client.shutdown(socket.SHUT_WR)
        wait_until(lambda: heard == [b"wait"], PATIENCE, what="the server to hear the rest")


def test_much_passes_both_ways_at_once_at_the_pace_of_who_takes_it(routers: Routers) -> None:
    sent: list[int] = []

    def echoes(peer: socket.socket) -> None:
        while data := peer.recv(65536):
            peer.sendall(data)
        sent.append(1)

    routers.raw.script = echoes
    with routers.tcp() as client:

        def send() -> None:
            for _ in range(HUGE // len(BLOCK)):
                client.sendall(BLOCK)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        received = hashlib.sha256()
        count = 0
        while data := client.recv(1 << 20):
            received.update(data)
            count += len(data)
        sender.join(PATIENCE)
    assert (count, sent) == (HUGE, [1])
    assert received.digest() == hashlib.sha256(BLOCK * (HUGE // len(BLOCK))).digest()


def test_a_broken_connection_breaks_on_the_other_side(routers: Routers) -> None:
    ends: list[str] = []

    def resets(peer: socket.socket) -> None:
        peer.recv(1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def waits(peer: socket.socket) -> None:
        peer.sendall(b"x")
        try:
            ends.append("end" if not peer.recv(1) else "data")
        except ConnectionResetError:
            ends.append("reset")

    routers.raw.script = resets
    with routers.tcp() as client:
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    routers.raw.script = waits
    with routers.tcp() as client:
        assert client.recv(1) == b"x"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    wait_until(lambda: bool(ends), PATIENCE, what="the server to hear of it")
    assert ends == ["reset"]


def test_silence_ends_a_connection(routers: Routers) -> None:
    ended = threading.Event()

    def listens(peer: socket.socket) -> None:
        peer.recv(1)
        ended.set()

    routers.raw.script = listens
    with routers.tcp() as client:
        assert client.recv(1) == b""
    assert ended.wait(PATIENCE)


# -- keys, and a real web server ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Path]]:
    """A fastrouter for the sockets in a directory, and the application `site.test` in it; one more lies outside."""
    directory = tmp_path_factory.mktemp("keyed")
    apps = directory / "apps"
    apps.mkdir()
    (directory / "app.py").write_text(APPLICATION)
    sockets = ["--socket", "apps/site.test", "--socket", "outside.test"]
    router = ["--fastrouter", "127.0.0.1:0", "--fastrouter", "fast.sock", "--fastrouter-use-base", f"{apps}/"]
    with ServerProcess(*sockets, *router, "--wsgi-file", "app.py", "-p", "2", directory=directory) as server:
        yield server, directory


def test_the_key_says_which_server(keyed: tuple[ServerProcess, Path]) -> None:
    """And never one outside of the directory."""

    def ask(**variables: str) -> int:
        with RawClient(server.addresses[0], PATIENCE) as client:
            client.send(encode_variables({"REQUEST_METHOD": "GET", "PATH_INFO": "/", **variables}))
            return client.receive().status

    server, directory = keyed
    assert ask(HTTP_HOST="Site.Test") == 200
    assert ask(HTTP_HOST="other.test", UWSGI_FASTROUTER_KEY="site.test") == 200
    assert ask(HTTP_HOST="", SERVER_NAME="site.test") == 200
    assert ask(HTTP_HOST="other.test") == 503
    for key in ("../outside.test", "a/../../outside.test", f"{directory}/outside.test", "..", "x" * 300, "a b", "a\0b"):
        assert ask(UWSGI_FASTROUTER_KEY=key) == 400, key
    assert ask(PATH_INFO="/no-key") == 400


@needs_nginx
def test_behind_nginx(keyed: tuple[ServerProcess, Path], tmp_path: Path) -> None:
    """Uploads, large answers, aborts, and answers of the router that nginx passes on."""
    _, directory = keyed
    locations = f"""
        include /etc/nginx/uwsgi_params;
        uwsgi_param HTTP_HOST $host;
        client_max_body_size 50m;
        location / {{ uwsgi_pass unix:{directory}/fast.sock; }}
        location /unbuffered {{
            uwsgi_request_buffering off; uwsgi_buffering off;
            uwsgi_pass unix:{directory}/fast.sock;
        }}
    """
    body = os.urandom(5 << 20)
    with nginx_with(tmp_path, locations) as address:

        def ask(path: str, host: str = "site.test", body: bytes = b"") -> Response:
            with RawClient(address, PATIENCE) as client:
                head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
                client.send(head.encode() + body)
                return client.receive()

        for path in ("/", "/unbuffered"):
            answer = ask(path, body=body)
            assert answer.body.decode() == f"{hashlib.sha256(body).hexdigest()} site.test"
        assert len(ask("/large").body) == 64 << 16
        with RawClient(address, PATIENCE) as client:  # leaves in the middle of its request
            client.send(b"POST /unbuffered HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100\r\n\r\n12345")
        answer = ask("/", host="other.test")
        assert (answer.status, b"no server can be reached" in answer.body) == (503, True)
        assert ask("/").status == 200


# -- processes ---------------------------------------------------------------------------------------------------------


def test_processes_die_and_are_reloaded_without_a_lost_connection(tmp_path: Path) -> None:
    raw = RawServer()

    def echoes(peer: socket.socket) -> None:
        while data := peer.recv(100):
            peer.sendall(data)

    raw.script = echoes
    options = ["--rawrouter", "127.0.0.1:0", "--rawrouter-to", raw.address, "--rawrouter-processes", "2"]
    with ServerProcess(*options, directory=tmp_path) as server:
        first = {name: pid for name, pid in processes(server).items() if "rawrouter" in name}
        assert set(first) == {"uWSGI rawrouter 1", "uWSGI rawrouter 2"}
        os.kill(first["uWSGI rawrouter 2"], signal.SIGKILL)
        server.wait_for_log(r"^respawned uWSGI rawrouter 2 \(pid: \d+\)$")
        with socket.create_connection(server.addresses[0], PATIENCE) as client:
            client.sendall(b"before")
            assert client.recv(100) == b"before"
            server.signal(signal.SIGHUP)
            server.wait_for_log("reload complete", timeout=PATIENCE)
            client.sendall(b"after")
            assert client.recv(100) == b"after"
            with socket.create_connection(server.addresses[0], PATIENCE) as another:
                another.sendall(b"new")
                assert another.recv(100) == b"new"
        wait_until(lambda: not alive(first["uWSGI rawrouter 1"]), PATIENCE, what="the old process to leave")
        assert server.stop() == 0
    raw.close()


def test_without_a_master_this_process_is_the_router(tmp_path: Path) -> None:
    options = ["--fastrouter", "127.0.0.1:0", "--force-gateway", "--no-master"]
    with (
        ScriptedServer(SCRIPTS) as scripted,
        ServerProcess(*options, "--fastrouter-to", scripted.address, directory=tmp_path, wait=False) as server,
    ):
        server.wait_for_log(r"^spawned uWSGI fastrouter 1 \(and the only\)")
        with RawClient(server.addresses[0], PATIENCE) as client:
            client.send(packet("/plain"))
            assert client.receive().body == b"ab"
        assert server.stop() == 0
