"""Files before the application, on real sockets: what is sent, what is not, and who waits for whom."""

from __future__ import annotations

import gzip
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_curl import curl
from tests.support.client import RawClient, Response
from tests.support.engines import GREEN, PREFORK, THREADS
from tests.support.readable import readable_launcher
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

CHANGED = 784111777
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BIG = bytes(range(256)) * 2048
HELLO = b"hello\n"
HUGE = 20 << 30

OPTIONS = (
    *("--module", "hello", "--static-map", "/static=www", "--static-map", "/robots.txt=www/robots.txt"),
    *("--static-index", "index.html", "--static-skip-ext", ".py", "--static-gzip-ext", ".css"),
    *("--static-expires-type", "text/html=1h", "--static-expires-uri", r"\.js\?v= 60"),
    *("--static-expires-mtime", r"robots\.txt$ 1d", "--static-immutable", r"\.[0-9a-f]{12}\.[^/]+$"),
)


def make_site(directory: Path) -> None:
    """www/ with what the tests ask for, and a secret beside it."""
    www = directory / "www"
    (www / "docs").mkdir(parents=True)
    files = {
        "a.css": b"body { color: red }\n",
        "big.bin": BIG,
        "robots.txt": b"User-agent: *\n",
        "docs/index.html": b"<h1>docs</h1>",
        "app.js": b"js",
        "app.0123456789ab.js": b"hashed",
        "app.py": b"secret",
        "empty": b"",
        "ünï code.txt": b"unicode",
    }
    for name, content in files.items():
        (www / name).write_bytes(content)
    (www / "a.css.gz").write_bytes(gzip.compress(files["a.css"], mtime=0))
    (www / "a.css.br").write_bytes(b"not really brotli")
    (directory / "secret.txt").write_bytes(b"secret")
    (www / "out").symlink_to(directory / "secret.txt")
    os.mkfifo(www / "pipe")
    os.truncate(os.open(www / "huge", os.O_CREAT | os.O_WRONLY), HUGE)
    for path in www.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (CHANGED, CHANGED))


