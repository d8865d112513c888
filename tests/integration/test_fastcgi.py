"""A FastCGI socket: kept connections, records in any shape, roles, limits, leavers and liars, late requests."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.servers import MODULE
from tests.conformance.wire import Wire
from tests.integration.test_scgi import hanging, variables
from tests.support.engines import GREEN
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.protocol.fastcgi import (
    ABORT_REQUEST,
    BEGIN_REQUEST,
    CANT_MPX_CONN,
    END_REQUEST,
    GET_VALUES,
    GET_VALUES_RESULT,
    REQUEST_COMPLETE,
    STDIN,
    STDOUT,
    UNKNOWN_ROLE,
    UNKNOWN_TYPE,
    Record,
    encode_record,
    encode_request,
    encode_stream,
    read_record,
)

Answer = tuple[list[str], bytes]


class Client(Wire):
    """A web server's side of a connection."""

    def record(self) -> Record:
        while (record := read_record(self.buffer, 0)) is None:
            assert self.receive(), f"ended inside a record: {self.buffer[:100]!r}"
        self.buffer = self.buffer[record.end :]
        return record

    def answer(self, number: int = 1) -> Answer:
        """Lines of the head, and the body; the response has to be whole."""
        parts = []
        while (record := self.record()).kind == STDOUT and record.content:
            assert record.request_id == number
            parts.append(record.content)
        assert (record.kind, record.content) == (STDOUT, b"")
        end = self.record()
        assert (end.kind, end.request_id, end.content[4]) == (END_REQUEST, number, REQUEST_COMPLETE)
        head, _, body = b"".join(parts).partition(b"\r\n\r\n")
        return head.decode().split("\r\n"), body

    def ask(self, target: str, method: str = "GET", body: bytes = b"") -> Answer:
        """A request on a connection that is kept."""
        self.send(encode_request(with_length(target, method, body), body, keep=True))
        return self.answer()


def with_length(target: str, method: str = "GET", body: bytes = b"") -> dict[str, str]:
    return {**variables(target, method), "CONTENT_LENGTH": str(len(body) or "")}


@pytest.fixture(scope="module", params=[(), ("--threads", "4"), GREEN], ids=["prefork", "threads", "gevent"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    state = tmp_path_factory.mktemp("fastcgi")
    options = ("--fastcgi-socket", "127.0.0.1:0", "--limit-post", "3000000", "--master", *MODULE, *request.param)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(state)}) as running:
        yield running


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.addresses[0]) as made:
        yield made


def test_many_requests_on_a_kept_connection(client: Client) -> None:
    for number in range(50):
        head, body = client.ask(f"/{number}")
        assert head[0] == "Status: 200 OK"
        assert not [line for line in head if line.startswith(("Connection:", "Transfer-Encoding:", "HTTP/"))]
        assert body == b"path=/%d\n" % number


def test_all_that_a_connection_can_bring(client: Client) -> None:
    """One after the other, whatever came before: nothing of a request is left for the next."""
    data = random.Random(1).randbytes(2_000_000)
    assert client.ask("/echo", "POST", data)[1] == data
    assert client.ask("/stream?blocks=100&size=50")[1] == b"".join(b"%d" % (each % 10) * 50 for each in range(100))
    assert len(client.ask("/file/sized")[1]) == 307_200
    assert len(client.ask("/big?size=5000000")[1]) == 5_000_000
    head, body = client.ask("/x", "HEAD")
    assert ("Content-Length: 8" in head, body) == (True, b"")
    assert client.ask("/ignore", "POST", b"x" * 100_000)[1] == b"ignored"
    assert client.ask("/error/before")[0][0] == "Status: 500 Internal Server Error"
    assert client.ask("/write/mixed")[1] == b"one,two,three,four"
    assert client.ask("/status/204%20No%20Content?body=EVIL".replace("%20", " "))[1] == b""
    assert client.ask("/x")[1] == b"path=/x\n"


def test_pipelined_and_numbered(client: Client) -> None:
    """Several requests in one read are served in their order."""
    client.send(b"".join(encode_request(variables(f"/{n}"), number=n, keep=True) for n in range(1, 6)))
    assert [client.answer(n)[1] for n in range(1, 6)] == [b"path=/%d\n" % n for n in range(1, 6)]


@pytest.mark.parametrize("step", [1, 13])
def test_records_split_anywhere(client: Client, step: int) -> None:
    for _ in range(2):
        client.drip(encode_request(with_length("/echo", "POST", b"some body"), b"some body", keep=True), step=step)
        assert client.answer()[1] == b"some body"


def test_connection_that_is_not_kept(client: Client) -> None:
    client.send(encode_request(variables("/x")))
    assert client.answer()[1] == b"path=/x\n"
    assert client.is_closed()


