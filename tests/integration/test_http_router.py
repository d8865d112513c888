"""The http router in front of servers that behave badly, and of those that do not."""

from __future__ import annotations

import json
import random
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import ConnectionEnded, RawClient, Response
from tests.support.scripted import Asked, ScriptedServer, answers, answers_and_waits
from tests.support.server import LAUNCHER, ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.protocol.framing import encode_chunk

BODY = bytes(range(256)) * 20
HUGE = 24 << 20
OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"Content-Length: %d\r\n\r\n" % len(BODY)
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def bytewise(data: bytes) -> list[bytes]:
    """One byte at a time for the head, the rest in pieces."""
    cuts = [*range(60), 100, 101, 150, 1000, 3000]
    return [data[start:end] for start, end in zip(cuts, [*cuts[1:], len(data)], strict=True)]


def echo(server: ScriptedServer, peer: socket.socket, asked: Asked) -> None:
    """Says what it has been sent."""
    length = int(asked.variables.get("CONTENT_LENGTH", "0"))
    body = asked.body
    while len(body) < length:
        body += peer.recv(65536)
    peer.sendall(OK + b"Content-Length: %d\r\n\r\n" % length + body)


def early(server: ScriptedServer, peer: socket.socket, asked: Asked) -> None:
    """Refuses a request without having read its body."""
    peer.sendall(b"HTTP/1.1 403 Never\r\nContent-Length: 5\r\n\r\nnever")
    peer.shutdown(socket.SHUT_WR)
    server.await_end(peer)


def switch(server: ScriptedServer, peer: socket.socket, asked: Asked) -> None:
    """Speaks another protocol, in which everything is said again in capitals, until the other side ends."""
    upgrade = asked.variables["HTTP_UPGRADE"].encode()
    peer.sendall(b"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: " + upgrade + b"\r\n\r\nhello ")
    while data := peer.recv(65536):
        peer.sendall(data.upper())
    peer.sendall(b"bye")


def huge(server: ScriptedServer, peer: socket.socket, asked: Asked) -> None:
    """More than anybody keeps in memory; it says when it could send all of it, or not."""
    peer.sendall(OK + b"Content-Length: %d\r\n\r\n" % HUGE)
    try:
        for _ in range(HUGE >> 16):
            peer.sendall(BODY[:256] * 256)
    except ConnectionError:
        server.gone += 1


def environ(server: ScriptedServer, peer: socket.socket, asked: Asked) -> None:
    """Says how it was asked."""
    text = json.dumps(asked.variables).encode()
    peer.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(text) + text)


