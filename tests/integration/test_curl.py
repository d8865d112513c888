"""`uwsgi-deploy curl` against every kind of socket, and against servers that answer badly or not at all."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conformance.servers import MODULE
from tests.support.server import ServerProcess
from uwsgi_deploy.protocol.fastcgi import STDOUT, encode_record, end_request

PROTOCOLS = ("http", "uwsgi", "fastcgi", "scgi")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a Unix socket for each protocol, and a server behind them."""
    path = tmp_path_factory.mktemp("curl")
    sockets = [part for name in PROTOCOLS for part in (f"--{name}-socket", f"{path}/{name}.sock")]
    with ServerProcess(*sockets, "--threads", "2", *MODULE, environment={"CONFORMANCE_STATE": str(path)}):
        yield path


def curl(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "uwsgi_deploy", "curl", *words]
    return subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_get(folder: Path, protocol: str) -> None:
    done = curl("--protocol", protocol, "-H", "X-Token: t", f"{folder}/{protocol}.sock", "/environ/a%20b/café?q=1")
    assert (done.returncode, done.stderr) == (0, b"")
    environ = json.loads(done.stdout)["environ"]
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/environ/a b/caf\xc3\xa9", "q=1")
    assert (environ["REQUEST_METHOD"], environ["HTTP_X_TOKEN"], environ["HTTP_HOST"]) == ("GET", "t", "localhost")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_body_of_a_file_and_of_standard_input(folder: Path, tmp_path: Path, protocol: str) -> None:
    data = bytes(range(256)) * 3000
    (tmp_path / "data").write_bytes(data)
    place = ("--protocol", protocol, f"{folder}/{protocol}.sock", "/echo")
    assert curl("-d", f"@{tmp_path}/data", *place).stdout == data
    assert curl("-X", "PUT", "-d", "@-", *place, given=b"typed").stdout == b"typed"
    assert curl("-d", "@/does/not/exist", *place).returncode == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_form_is_posted(folder: Path, protocol: str) -> None:
    done = curl("--protocol", protocol, "-d", "a=b", f"{folder}/{protocol}.sock", "environ")
    environ = json.loads(done.stdout)["environ"]
    assert (environ["REQUEST_METHOD"], environ["CONTENT_LENGTH"]) == ("POST", "3")
    assert environ["CONTENT_TYPE"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_streams_and_heads(folder: Path, protocol: str) -> None:
    place = ("--protocol", protocol, f"{folder}/{protocol}.sock")
    assert curl(*place, "/stream?blocks=100&size=50").stdout == b"".join(b"%d" % (n % 10) * 50 for n in range(100))
    shown = curl("-i", *place, "/x").stdout
    assert shown.startswith(b"Status: 200 OK\r\n" if protocol in ("fastcgi", "scgi") else b"HTTP/1.1 200 OK\r\n")
    assert shown.endswith(b"\r\n\r\npath=/x\n")
    head = curl("-i", "-X", "HEAD", *place, "/x").stdout
    assert b"Content-Length: 8\r\n" in head
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_fail(folder: Path, protocol: str) -> None:
    place = ("--protocol", protocol, f"{folder}/{protocol}.sock")
    assert curl(*place, "/error/before").returncode == 0
    assert curl("--fail", *place, "/x").returncode == 0
    done = curl("-f", *place, "/error/before")
    assert (done.returncode, b"the status is 500" in done.stderr) == (22, True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("spoken", PROTOCOLS)
def test_wrong_protocol_is_said(folder: Path, protocol: str, spoken: str) -> None:
    """Either side finds out at once: the server answers 400, or what it answers is none."""
    if protocol != spoken:
        done = curl("-f", "--timeout", "20", "--protocol", spoken, f"{folder}/{protocol}.sock", "/x")
        assert done.returncode in (8, 22)
        assert done.stderr


def test_nobody_there(tmp_path: Path) -> None:
    done = curl(f"{tmp_path}/none.sock")
    assert done.returncode == 7
    assert b"No such file or directory" in done.stderr


@pytest.mark.parametrize(
    "words", [("http://localhost/",), ("fd://3",), ("-H", "no colon", ":1"), ("--protocol", "ftp", ":1")]
)
def test_what_is_typed_wrongly(words: tuple[str, ...]) -> None:
    done = curl(*words)
    assert done.returncode in (1, 2)
    assert len(done.stderr.splitlines()) <= 5
    assert b"Traceback" not in done.stderr


@contextmanager
def answering(data: bytes, *, stay: bool = False) -> Iterator[str]:
    """The address of a server that answers one client with this."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(65536)
                client.sendall(data)
                if stay:
                    over.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        over.set()
        thread.join(10)


@pytest.mark.parametrize(
    ("protocol", "data", "code"),
    [
        ("http", b"", 52),
        ("http", b"SSH-2.0-OpenSSH\r\n", 8),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Le", 8),
        ("http", b"HTTP/1.1 OK\r\n\r\n", 8),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", 18),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 8),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", 18),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 8),
        ("http", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 0),
        ("fastcgi", b"", 52),
        ("fastcgi", encode_record(STDOUT, 1, b"Status: 200 OK\r\n\r\nabc"), 18),
        ("fastcgi", end_request(1, 2), 8),
        ("fastcgi", end_request(1, 0), 52),
        ("fastcgi", b"\x01\x03\x00\x01\x00\x00\x00\x00", 8),
        ("scgi", b"Status: 200 OK\r\n\r\n", 0),
    ],
)
def test_bad_answers(protocol: str, data: bytes, code: int) -> None:
    with answering(data) as address:
        done = curl("--protocol", protocol, address)
    assert (done.returncode, b"Traceback" in done.stderr) == (code, False)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_time_is_over(data: bytes) -> None:
    with answering(data, stay=True) as address:
        assert curl("--timeout", "0.5", address).returncode == 28
