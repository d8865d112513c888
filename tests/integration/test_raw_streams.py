"""Connections that applications take over: WebSockets through libraries and the `uwsgi` module, raw sockets."""

from __future__ import annotations

import base64
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.client import BadResponse, RawClient
from tests.support.engines import PREFORK, each_engine, prefork_and_gevent, threads_and_gevent
from tests.support.nginx import BEGINNING, NGINX
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.protocol.websocket import Messages, Opcode, accept_key, mask

OPTIONS = ("--http-socket", "127.0.0.1:0", "--module", "talking")
KEY = base64.b64encode(bytes(range(16))).decode()
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG


class Talk:
    """The client's side of a WebSocket, over a raw connection."""

    def __init__(self, client: RawClient, path: str, **headers: str) -> None:
        self.client = client
        lines = [f"GET {path} HTTP/1.1", "Host: test", "Upgrade: websocket", "Connection: keep-alive, Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        client.send("\r\n".join([*lines, "", ""]).encode())
        self.answer = client.receive_any()
        self._data = client.buffer

    def say(self, kind: Opcode, payload: bytes, *, first: int = 0x80) -> None:
        key = os.urandom(4)
        size = len(payload)
        length = bytes((0x80 | size,)) if size <= 125 else b"\xfe" + struct.pack(">H", size)
        self.client.send(bytes((first | kind,)) + length + key + mask(payload, key))

    def hear(self) -> tuple[Opcode, bytes]:
        """The next frame of the server, which are never masked or in pieces."""
        head = self._take(2)
        size = head[1]
        if size == 126:
            (size,) = struct.unpack(">H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._take(8))
        return Opcode(head[0] & 15), self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            data = self.client.socket.recv(65536)
            assert data, f"the connection ended; {self._data!r} was left"
            self._data += data
        data, self._data = self._data[:size], self._data[size:]
        return data

    def ended(self) -> bool:
        return not self._data and self.client.socket.recv(1) == b""


@contextmanager
def talk(server: ServerProcess, path: str, **headers: str) -> Iterator[Talk]:
    with server.connect() as client:
        yield Talk(client, path, **headers)


@each_engine
def test_functions_of_the_uwsgi_module(engine: tuple[str, ...]) -> None:
    """Handshake, messages both ways, binary and text, pings, and a close that is answered."""
    with ServerProcess(*OPTIONS, *engine) as server:
        with talk(server, "/uwsgi", Sec_WebSocket_Protocol="chat, other") as ws:
            assert (ws.answer.status, ws.answer.header("sec-websocket-accept")) == (101, accept_key(KEY))
            assert ws.answer.header("sec-websocket-protocol") == "chat"
            ws.say(Opcode.TEXT, "grüß".encode())
            assert ws.hear() == (Opcode.TEXT, "GRÜSS".encode())
            ws.say(PING, b"there?")
            assert ws.hear() == (PONG, b"there?")
            ws.say(Opcode.TEXT, b"in ", first=0)
            ws.say(Opcode.CONTINUATION, b"pieces")
            assert ws.hear() == (Opcode.TEXT, b"IN PIECES")
            ws.say(Opcode.TEXT, b"binary please")
            kind, payload = ws.hear()
            assert (kind, len(payload)) == (Opcode.BINARY, 70_000)
            ws.say(CLOSE, b"\x03\xe8bye")
            assert ws.hear() == (CLOSE, b"\x03\xe8")
            assert ws.ended()
        server.wait_for_log(r"GET /uwsgi => generated 70\d{3} bytes in \d+ msecs \(HTTP/1.1 101\)")
        server.wait_for_log("^over: unable to receive websocket message: the client closed the WebSocket$")
        assert server.get("/").body == b"served 2"


@threads_and_gevent
def test_simple_websocket(engine: tuple[str, ...]) -> None:
    """The library under flask-sock and python-socketio finds its socket; its own client talks to it."""
    simple_websocket = pytest.importorskip("simple_websocket")
    with ServerProcess(*OPTIONS, *engine) as server:
        client = simple_websocket.Client(f"ws://127.0.0.1:{server.port}/simple")
        for text in ("one", "x" * 100_000):
            client.send(text)
            assert client.receive(timeout=20) == text.upper()
        client.send("bye")
        assert client.receive(timeout=20) == "BYE"
        with pytest.raises(simple_websocket.ConnectionClosed) as closed:
            client.receive(timeout=20)
        assert closed.value.reason == 1000
        server.wait_for_log(r"GET /simple => generated \d+ bytes in \d+ msecs \(HTTP/1.1 101\)")
        assert "Traceback" not in server.log
        assert server.get("/").body == b"served 2"


@prefork_and_gevent
def test_flask_sock(engine: tuple[str, ...]) -> None:
    pytest.importorskip("flask_sock")
    simple_websocket = pytest.importorskip("simple_websocket")
    options = ("--http-socket", "127.0.0.1:0", "--module", "talking:flask_application()")
    with ServerProcess(*options, *engine) as server:
        client = simple_websocket.Client(f"ws://127.0.0.1:{server.port}/echo")
        client.send("hello")
        assert client.receive(timeout=20) == "you said hello"
        client.close()
        server.wait_for_log(r"GET /echo => generated \d+ bytes in \d+ msecs \(HTTP/1.1 101\)")
        assert "Traceback" not in server.log


@threads_and_gevent
def test_raw_socket(engine: tuple[str, ...]) -> None:
    """Any other protocol: what came right behind the request is not lost, and the server adds nothing."""
    with ServerProcess(*OPTIONS, *engine) as server:
        for rounds in range(3):
            with server.connect() as client:
                client.send(b"GET /raw HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\nfirst\nsec")
                assert client.receive_any().status == 101
                client.send(b"ond\nquit\n")
                assert client.read_to_end() == b"FIRST\nSECOND\n", rounds
        server.wait_for_log(r"GET /raw => generated \d+ bytes in \d+ msecs \(HTTP/1.1 101\)", count=3)
        assert server.get("/").body == b"served 4"


def test_socket_that_outlives_its_request() -> None:
    """A thread of the application's goes on talking; the core is free, and another client may get the same number."""
    with ServerProcess(*OPTIONS) as server, server.connect() as client:
        client.send(b"GET /outlive HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n")
        assert client.receive_any().status == 101
        server.wait_for_log(r"GET /outlive => .*\(HTTP/1.1 101\)")
        for number in range(5):
            assert server.get("/").body == b"served %d" % (number + 2)
            client.send(b"line %d\n" % number)
            assert client.socket.recv(100) == b"LINE %d\n" % number
        client.send(b"quit\n")
        assert client.socket.recv(1) == b""


HEADS = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA",
    b"Connection: Upgrade\r\nUpgrade: websocket",
    b"Upgrade: websocket",
)


@prefork_and_gevent
def test_ordinary_answer(engine: tuple[str, ...]) -> None:
    """An application that does not take the connection answers as ever, and the connection stays."""
    with ServerProcess(*OPTIONS, *engine) as server, server.connect() as client:
        for number, head in enumerate(HEADS * 2, 1):
            client.send(b"GET / HTTP/1.1\r\nHost: t\r\n%b\r\n\r\n" % head)
            response = client.receive()
            assert (response.status, response.body) == (200, b"served %d" % number)
            assert response.header("connection") is None


def test_socket_is_offered_to_upgrades_only() -> None:
    offered = {"Connection": "upgrade", "Upgrade": "websocket"}
    with ServerProcess(*OPTIONS) as server:
        assert server.get("/offered", **offered).body == b"True 127.0.0.1"
        assert server.get("/offered", Upgrade="websocket").body == b"False"
        with server.connect() as client:
            client.send(b"GET /offered HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            assert client.receive().body == b"False"
            client.close()
        assert server.get("/uwsgi").status == 500
        assert "this is no request of HTTP/1.1 with an Upgrade field" in server.log


@prefork_and_gevent
def test_application_that_fails(engine: tuple[str, ...]) -> None:
    """The traceback is in the log, the client gets 1011 and no HTML, the worker serves on."""
    with ServerProcess(*OPTIONS, *engine) as server:
        with talk(server, "/fails") as ws:
            assert ws.hear() == (CLOSE, b"\x03\xf3")
            assert ws.ended()
        server.wait_for_log(r"^ZeroDivisionError")
        assert server.get("/").status == 200


@prefork_and_gevent
def test_application_that_says_it_is_done(engine: tuple[str, ...]) -> None:
    """With the exceptions that other servers understand."""
    with ServerProcess(*OPTIONS, *engine) as server:
        for path in ("/as-for-werkzeug", "/as-for-gunicorn"):
            with talk(server, path) as ws:
                assert ws.answer.status == 101
                assert ws.ended()
            server.wait_for_log(rf"GET {path} => generated \d+ bytes in \d+ msecs \(HTTP/1.1 101\)")
        assert "Traceback" not in server.log
        with talk(server, "/fails") as ws:
            assert ws.hear() == (CLOSE, b"\x03\xf3")
        server.wait_for_log("^Traceback")


@prefork_and_gevent
def test_peer_that_breaks_the_rules(engine: tuple[str, ...]) -> None:
    with ServerProcess(*OPTIONS, *engine, "--websockets-max-size", "1") as server:
        with talk(server, "/uwsgi") as ws:
            ws.say(Opcode.TEXT, b"x" * 1025)
            kind, payload = ws.hear()
            assert (kind, payload[:2]) == (CLOSE, b"\x03\xf1")
            assert b"websockets-max-size" in payload
        with talk(server, "/uwsgi") as ws:
            ws.client.send(b"\x81\x05Hello")
            assert ws.hear()[1][:2] == b"\x03\xea"
        server.wait_for_log("^a WebSocket is closed: a client's frame that is not masked$")
        assert server.get("/").status == 200


@threads_and_gevent
def test_silent_peer(engine: tuple[str, ...]) -> None:
    """It is pinged; one that answers is kept, one that does not is given up."""
    options = ("--websockets-ping-freq", "0.3", "--websockets-pong-tolerance", "0.5")
    with ServerProcess(*OPTIONS, *engine, *options) as server, talk(server, "/uwsgi") as ws:
        for _ in range(2):
            assert ws.hear() == (PING, b"")
            ws.say(PONG, b"")
        ws.say(Opcode.TEXT, b"here")
        assert ws.hear() == (Opcode.TEXT, b"HERE")
        assert ws.hear() == (PING, b"")
        assert ws.ended()
        server.wait_for_log(r"^no PONG received in 0\.5 seconds !!!$")


@threads_and_gevent
def test_not_blocking(engine: tuple[str, ...]) -> None:
    """websocket_recv_nb gives b"" until a message is whole."""
    with ServerProcess(*OPTIONS, *engine) as server, talk(server, "/polls") as ws:
        assert ws.hear() == (Opcode.TEXT, b"nothing yet")
        ws.say(Opcode.TEXT, b"now")
        assert ws.hear() == (Opcode.TEXT, b"got now")
        assert ws.hear() == (CLOSE, b"\x03\xe8")


@prefork_and_gevent
def test_other_threads_send(engine: tuple[str, ...]) -> None:
    """With a request_context; whole messages, none lost, and not when the request is over."""
    with ServerProcess(*OPTIONS, *engine) as server, talk(server, "/helped") as ws:
        heard = [ws.hear()[1].split() for _ in range(100)]
        for letter in (b"a", b"b"):
            mine = [words for words in heard if words[0].startswith(letter)]
            assert [words[0] for words in mine] == [b"%b%d" % (letter, number) for number in range(50)]
            assert {words[1] for words in mine} == {letter * 20_000}
        ws.say(Opcode.TEXT, b"enough")
        assert ws.hear() == (CLOSE, b"\x03\xe8")
        server.wait_for_log("^too late: the request of this request_context has ended$")


@prefork_and_gevent
def test_harakiri_leaves_conversations_alone(engine: tuple[str, ...]) -> None:
    """They may last for hours; other requests of the worker still have their deadline."""
    with (
        ServerProcess(*OPTIONS, *engine, "--harakiri", "1", "--soft-harakiri", "0.5") as server,
        talk(server, "/uwsgi") as ws,
    ):
        ws.client.socket.settimeout(2.5)
        with pytest.raises(TimeoutError):
            ws.hear()
        ws.client.socket.settimeout(10)
        ws.say(Opcode.TEXT, b"still there")
        assert ws.hear() == (Opcode.TEXT, b"STILL THERE")
        assert "HARAKIRI" not in server.log


@each_engine
def test_reload_ends_conversations(engine: tuple[str, ...]) -> None:
    """The application finds the end of input and can say good-bye; the reload does not wait for its clients."""
    paths = ("/uwsgi",) if engine == PREFORK else ("/uwsgi", "/simple", "/raw")  # of which each needs a core
    with ServerProcess(*OPTIONS, *engine) as server, ExitStack() as stack:
        talks = {path: stack.enter_context(talk(server, path)) for path in paths}
        assert {ws.answer.status for ws in talks.values()} == {101}
        server.signal(1)
        server.wait_for_log(r"^\*\*\* reload complete", timeout=30)
        assert talks["/uwsgi"].hear() == (CLOSE, b"\x03\xe9")
        assert all(ws.ended() for ws in talks.values())
        assert server.get("/").body == b"served 1"
        assert server.stop() == 0


@threads_and_gevent
def test_clients_that_vanish(engine: tuple[str, ...]) -> None:
    """A reset in the middle is an OSError for the application and nothing for anybody else, caught or not."""
    with ServerProcess(*OPTIONS, *engine) as server:
        for path in ("/uwsgi", "/simple", "/careless"):
            with server.connect() as client:
                Talk(client, path)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.wait_for_log(r"\(HTTP/1.1 101\)", count=3)
        assert server.get("/").status == 200
        assert "Traceback" not in server.log


def test_talks_beside_requests() -> None:
    """With threads each conversation takes a core, and requests go on on the others."""
    with (
        ServerProcess(*OPTIONS, "--threads", "4") as server,
        ThreadPoolExecutor(3) as pool,
        talk(server, "/uwsgi") as one,
        talk(server, "/uwsgi") as two,
    ):
        served = pool.map(lambda _: server.get("/").status, range(20))
        for number in range(10):
            for ws in (one, two):
                ws.say(Opcode.TEXT, b"%d" % number)
                assert ws.hear() == (Opcode.TEXT, b"%d" % number)
        assert set(served) == {200}


def test_messages_is_what_the_client_uses() -> None:
    """The masking of this test's client is checked against the server's parser."""
    messages = Messages(10)
    key = b"abcd"
    messages.feed(b"\x81\x82" + key + mask(b"hi", key))
    assert messages.next() == (Opcode.TEXT, b"hi")


NGINX_CONFIGURATION = (
    BEGINNING
    + """
    server {{
        listen unix:{folder}/proxy.nginx;
        location / {{
            proxy_pass http://{http};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }}
    }}
    server {{
        listen unix:{folder}/uwsgi.nginx;
        location / {{
            uwsgi_pass {uwsgi};
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param PATH_INFO $document_uri;
            uwsgi_param QUERY_STRING $query_string;
            uwsgi_param SERVER_PROTOCOL $server_protocol;
            uwsgi_param CONTENT_LENGTH $content_length;
            uwsgi_param SERVER_NAME $server_name;
            uwsgi_param SERVER_PORT $server_port;
        }}
    }}
}}
"""
)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_behind_nginx(tmp_path: Path) -> None:
    """`proxy_pass` and `uwsgi_pass` both switch protocols, for the module's functions and for libraries."""
    assert NGINX is not None
    sockets = ("--http-socket", "127.0.0.1:0", "--socket", "127.0.0.1:0", "--module", "talking")
    with ServerProcess(*sockets, "--gevent", "20") as server, ExitStack() as stack:
        speaks = {
            "HTTP" if _speaks_http(address) else "uwsgi": f"{address[0]}:{address[1]}" for address in server.addresses
        }
        user = "user root;" if os.getuid() == 0 else ""
        text = NGINX_CONFIGURATION.format(folder=tmp_path, user=user, http=speaks["HTTP"], uwsgi=speaks["uwsgi"])
        (tmp_path / "nginx.conf").write_text(text)
        nginx = subprocess.Popen([NGINX, "-p", tmp_path, "-c", tmp_path / "nginx.conf"], stderr=subprocess.DEVNULL)
        stack.callback(nginx.wait, 10)
        stack.callback(nginx.terminate)
        wait_until(lambda: (tmp_path / "uwsgi.nginx").is_socket(), 20, what="nginx to listen")
        for way in ("proxy", "uwsgi"):
            for path in ("/uwsgi", "/simple"):
                with RawClient(str(tmp_path / f"{way}.nginx")) as client:
                    ws = Talk(client, path)
                    assert ws.answer.status == 101, (way, path)
                    ws.say(Opcode.TEXT, way.encode())
                    assert ws.hear() == (Opcode.TEXT, way.upper().encode())
                    ws.say(CLOSE, b"\x03\xe8")
                    assert ws.hear() == (CLOSE, b"\x03\xe8")
        server.wait_for_log(r"\(HTTP/1.[01] 101\)", count=4)


def _speaks_http(address: tuple[str, int]) -> bool:
    with RawClient(address) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        try:
            return client.receive().status == 200
        except BadResponse:
            return False