@pytest.fixture(scope="module", params=[PREFORK, THREADS, GREEN], ids=["prefork", "threads", "gevent"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("site")
    make_site(directory)
    options = (*OPTIONS, "--http-socket", "127.0.0.1:0", *request.param)
    with ServerProcess(*options, directory=directory) as running:
        yield running


def ask(server: ServerProcess, path: str, method: str = "GET", **headers: str) -> Response:
    with server.connect() as client:
        lines = [f"{method} {path} HTTP/1.1", "Host: test"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        client.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return client.receive(method)


def test_a_file(server: ServerProcess) -> None:
    answer = ask(server, "/static/a.css")
    assert (answer.status, answer.body) == (200, b"body { color: red }\n")
    assert answer.header("content-type") == "text/css"
    assert answer.header("last-modified") == DATE
    assert answer.header("content-length") == "20"
    assert answer.header("accept-ranges") == "bytes"
    assert re.fullmatch(r'"[0-9a-f-]+"', answer.header("etag") or "")


@pytest.mark.parametrize("path", ["/static/big.bin", "/static/%62ig.bin", "/static//big.bin"])
def test_a_large_file(server: ServerProcess, path: str) -> None:
    answer = ask(server, path)
    assert answer.body == BIG
    assert answer.header("content-type") == "application/octet-stream"


def test_names_in_other_alphabets(server: ServerProcess) -> None:
    assert ask(server, "/static/%C3%BCn%C3%AF%20code.txt").body == b"unicode"


def test_an_empty_file(server: ServerProcess) -> None:
    answer = ask(server, "/static/empty")
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "0")


def test_head(server: ServerProcess) -> None:
    """The same fields, no body; the connection goes on."""
    with server.connect() as client:
        for _ in range(2):
            client.send(b"HEAD /static/big.bin HTTP/1.1\r\nHost: test\r\nRange: bytes=0-0\r\n\r\n")
            answer = client.receive("HEAD")
            assert (answer.status, answer.header("content-length")) == (200, str(len(BIG)))


def test_a_connection_serves_files_and_application(server: ServerProcess) -> None:
    with server.connect() as client:
        for path, body in [("/static/big.bin", BIG), ("/", HELLO), ("/static/a.css", b"body { color: red }\n")] * 3:
            assert client.get(path).body == body


@pytest.mark.parametrize(
    "path",
    [
        "/static/nothing",
        "/static",
        "/static/",
        "/staticfile",
        "/static/app.py",
        "/static/out",
        "/static/pipe",
        "/static/../secret.txt",
        "/static/..%2fsecret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/%2e%2e%2fsecret.txt",
        "/static/docs/../../secret.txt",
        "/static/docs/%2e%2e/%2e%2e/secret.txt",
        "/static/.%2e/secret.txt",
        "/static/%252e%252e/secret.txt",
        "/static/..%5csecret.txt",
        "/static/%c0%ae%c0%ae/secret.txt",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/....//secret.txt",
        "/static/out/",
        "/robots.txt/",
        "/robots.txt/../secret.txt",
        "/static/" + "x" * 3000,
    ],
)
def test_what_is_no_served_file_is_the_applications(server: ServerProcess, path: str) -> None:
    """Nothing outside of the mapped directory is sent, however it is asked for."""
    answer = ask(server, path)
    assert b"secret" not in answer.body
    assert b"root:" not in answer.body
    assert answer.body == HELLO or answer.status == 400


def test_nul(server: ServerProcess) -> None:
    answer = ask(server, "/static/a.css%00.txt")
    assert answer.body == HELLO or answer.status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_the_applications(server: ServerProcess, method: str) -> None:
    """As in uWSGI: files are for GET and HEAD."""
    assert ask(server, "/static/a.css", method).body == HELLO


def test_a_mapped_file(server: ServerProcess) -> None:
    """With an expiry that counts from its change."""
    answer = ask(server, "/robots.txt")
    assert answer.body == b"User-agent: *\n"
    assert answer.header("expires") == "Mon, 07 Nov 1994 08:49:37 GMT"
    assert answer.header("cache-control") == "max-age=0"


def test_directory_index(server: ServerProcess) -> None:
    """Asked for with a slash it is sent; without one the client is told to ask with it."""
    answer = ask(server, "/static/docs/")
    assert answer.body == b"<h1>docs</h1>"
    assert answer.header("cache-control") in ("max-age=3600", "max-age=3599")
    answer = ask(server, "/static/docs?a=b%20c")
    assert (answer.status, answer.header("location")) == (301, "./docs/?a=b%20c")


def test_a_redirect_never_leads_to_another_host(server: ServerProcess) -> None:
    """A path that begins with two slashes would be one (RFC 3986 §4.2)."""
    for path in ("/static//docs", "/static/./docs"):
        location = ask(server, path).header("location")
        assert location is None or location.startswith("./")


def test_expiry_by_uri(server: ServerProcess) -> None:
    assert ask(server, "/static/app.js?v=3").header("cache-control") in ("max-age=60", "max-age=59")
    assert ask(server, "/static/app.js").header("cache-control") is None


def test_hashed_names_are_kept(server: ServerProcess) -> None:
    answer = ask(server, "/static/app.0123456789ab.js")
    assert answer.header("cache-control") == "public, max-age=31536000, immutable"


def test_packed_variants(server: ServerProcess) -> None:
    """The best one that the client takes; caches are told that there are several."""
    plain = ask(server, "/static/a.css")
    packed = ask(server, "/static/a.css", Accept_Encoding="gzip, deflate")
    assert gzip.decompress(packed.body) == plain.body
    assert (packed.header("content-encoding"), packed.header("content-type")) == ("gzip", "text/css")
    assert plain.header("vary") == packed.header("vary") == "Accept-Encoding"
    assert plain.header("etag") != packed.header("etag")
    assert ask(server, "/static/a.css", Accept_Encoding="gzip, br").header("content-encoding") == "br"
    assert ask(server, "/static/a.css", Accept_Encoding="gzip;q=0, zstd").body == plain.body
    assert ask(server, "/static/app.js", Accept_Encoding="gzip").header("vary") is None


def test_a_client_that_has_it_is_told_so(server: ServerProcess) -> None:
    with server.connect() as client:
        etag = client.get("/static/big.bin").header("etag") or ""
        for condition in ({"If_None_Match": etag}, {"If_None_Match": f'"x", W/{etag}'}, {"If_Modified_Since": DATE}):
            answer = client.get("/static/big.bin", **condition)
            assert (answer.status, answer.body, answer.header("etag")) == (304, b"", etag)
            assert answer.header("content-type") is None
        assert client.get("/static/big.bin", If_None_Match='"x"', If_Modified_Since=DATE).status == 200
        assert client.get("/static/big.bin", If_Match='"x"').status == 412
        assert client.get("/static/big.bin", If_Match=etag).status == 200
        assert client.get("/static/big.bin", If_Unmodified_Since="Sun, 06 Nov 1994 08:49:36 GMT").status == 412


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-0", 0, 0), ("1000-1999", 1000, 1999), ("-7", len(BIG) - 7, len(BIG) - 1), ("5-", 5, len(BIG) - 1)],
)
def test_a_range(server: ServerProcess, asked: str, first: int, last: int) -> None:
    answer = ask(server, "/static/big.bin", Range=f"bytes={asked}")
    assert answer.status == 206
    assert answer.header("content-range") == f"bytes {first}-{last}/{len(BIG)}"
    assert answer.body == BIG[first : last + 1]


def test_several_ranges(server: ServerProcess) -> None:
    answer = ask(server, "/static/big.bin", Range="bytes=0-1,-2,300-302")
    kind, _, boundary = (answer.header("content-type") or "").partition("; boundary=")
    assert (answer.status, kind) == (206, "multipart/byteranges")
    _, *parts, end = answer.body.split(b"\r\n--" + boundary.encode())
    assert end == b"--\r\n"
    seen = []
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        assert b"\r\nContent-Type: application/octet-stream" in head
        match = re.search(rb"\r\nContent-Range: bytes (\d+)-(\d+)/(\d+)\Z", head)
        assert match is not None
        first, last, size = map(int, match.groups())
        assert (size, content) == (len(BIG), BIG[first : last + 1])
        seen.append((first, last))
    assert seen == [(0, 1), (len(BIG) - 2, len(BIG) - 1), (300, 302)]


def test_ranges_that_are_not_served_as_such(server: ServerProcess) -> None:
    size = len(BIG)
    beyond = ask(server, "/static/big.bin", Range=f"bytes={size}-")
    assert (beyond.status, beyond.header("content-range")) == (416, f"bytes */{size}")
    for field in ("bytes=9-1", "lines=1-2", "bytes=" + "0-," * 9 + "0-", "bytes=" + ",".join(["0-0"] * 100)):
        answer = ask(server, "/static/big.bin", Range=field)
        assert (answer.status, len(answer.body)) == (200, size)
    assert ask(server, "/static/big.bin", Range="bytes=0-0", If_Range='"old"').status == 200
    etag = ask(server, "/static/big.bin").header("etag") or ""
    assert ask(server, "/static/big.bin", Range="bytes=0-0", If_Range=etag).status == 206


def test_several_large_ranges_are_answered_with_the_whole(server: ServerProcess) -> None:
    """They are put together in memory: 20 GB are not."""
    with server.connect() as client:
        client.send(b"GET /static/huge HTTP/1.1\r\nHost: test\r\nRange: bytes=0-9999999,10000001-30000000\r\n\r\n")
        head = client.read_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: %d\r\n" % HUGE in head


def test_a_range_beyond_4_gigabytes(server: ServerProcess) -> None:
    answer = ask(server, "/static/huge", Range=f"bytes={5 << 30}-{(5 << 30) + 99999}")
    assert (answer.status, answer.body) == (206, bytes(100000))


def stalled(server: ServerProcess, path: str) -> RawClient:
    """A client that asks for a file and reads no more than the head."""
    client = RawClient(server.addresses[0])
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    client.read_until(b"\r\n\r\n")
    return client


def test_slow_downloads_hold_nobody(server: ServerProcess) -> None:
    """30 clients that each have 20 GB to come and read nothing: files and application go on for others."""
    slow = [stalled(server, "/static/huge") for _ in range(30)]
    try:
        for _ in range(5):
            assert ask(server, "/").body == HELLO
            assert ask(server, "/static/big.bin").body == BIG
    finally:
        for client in slow:
            client.close()


def test_a_download_goes_on_behind_a_pause(server: ServerProcess) -> None:
    """The reactor sends the rest, to the last byte, while others are served."""
    count = 64 << 20
    with RawClient(server.addresses[0], timeout=30) as client:
        client.send(f"GET /static/huge HTTP/1.1\r\nHost: test\r\nRange: bytes=0-{count - 1}\r\n\r\n".encode())
        client.read_until(b"\r\n\r\n")
        assert ask(server, "/").body == HELLO
        left = count - len(client.buffer)
        client.buffer = b""
        while left:
            data = client.socket.recv(min(left, 1 << 20))
            assert data
            left -= len(data)
        assert client.get("/").body == HELLO


def test_files_are_closed(server: ServerProcess) -> None:
    """Whatever became of their requests."""
    pid = server.worker_pids[1]

    def open_files() -> int:
        links = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
        return sum("/www/" in os.readlink(link) for link in links if os.path.lexists(link))

    for path in ("/static/a.css", "/static/big.bin", "/static/docs", "/static/out"):
        ask(server, path)
        ask(server, path, "HEAD")
        ask(server, path, Range="bytes=0-1,5-6")
        ask(server, path, If_Modified_Since=DATE)
    stalled(server, "/static/huge").close()
    wait_until(lambda: open_files() == 0, 30, what="all files to be closed")


def test_requests_for_files_are_logged_and_counted(server: ServerProcess) -> None:
    ask(server, "/static/a.css?logged")
    server.wait_for_log(r"GET /static/a\.css\?logged => generated 20 bytes in \d+ msecs \(HTTP/1\.1 200\)")
    ask(server, "/static/big.bin?sent")
    server.wait_for_log(r"GET /static/big\.bin\?sent => generated 524288 bytes in \d+ msecs via sendfile\(\)")


def test_a_link_that_leads_out_is_told_of(server: ServerProcess) -> None:
    ask(server, "/static/out")
    server.wait_for_log(r"static file '.*/www/out' is not served: it lies at '.*/secret\.txt'")


def test_a_file_that_becomes_shorter_ends_its_connection(tmp_path: Path) -> None:
    """The client has been told a length: it must see that the rest does not come."""
    make_site(tmp_path)
    with ServerProcess(*OPTIONS, "--http-socket", "127.0.0.1:0", directory=tmp_path) as server:
        client = stalled(server, "/static/huge")
        os.truncate(tmp_path / "www/huge", 1000)
        client.socket.settimeout(30)
        try:
            client.read_to_end()
        except ConnectionResetError:
            pass
        client.close()
        assert server.get("/").body == HELLO


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not")
def test_nobody_may_read_it() -> None:
    """403, and a line that says why."""
    options = ("--http-socket", "127.0.0.1:0", "--uid", "nobody")
    server = ServerProcess(*OPTIONS, *options, launcher=readable_launcher())
    make_site(server.directory)
    (server.directory / "www/a.css").chmod(0)
    with server:
        assert ask(server, "/static/a.css").status == 403
        assert ask(server, "/robots.txt").status == 200
        server.wait_for_log(r"static file '.*/a\.css' is not served: Permission denied")


def test_check_static_and_cached_paths(tmp_path: Path) -> None:
    """Every path may be a file; what was found is remembered, what is gone is noticed."""
    make_site(tmp_path)
    options = (
        "--module",
        "hello",
        "--http-socket",
        "127.0.0.1:0",
        "--check-static",
        "www",
        "--static-cache-paths",
        "1h",
    )
    with ServerProcess(*options, directory=tmp_path) as server:
        assert server.get("/app.js").body == b"js"
        assert server.get("/app.js").body == b"js"
        assert server.get("/").body == HELLO
        (tmp_path / "www/app.js").unlink()
        assert server.get("/app.js").body == HELLO


def test_over_the_uwsgi_protocol(tmp_path: Path) -> None:
    """Behind nginx the end of the connection ends the body."""
    make_site(tmp_path)
    with ServerProcess(*OPTIONS, "--socket", "127.0.0.1:0", directory=tmp_path) as server:
        variables = {
            "REQUEST_METHOD": "GET",
            "REQUEST_URI": "/static/big.bin",
            "PATH_INFO": "/static/big.bin",
            "QUERY_STRING": "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "test",
            "SERVER_PORT": "80",
            "HTTP_HOST": "test",
            "SCRIPT_NAME": "",
        }
        block = b"".join(
            len(part).to_bytes(2, "little") + part for pair in variables.items() for part in (t.encode() for t in pair)
        )
        with server.connect() as client:
            client.send(b"\0" + len(block).to_bytes(2, "little") + b"\0" + block)
            head, _, body = client.read_to_end().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert body == BIG


@pytest.mark.parametrize("protocol", ["fastcgi", "scgi"])
def test_over_other_protocols(tmp_path: Path, protocol: str) -> None:
    """A file that the kernel sends is framed as the protocol has it; a range and an application's answer, too."""
    make_site(tmp_path)
    path = str(tmp_path / "s.sock")
    with ServerProcess(*OPTIONS, f"--{protocol}-socket", path, directory=tmp_path):
        assert curl("--protocol", protocol, path, "/static/big.bin").stdout == BIG
        part = curl("--protocol", protocol, "-H", "Range: bytes=5-99999", path, "/static/big.bin")
        assert part.stdout == BIG[5:100000]
        assert curl("--protocol", protocol, path, "/static/nothing").stdout == HELLO


def test_without_these_options_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    """A server without static files pays nothing for them."""
    (tmp_path / "loaded.py").write_text(
        "import sys\n"
        "def application(environ, start_response):\n"
        "    body = ' '.join(m for m in sys.modules if m.startswith('uwsgi_deploy.')).encode()\n"
        "    start_response('200 OK', [])\n"
        "    return [body]\n"
    )
    options = ("--module", "loaded", "--http-socket", "127.0.0.1:0")
    with ServerProcess(*options, directory=tmp_path) as server:
        loaded = server.get("/").body.decode().split()
        assert not {"uwsgi_deploy.wsgi.static", "uwsgi_deploy.protocol.selection"} & set(loaded)
    with ServerProcess(*options, "--static-map", "/static=.", directory=tmp_path) as server:
        assert "uwsgi_deploy.wsgi.static" in server.get("/").body.decode().split()


def test_a_directory_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    options = ("--module", "hello", "--http-socket", "127.0.0.1:0", "--static-map", "/static=collected")
    with ServerProcess(*options, directory=tmp_path) as server:
        assert "static files: collected does not exist (yet)" in server.log
        (tmp_path / "collected").mkdir()
        (tmp_path / "collected/late.txt").write_text("late")
        assert server.get("/static/late.txt").body == b"late"