SCRIPTS = {
    "/sized": answers(*bytewise(SIZED + BODY)),
    "/http10": answers(b"HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\n", BODY[:99], BODY[99:]),
    "/chunked": answers(*bytewise(CHUNKED + encode_chunk(BODY) + b"0\r\n\r\n")),
    "/empty": answers(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "/interim": answers(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + SIZED, BODY),
    "/garbage": answers(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "/slow-garbage": answers_and_waits(b"S"),
    "/lying": answers(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "/endless-head": answers(OK + b"X: " + b"y" * 300_000),
    "/nothing": answers(),
    "/half-a-head": answers(OK + b"Content-Le"),
    "/cut-sized": answers(SIZED + BODY[:1000]),
    "/cut-chunks": answers(CHUNKED + encode_chunk(BODY) + b"5\r\nab"),
    "/bad-chunks": answers(CHUNKED + encode_chunk(BODY), b"zz\r\n"),
    "/too-much": answers(SIZED + BODY + b"HTTP/1.1 200 Smuggled\r\nContent-Length: 0\r\n\r\n"),
    "/unasked-switch": answers(b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "/silent": answers_and_waits(),
    "/stalled": answers_and_waits(SIZED + BODY[:1000]),
    "/gzip": answers(OK + b'uWSGI-Encoding: gzip\r\nETag: "1"\r\n\r\n', BODY[:2000], BODY[2000:]),
    "/echo": echo,
    "/early": early,
    "/switch": switch,
    "/huge": huge,
    "/environ": environ,
}
WHOLE = ("/sized", "/http10", "/chunked", "/interim", "/too-much")
CUT = ("/cut-sized", "/cut-chunks", "/bad-chunks")


class Router:
    """A router in front of a scripted server."""

    def __init__(self, process: ServerProcess, server: ScriptedServer, stats: str) -> None:
        self.process, self.server, self.stats = process, server, stats

    def connect(self, timeout: float = 20.0) -> RawClient:
        """A client of the router."""
        return RawClient(self.process.addresses[0], timeout)

    def get(self, path: str, **headers: str) -> Response:
        """One answer, on a connection of its own."""
        with self.connect() as client:
            return client.get(path, **headers)

    def state(self) -> dict[str, Any]:
        """What the router tells of itself."""
        with RawClient(self.stats) as client:
            found: dict[str, Any] = json.loads(client.read_to_end())
            return found


def routed(server: ScriptedServer, directory: Path, *options: str) -> ServerProcess:
    """A router process for this server and nothing else."""
    stats = str(directory / "stats.sock")
    return ServerProcess("--http", "127.0.0.1:0", "--http-to", server.address, "--http-stats", stats, *options)


@pytest.fixture(scope="module", params=["uwsgi", "http"])
def router(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """A router whose patience ends soon, in front of the scripts."""
    directory = tmp_path_factory.mktemp("router")
    is_http = request.param == "http"
    with ExitStack() as stack:
        server = stack.enter_context(
            ScriptedServer(SCRIPTS, path="" if is_http else str(directory / "s"), http=is_http)
        )
        more = ["--http-backend-http"] if is_http else []
        process = stack.enter_context(
            routed(server, directory, "--http-timeout", "1.5", "--http-auto-gzip", "--http-var", "MINE=1", *more)
        )
        yield Router(process, server, str(directory / "stats.sock"))


@pytest.mark.parametrize("path", WHOLE)
def test_answers_arrive_whole_and_the_connection_is_kept(router: Router, path: str) -> None:
    with router.connect() as client:
        for _ in range(2):
            answer = client.get(path)
            assert (answer.status, answer.body) == (200, BODY)
            assert answer.header("connection") is None
            assert answer.header("date") is not None


@pytest.mark.parametrize("path", WHOLE)
def test_clients_of_http_1_0_know_no_chunks(router: Router, path: str) -> None:
    with router.connect() as client:
        client.send(b"GET %b HTTP/1.0\r\n\r\n" % path.encode())
        answer = client.receive()
        assert (answer.status, answer.body) == (200, BODY)
        assert answer.header("transfer-encoding") is None
        assert client.ended()


@pytest.mark.parametrize("path", ["/sized", "/chunked", "/http10"])
def test_answers_to_head_have_no_body(router: Router, path: str) -> None:
    with router.connect() as client:
        client.send(b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        assert client.receive("HEAD").status == 200
        assert client.get("/empty").status == 204


def test_interim_answers_are_for_the_client(router: Router) -> None:
    """RFC 9110 §15.2; 100 is the router's own."""
    with router.connect() as client:
        client.send(b"GET /interim HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [client.receive_any().status, client.receive_any().status] == [103, 200]


@pytest.mark.parametrize(
    "path",
    ["/garbage", "/lying", "/endless-head", "/nothing", "/half-a-head", "/unasked-switch"],
)
def test_what_is_no_answer_is_a_bad_gateway(router: Router, path: str) -> None:
    """The client is told, in a way that its connection survives."""
    with router.connect() as client:
        answer = client.get(path)
        assert answer.status == 502, answer
        assert answer.body.startswith(b"502 Bad Gateway: ")
        assert client.get("/sized").body == BODY
    assert "server: " in router.process.wait_for_log(r"\[uwsgi-http key: test .*GET: 502").group()


def test_servers_that_fall_silent_are_not_waited_for(router: Router) -> None:
    """Before an answer, inside its head, inside its body, and when both sides have gone over to another protocol."""
    gone = router.server.gone
    with ExitStack() as stack:
        silent, stammering, stalled, idle = (stack.enter_context(router.connect()) for _ in range(4))
        silent.send(b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n")
        stammering.send(b"GET /slow-garbage HTTP/1.1\r\nHost: a\r\n\r\n")
        stalled.send(b"GET /stalled HTTP/1.1\r\nHost: a\r\n\r\n")
        idle.send(b"GET /switch HTTP/1.1\r\nHost: a\r\nUpgrade: words\r\nConnection: upgrade\r\n\r\n")
        assert silent.receive().status == 504
        assert stammering.receive().status in (502, 504)
        with pytest.raises(ConnectionEnded):
            stalled.receive()
        assert idle.receive_any().status == 101
        assert idle.read_to_end() == b"hello "
    wait_until(lambda: router.server.gone >= gone + 3, what="the router to close its connections")


@pytest.mark.parametrize("path", CUT)
def test_an_answer_that_breaks_off_is_never_taken_for_whole(router: Router, path: str) -> None:
    with router.connect() as client, pytest.raises(ConnectionEnded):
        client.get(path)


def test_an_answer_that_breaks_off_is_a_reset_for_http_1_0(router: Router) -> None:
    """Its end would be the end of the body."""
    with router.connect() as client:
        client.send(b"GET /cut-chunks HTTP/1.0\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.socket.recv(1 << 20, socket.MSG_WAITALL)


@pytest.mark.parametrize("size", [0, 10, 200_000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_arrive_whole(router: Router, size: int, chunked: bool) -> None:
    body = random.Random(size).randbytes(size)
    with router.connect() as client:
        if chunked:
            pieces = b"".join(encode_chunk(body[at : at + 70_000]) for at in range(0, size, 70_000))
            client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
        else:
            client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body)
        assert client.receive("POST").body == body


def test_a_server_may_answer_before_it_has_read_all(router: Router) -> None:
    with router.connect() as client:
        client.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n" + bytes(8_000_000))
        answer = client.receive("POST")
        assert (answer.status, answer.body) == (403, b"never")


def test_nobody_hears_of_a_request_that_is_not_complete(router: Router) -> None:
    before = len(router.server.requests)
    with router.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        assert router.get("/sized").status == 200
        assert len(router.server.requests) == before + 1
        client.send(b"cd")
        assert client.receive("POST").body == b"abcd"


def test_both_sides_of_a_switched_connection(router: Router) -> None:
    with router.connect() as client:
        client.send(b"GET /switch HTTP/1.1\r\nHost: a\r\nUpgrade: words\r\nConnection: upgrade\r\n\r\nfirst ")
        answer = client.receive_any()
        assert (answer.status, answer.header("upgrade")) == (101, "words")
        client.send(b"second")
        client.read_until(b"SECOND")
        client.send(b"x" * 3_000_000)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_to_end() == b"X" * 3_000_000 + b"bye"


def test_a_slow_client_gets_everything_and_stops_only_its_server(router: Router) -> None:
    with router.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n")
        head = client.read_until(b"\r\n\r\n")
        assert b"Content-Length: %d" % HUGE in head
        assert router.get("/sized").body == BODY
        assert router.state()["active_sessions"] == 1  # the router has not taken it all in
        left = HUGE - len(client.buffer)
        while left:
            left -= len(client.socket.recv(1 << 20))


def test_a_client_that_leaves_takes_its_request_along(router: Router) -> None:
    gone = router.server.gone
    with router.connect() as client:
        client.send(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_until(b"\r\n\r\n")
    wait_until(lambda: router.server.gone > gone, what="the router to close its connection")
    wait_until(lambda: router.state()["active_sessions"] == 0, what="the session to end")


def test_compression_on_the_way(router: Router) -> None:
    answer = router.get("/gzip", Accept_Encoding="br, gzip")
    assert zlib.decompress(answer.body, 31) == BODY
    fields = [answer.header(name) for name in ("content-encoding", "vary", "etag", "uwsgi-encoding")]
    assert fields == ["gzip", "Accept-Encoding", 'W/"1"', None]
    plain = router.get("/gzip", Accept_Encoding="gzip;q=0")
    assert (plain.body, plain.header("content-encoding")) == (BODY, None)


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 20_000), 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 70_000), 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_bad_requests_are_refused_as_by_workers(router: Router, request_text: bytes, status: int) -> None:
    before = len(router.server.requests)
    with router.connect() as client:
        client.send(request_text + b"\r\n\r\n")
        assert client.receive().status == status
    assert len(router.server.requests) == before


def test_what_the_server_is_told(router: Router) -> None:
    with router.connect() as client:
        client.send(
            b"GET /environ?q=%20 HTTP/1.1\r\nHost: example.org:81\r\nProxy: evil\r\nConnection: X-A\r\nX-A: 1\r\n\r\n"
        )
        told = json.loads(client.receive().body)
        port = client.socket.getsockname()[1]
    (asked,) = router.server.seen("/environ")[-1:]
    if asked.head.startswith(b"GET"):
        fields = asked.head.decode().split("\r\n")
        assert {"Host: example.org:81", "X-Forwarded-For: 127.0.0.1", "Connection: close"} <= set(fields)
        assert not any(field.startswith(("Proxy", "X-A")) for field in fields)
        return
    wanted = {
        "HTTP_HOST": "example.org:81",
        "QUERY_STRING": "q=%20",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(port),
        "UWSGI_ROUTER": "http",
        "MINE": "1",
    }
    assert {name: told.get(name) for name in wanted} == wanted
    assert not {"HTTP_PROXY", "HTTP_X_A", "HTTP_CONNECTION"} & told.keys()


def test_many_clients_at_once(router: Router) -> None:
    """Good and bad ones mixed; each gets its own answer."""
    wrong: list[object] = []

    def run(seed: int) -> None:
        chance = random.Random(seed)
        try:
            with router.connect() as client:
                for number in range(12):
                    if chance.random() < 0.2:
                        assert router.get("/garbage").status == 502
                    body = b"%d.%d" % (seed, number)
                    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    assert client.receive("POST").body == body
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong


def test_statistics(router: Router) -> None:
    router.get("/garbage")
    state = router.state()
    (node,) = state["static_nodes"]
    assert node["name"] == router.server.address
    assert node["hits"] >= 1
    assert node["failures"] >= 1
    assert node["rx"] > 0
    assert state["statuses"]["5xx"] >= 1
    assert state["cheap"] == 0


# -- several servers ---------------------------------------------------------------------------------------------------


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def post(client: RawClient, path: str) -> Response:
    """A request that must not be sent twice."""
    client.send(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" % path.encode())
    return client.receive("POST")


def test_requests_are_sent_again_only_when_that_is_safe(tmp_path: Path) -> None:
    """A server that cannot be reached, one that leaves without an answer, and one that works."""
    dead = closed_port()
    with (
        ScriptedServer({"/": answers()}) as rude,
        ScriptedServer({"/": answers(SIZED + BODY)}) as good,
        routed(good, tmp_path, "--http-to", rude.address, "--http-to", dead) as process,
        RawClient(process.addresses[0], 20.0) as client,
    ):
        for _ in range(6):
            assert client.get("/").body == BODY
        assert rude.requests  # and these were answered by the other one
        statuses = [post(client, "/").status for _ in range(6)]
        assert set(statuses) == {200, 502}
        before = len(rude.requests) + len(good.requests)
        post(client, "/")
        assert len(rude.requests) + len(good.requests) == before + 1
        assert len(process.wait_for_log(rf"cannot connect to {dead}").group())
        state = Router(process, good, str(tmp_path / "stats.sock")).state()
        assert [node["grace"] > 0 for node in state["static_nodes"]] == [False, False, True]


def test_nobody_to_ask(tmp_path: Path) -> None:
    dead, fallback = closed_port(), tmp_path / "fallback"
    server = ServerProcess("--http", "127.0.0.1:0", "--http-to", dead, "--http-fallback", str(fallback), "--http-quiet")
    with server as process, RawClient(process.addresses[0], 20.0) as client:
        answer = client.get("/")
        assert (answer.status, answer.header("retry-after")) == (503, "5")
        assert "cannot connect" not in process.log
        with ScriptedServer({"/": answers(SIZED + BODY)}, path=str(fallback)):
            assert client.get("/").body == BODY


def test_a_connection_that_is_never_accepted(tmp_path: Path) -> None:
    """The kernel drops what does not fit the listen queue: connecting takes for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        address = full.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        server = ServerProcess(
            "--http", "127.0.0.1:0", "--http-to", f"{address[0]}:{address[1]}", "--http-connect-timeout", "0.5"
        )
        with server as process, RawClient(process.addresses[0], 20.0) as client:
            assert client.get("/").status == 504


def ask(address: tuple[str, int], source: str, data: bytes) -> tuple[int, dict[str, Any]]:
    """Status and variables of one request of a client that connects from `source`, which may begin with anything."""
    with socket.create_connection(address, 20.0, source_address=(source, 0)) as client:
        client.sendall(data)
        received = b""
        while piece := client.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else {}


def test_what_may_be_set(tmp_path: Path) -> None:
    """stud's prefix, no kept connections, expectations with a limit, the server's name, no upgrades."""
    options = (
        *("--http-stud-prefix", "127.0.0.9", "--http-keepalive=0", "--http-manage-expect=100"),
        *("--http-server-name-as-http-host", "--http-websockets=false", "--http-headers-timeout", "1"),
        *("--http-modifier2", "7", "--http-stats", "127.0.0.1:0"),
    )
    plain = b"GET /environ HTTP/1.1\r\nHost: example.org:8\r\nUpgrade: words\r\nConnection: upgrade\r\n\r\n"
    with ScriptedServer(SCRIPTS) as server, routed(server, tmp_path, *options) as process:
        address, stats = process.addresses
        with RawClient(stats, 3.0) as client:  # which does not say a word
            assert json.loads(client.read_to_end())["static_nodes"]
        status, told = ask(address, "127.0.0.1", plain)
        assert (status, told["REMOTE_ADDR"], told["SERVER_NAME"]) == (200, "127.0.0.1", "example.org")
        assert "HTTP_UPGRADE" not in told
        assert server.requests[-1].head[3] == 7
        status, told = ask(address, "127.0.0.9", b"\x02\x01\x02\x03\x04" + plain)
        assert (status, told["REMOTE_ADDR"]) == (200, "1.2.3.4")
        assert ask(address, "127.0.0.9", plain)[0] == 400
        expecting = b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        assert ask(address, "127.0.0.1", expecting % 101)[0] == 413
        with RawClient(address, 20.0) as client:
            client.send(expecting % 3)
            assert client.receive_any().status == 100
            client.send(b"abc")
            assert client.receive("POST").body == b"abc"
            assert client.ended()
        with RawClient(address, 20.0) as client:
            client.send(b"GET / HT")
            assert client.receive().status == 408


def test_the_proxy_protocol(tmp_path: Path) -> None:
    options = ("--http-enable-proxy-protocol", "--trusted-proxies", "127.0.0.9")
    plain = b"GET /environ HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: close\r\n\r\n"
    with ScriptedServer(SCRIPTS) as server, routed(server, tmp_path, *options) as process:
        address = process.addresses[0]
        status, told = ask(address, "127.0.0.9", b"PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n" + plain)
        wanted = {"REMOTE_ADDR": "1.2.3.4", "REMOTE_PORT": "11", "SERVER_ADDR": "5.6.7.8", "SERVER_PORT": "22"}
        assert (status, {name: told.get(name) for name in wanted}) == (200, wanted)
        assert "HTTP_X_FORWARDED_FOR" not in told
        assert ask(address, "127.0.0.9", plain)[0] == 400
        assert ask(address, "127.0.0.1", b"PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n" + plain)[0] in (400, 403)


def test_a_router_without_descriptors_makes_clients_wait(tmp_path: Path) -> None:
    """Connections that only might be used again are let go of; who has a request gets an answer."""
    limited = ("prlimit", "--nofile=48", *LAUNCHER)
    with ScriptedServer({"/": answers(SIZED + BODY)}) as server, ExitStack() as stack:
        process = ServerProcess("--http", "127.0.0.1:0", "--http-to", server.address, launcher=limited)
        address = stack.enter_context(process).addresses[0]
        clients = [stack.enter_context(RawClient(address, 20.0)) for _ in range(60)]
        for client in clients[:20]:
            assert client.get("/").body == BODY
        for client in clients[20:]:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        for client in clients[20:]:
            assert client.receive().body == BODY
        assert "Traceback" not in process.log


def test_the_host_says_which_server(tmp_path: Path) -> None:
    with (
        ScriptedServer({"/": answers(SIZED + BODY)}, path=str(tmp_path / "one.example")),
        ServerProcess("--http", "127.0.0.1:0", "--http-use-base", f"{tmp_path}/") as process,
        RawClient(process.addresses[0], 20.0) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: One.example\r\n\r\n")
        assert client.receive().body == BODY
        client.send(b"GET / HTTP/1.1\r\nHost: ..\r\n\r\n")
        assert client.receive().status == 503
        assert client.get("/").status == 503
