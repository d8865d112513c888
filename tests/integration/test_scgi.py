"""An SCGI socket: answers as of a CGI program, limits, leavers and liars, and clients whose worker cannot answer."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.servers import MODULE
from tests.conformance.wire import Wire
from tests.support.engines import GREEN
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.protocol.scgi import encode_request


@pytest.fixture(scope="module", params=[(), ("--threads", "4"), GREEN], ids=["prefork", "threads", "gevent"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    state = tmp_path_factory.mktemp("scgi")
    options = ("--scgi-socket", "127.0.0.1:0", "--limit-post", "3000000", "--master", *MODULE, *request.param)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(state)}) as running:
        yield running


def variables(target: str, method: str = "GET") -> dict[str, str]:
    path, _, query = target.partition("?")
    return {
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "DOCUMENT_URI": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "HTTP_HOST": "test",
    }


def exchange(address: tuple[str, int] | str, data: bytes, *, drip: bool = False) -> tuple[list[str], bytes]:
    """The lines of the answer's head, and its body up to the end of the connection."""
    with Wire(address) as wire:
        if drip:
            wire.drip(data)
        else:
            wire.send(data)
        head, _, body = wire.read_to_end().partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


def ask(server: ServerProcess, target: str, method: str = "GET", body: bytes = b"") -> tuple[list[str], bytes]:
    return exchange(server.addresses[0], encode_request(variables(target, method), body))


def test_answer_is_a_cgi_program_s(server: ServerProcess) -> None:
    head, body = ask(server, "/x")
    assert head[0] == "Status: 200 OK"
    assert "Content-Length: 8" in head
    assert not [line for line in head if line.startswith(("Connection:", "Transfer-Encoding:", "HTTP/"))]
    assert body == b"path=/x\n"


def test_environ(server: ServerProcess) -> None:
    _, body = ask(server, "/environ?q=1")
    environ = json.loads(body)["environ"]
    assert (environ["PATH_INFO"], environ["SCRIPT_NAME"], environ["QUERY_STRING"]) == ("/environ", "", "q=1")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("192.0.2.7", "http")


def test_byte_by_byte(server: ServerProcess) -> None:
    data = encode_request(variables("/echo", "POST"), b"some body")
    assert exchange(server.addresses[0], data, drip=True)[1] == b"some body"


def test_body_to_a_file_and_back(server: ServerProcess) -> None:
    data = random.Random(1).randbytes(2_000_000)
    assert ask(server, "/echo", "POST", data)[1] == data


def test_body_over_the_limit(server: ServerProcess) -> None:
    head, body = ask(server, "/echo", "POST", b"x" * 3_000_001)
    assert head[0] == "Status: 413 Request Entity Too Large"
    assert b"limit-post" in body


def test_stream_ends_with_the_connection(server: ServerProcess) -> None:
    head, body = ask(server, "/stream?blocks=100&size=50")
    assert head[0] == "Status: 200 OK"
    assert not [line for line in head if line.startswith("Content-Length")]
    assert body == b"".join(b"%d" % (number % 10) * 50 for number in range(100))


def test_file_and_large_answer(server: ServerProcess) -> None:
    head, body = ask(server, "/file/sized")
    assert (head[0], len(body)) == ("Status: 200 OK", 307_200)
    head, body = ask(server, "/big?size=5000000")
    assert (head[0], len(body)) == ("Status: 200 OK", 5_000_000)


def test_head_and_error(server: ServerProcess) -> None:
    head, body = ask(server, "/x", "HEAD")
    assert ("Content-Length: 8" in head, body) == (True, b"")
    assert ask(server, "/error/before")[0][0] == "Status: 500 Internal Server Error"


def until_reset(wire: Wire) -> bytes:
    """What came before the connection was reset."""
    received = b""
    try:
        while data := wire.socket.recv(65536):
            received += data
    except ConnectionResetError:
        return received
    raise AssertionError(f"an orderly end after {received[-100:]!r}")