def test_body_without_a_length(client: Client) -> None:
    client.send(encode_request(variables("/echo", "POST"), b"a" * 100_000, keep=True))
    assert client.answer()[1] == b"a" * 100_000
    client.send(encode_request(variables("/environ", "POST"), b"abc", keep=True))
    environ = json.loads(client.answer()[1])["environ"]
    assert (environ["CONTENT_LENGTH"], "HTTP_TRANSFER_ENCODING" in environ) == ("3", False)


def test_management(client: Client) -> None:
    client.send(encode_record(GET_VALUES, 0) + encode_request(variables("/x"), keep=True))
    assert client.record().kind == GET_VALUES_RESULT
    assert client.answer()[1] == b"path=/x\n"


def test_other_roles(client: Client) -> None:
    client.send(encode_request(variables("/x"), b"body", role=3, keep=True))
    end = client.record()
    assert (end.kind, end.content[4]) == (END_REQUEST, UNKNOWN_ROLE)
    assert client.ask("/x")[1] == b"path=/x\n"


def test_second_request_at_the_same_time(client: Client) -> None:
    """It is refused, the first one is served, and so is the next."""
    first = encode_request(with_length("/echo", "POST", b"hello"), b"hello", keep=True)
    second = encode_request(variables("/x"), number=2, keep=True)
    cut = first.index(encode_record(STDIN, 1, b"hello"))
    client.send(first[:cut] + second + first[cut:])
    head, body = [], b""
    records = [client.record() for _ in range(4)]
    assert [(each.kind, each.request_id) for each in records] == [
        (STDOUT, 1),
        (STDOUT, 1),
        (END_REQUEST, 1),
        (END_REQUEST, 2),
    ]
    assert records[0].content.endswith(b"\r\n\r\nhello")
    assert records[3].content[4] == CANT_MPX_CONN
    head, body = client.ask("/x")
    assert (head[0], body) == ("Status: 200 OK", b"path=/x\n")


def test_abort_while_the_body_comes(server: ServerProcess, client: Client) -> None:
    client.send(
        encode_request(with_length("/echo", "POST", b"hello"), b"hello")[:-21] + encode_record(ABORT_REQUEST, 1)
    )
    head, _ = client.answer()
    assert head[0] == "Status: 400 Bad Request"
    assert client.is_closed()
    server.wait_for_log(r"the web server gave the request up \(400\)")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (encode_record(BEGIN_REQUEST, 1, b"\0\x01\0\0\0\0\0\0") + encode_record(STDIN, 1), 400),
        (encode_request({"A": "b" * 70_000}), 431),
        (encode_request({"CONTENT_LENGTH": "3"}, b"four"), 400),
        (encode_request({"CONTENT_LENGTH": "5"}, b"four"), 400),
        (encode_request({"REQUEST_METHOD": "POST"}, b"x" * 3_000_001), 413),
    ],
    ids=["http", "early body", "oversize", "more", "fewer", "limit-post"],
)
def test_refusals(client: Client, data: bytes, status: int) -> None:
    """An answer in the protocol, and the end of the connection."""
    client.send(data)
    head, body = client.answer()
    assert head[0].startswith(f"Status: {status} ")
    assert body.startswith(b"%d " % status)
    assert client.is_closed()


def test_refusal_has_the_number_of_its_request(client: Client) -> None:
    client.send(encode_request({"CONTENT_LENGTH": "x"}, number=300))
    assert client.answer(300)[0][0] == "Status: 400 Bad Request"


def test_truncated_answer_has_no_end(client: Client) -> None:
    client.send(encode_request(variables("/error/replaced-late"), keep=True))
    data = client.read_to_end()
    assert b"sent" in data
    assert encode_record(STDOUT, 1) not in data


def test_noise_and_leavers_hurt_nobody(server: ServerProcess) -> None:
    source = random.Random(7)
    whole = encode_request(with_length("/echo", "POST", b"x" * 300), b"x" * 300, keep=True)
    for _ in range(80):
        data = bytearray(whole[: source.randrange(1, len(whole))])
        for _ in range(source.randrange(3)):
            data[source.randrange(len(data))] = source.randrange(256)
        with Client(server.addresses[0]) as client:
            client.send(bytes(data) if source.random() < 0.7 else source.randbytes(200))
            if source.random() < 0.5:
                client.reset()
    with Client(server.addresses[0]) as client:
        assert client.ask("/x")[1] == b"path=/x\n"


def test_body_read_from_the_client(tmp_path: Path) -> None:
    """post-buffering = 0: the application reads while the body comes, and what it leaves ends the connection."""
    path = tmp_path / "fastcgi.sock"
    options = ("--fastcgi-socket", str(path), "--post-buffering", "0", *MODULE)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(tmp_path)}), Client(str(path)) as client:
        assert path.stat().st_mode & 0o777 == 0o660
        data = random.Random(2).randbytes(500_000)
        for _ in range(3):
            assert client.ask("/echo", "POST", data)[1] == data
        client.send(encode_request(variables("/echo", "POST"), b"no length", keep=True))
        assert client.answer()[1] == b"no length"
        assert client.ask("/ignore", "POST", data)[1] == b"ignored"
        assert client.is_closed()