def test_truncated_answer_is_reset(server: ServerProcess) -> None:
    """Without a length an orderly end would look like the end of the whole answer."""
    with Wire(server.addresses[0]) as wire:
        wire.send(encode_request(variables("/error/replaced-late")))
        received = until_reset(wire)
    assert received.startswith(b"Status: 200 OK\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request"),
        (b"70:SCGI\x001\x00", "408 Request Timeout"),
        (b"99999999:", "431 Request Header Fields Too Large"),
        (b"6:A\x00B\x00\x00\x00,", "400 Bad Request"),
    ],
    ids=["http", "cut", "oversize", "lying"],
)
def test_refusals(tmp_path: Path, data: bytes, status: str) -> None:
    options = ("--scgi-socket", f"{tmp_path}/scgi.sock", "--header-timeout", "1", *MODULE)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(tmp_path)}) as server:
        assert exchange(f"{tmp_path}/scgi.sock", data)[0][0] == f"Status: {status}"
        assert "refused a request from a Unix socket" in server.log


def test_noise_and_leavers_hurt_nobody(server: ServerProcess) -> None:
    source = random.Random(7)
    whole = encode_request(variables("/echo", "POST"), b"x" * 300)
    for _ in range(60):
        data = bytearray(whole[: source.randrange(1, len(whole))])
        for _ in range(source.randrange(3)):
            data[source.randrange(len(data))] = source.randrange(256)
        with Wire(server.addresses[0]) as wire:
            wire.send(bytes(data) if source.random() < 0.7 else source.randbytes(200))
            if source.random() < 0.5:
                wire.reset()
    assert ask(server, "/x")[1] == b"path=/x\n"


def test_body_read_from_the_client(tmp_path: Path) -> None:
    """post-buffering = 0: the application reads while the body comes; the mode of the socket is that of `socket`."""
    path = tmp_path / "scgi.sock"
    options = ("--scgi-socket", str(path), "--post-buffering", "0", *MODULE)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(tmp_path)}):
        assert path.stat().st_mode & 0o777 == 0o660
        data = random.Random(2).randbytes(500_000)
        assert exchange(str(path), encode_request(variables("/echo", "POST"), data))[1] == data


def test_several_sockets_at_once(tmp_path: Path) -> None:
    """Each option's clients are spoken to in their protocol, whatever the others speak."""
    name = f"uwsgi-deploy-{tmp_path.name}-{tmp_path.stat().st_ino}"
    options = ("--scgi-socket", f"@{name}", "--scgi-socket", "127.0.0.1:0", "--http-socket", "127.0.0.1:0", *MODULE)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(tmp_path)}) as server:
        data = encode_request(variables("/x"))
        assert exchange(f"\0{name}", data)[1] == b"path=/x\n"
        over_http, over_tcp = server.addresses
        with socket.create_connection(over_http, 10) as client:
            client.sendall(b"GET /x HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
        assert exchange(over_tcp, data)[0][0] == "Status: 200 OK"


@pytest.mark.parametrize("engine", [(), ("--threads", "2")], ids=["prefork-unix", "threads-tcp"])
def test_late_request_is_answered_in_its_protocol(tmp_path: Path, engine: tuple[str, ...]) -> None:
    """By the interrupted core, its worker's watchdog, or the master in place of a worker that is stuck."""
    sockets = ("--scgi-socket", f"{tmp_path}/s.sock", "--scgi-socket", "127.0.0.1:0", "--http-socket", "127.0.0.1:0")
    limits = ("--master", "--harakiri", "1", "--harakiri-graceful-timeout", "1")
    with ServerProcess(*sockets, *limits, "--module", "hanging_scgi", *engine, directory=hanging(tmp_path)) as server:
        address = server.addresses[1] if engine else f"{tmp_path}/s.sock"
        for way in ("/sleep", "/deaf", "/gil"):
            assert exchange(address, encode_request(variables(way)))[0][0] == "Status: 504 Gateway Timeout", way
        wait_until(lambda: exchange(address, encode_request(variables("/x")))[0][0] == "Status: 200 OK", 20)


def hanging(folder: Path) -> Path:
    """Requests that end when asked to, that do not, and that keep the interpreter."""
    (folder / "hanging_scgi.py").write_text(
        "import re, time\n\n"
        "def application(environ, start):\n"
        "    path = environ['PATH_INFO']\n"
        "    if path == '/sleep':\n"
        "        time.sleep(60)\n"
        "    end = time.monotonic() + 60\n"
        "    while path == '/deaf' and time.monotonic() < end:\n"
        "        try:\n"
        "            time.sleep(60)\n"
        "        except BaseException:\n"
        "            pass\n"
        "    if path == '/gil':\n"
        "        re.match('(a+)+b', 'a' * 60)\n"
        "    start('200 OK', [])\n"
        "    return [b'ok']\n"
    )
    return folder