def test_idle_connections_are_closed_and_a_stop_does_not_wait(tmp_path: Path) -> None:
    path = f"{tmp_path}/fastcgi.sock"
    options = ("--fastcgi-socket", path, "--http-keepalive-timeout", "1", *MODULE)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(tmp_path)}) as server:
        with Client(path) as client:
            client.ask("/x")
            assert client.is_closed(within=10)
        with Client(path) as client:
            client.ask("/x")
            assert server.stop(timeout=10) == 0


@pytest.mark.parametrize("protocol", ["http", "fastcgi", "scgi", "uwsgi"])
def test_protocol_of_socket(tmp_path: Path, protocol: str) -> None:
    """`protocol` is about `socket`, not about `uwsgi-socket`."""
    options = ("--socket", "127.0.0.1:0", "--uwsgi-socket", f"{tmp_path}/uwsgi.sock", "--protocol", protocol, *MODULE)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(tmp_path)}) as server:
        for address in (server.addresses[0], f"{tmp_path}/uwsgi.sock"):
            with Wire(address) as wire:
                wire.send(b"GET /x HTTP/1.0\r\n\r\n")
                spoken = protocol if isinstance(address, tuple) else "uwsgi"
                first = wire.read_to_end()
            marks = {
                "http": b"path=/x",
                "fastcgi": b"a FastCGI socket",
                "scgi": b"an SCGI socket",
                "uwsgi": b"a uwsgi socket",
            }
            assert marks[spoken] in first


@pytest.mark.parametrize("engine", [(), ("--threads", "2")], ids=["prefork-unix", "threads-tcp"])
def test_late_request_is_answered_in_its_protocol(tmp_path: Path, engine: tuple[str, ...]) -> None:
    """By the interrupted core, its worker's watchdog, or the master in place of a worker that is stuck."""
    sockets = ("--fastcgi-socket", f"{tmp_path}/f.sock", "--fastcgi-socket", "127.0.0.1:0")
    limits = ("--master", "--harakiri", "1", "--harakiri-graceful-timeout", "1")
    with ServerProcess(*sockets, *limits, "--module", "hanging_scgi", *engine, directory=hanging(tmp_path)) as server:
        address = server.addresses[0] if engine else f"{tmp_path}/f.sock"
        for way in ("/sleep", "/deaf", "/gil"):
            with Client(address) as client:
                assert client.ask(way)[0][0] == "Status: 504 Gateway Timeout", way

        def serves() -> bool:
            with Client(address) as client:
                return client.ask("/x")[0][0] == "Status: 200 OK"

        wait_until(serves, 20)


def test_streams_reach_the_web_server_at_once(server: ServerProcess) -> None:
    """Blocks are not held back until the response is over."""
    with Client(server.addresses[0]) as client:
        client.send(encode_request(variables("/stream?blocks=3&pause=5"), keep=True))
        first = client.record()
        assert first.kind == STDOUT
        assert first.content.endswith(b"\r\n\r\n00000")
        client.reset()


def test_large_upload_in_records_of_every_size(client: Client) -> None:
    source = random.Random(3)
    data = source.randbytes(300_000)
    parts, at = [encode_request(with_length("/echo", "POST", data), keep=True)[:-8]], 0
    while at < len(data):
        size = source.choice((1, 7, 500, 65_535))
        parts.append(encode_stream(STDIN, 1, data[at : at + size]))
        at += size
    client.send(b"".join(parts) + encode_record(STDIN, 1))
    assert client.answer()[1] == data


CUT = """
import time

def application(environ, start):
    start("200 OK", [])
    path = environ["PATH_INFO"]
    yield b"x" * (3_000_000 if path == "/large" else 10)
    end = time.monotonic() + 60
    while path == "/deaf" and time.monotonic() < end:
        try:
            time.sleep(60)
        except BaseException:
            pass
    if path == "/late":
        time.sleep(60)
    raise ValueError("cut")
"""


def test_a_response_that_is_cut_short_says_so(tmp_path: Path) -> None:
    """Behind all that was sent of it, also when the web server was slow, or the request late, or its core stuck."""
    (tmp_path / "cut.py").write_text(CUT)
    limits = ("--harakiri", "1", "--harakiri-graceful-timeout", "1", "--threads", "2")
    with ServerProcess("--fastcgi-socket", "f.sock", *limits, "--module", "cut", directory=tmp_path) as server:
        for path, size in (("/short", 10), ("/large", 3_000_000), ("/late", 10), ("/deaf", 10)):
            with Client(f"{tmp_path}/f.sock") as client:
                client.send(encode_request(variables(path), keep=True))
                content = b""
                while (record := client.record()).kind == STDOUT:
                    content += record.content
                assert record == (UNKNOWN_TYPE, 0, bytes(8), record.end), path
                assert len(content.partition(b"\r\n\r\n")[2]) == size, path
                assert client.read_to_end() == b"", path
        assert server.exit_code is None
