"""Request lines: uWSGI's default, log-format, and what is left when logging is disabled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conformance.servers import MODULE, Target, serve
from tests.conformance.wire import Wire, request
from tests.support.engines import prefork_and_gevent
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

DEFAULT_LINE = re.compile(
    r"\[pid: (?P<pid>\d+)\|app: (?P<app>-?\d+)\|req: (?P<req>-?\d+)/(?P<total>\d+)\] "
    r"(?P<address>\S+) \((?P<user>.*?)\) \{(?P<vars>\d+) vars in (?P<size>\d+) bytes\} "
    r"\[(?P<date>\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\] (?P<method>\S+) (?P<uri>\S+) "
    r"=> generated (?P<generated>\d+) bytes in (?P<time>\d+) (?P<unit>msecs|micros)(?P<via> via sendfile\(\))? "
    r"\((?P<protocol>\S+) (?P<status>\d{3})\) (?P<headers>\d+) headers in (?P<header_bytes>\d+) bytes "
    r"\((?P<switches>\d+) switches on core (?P<core>\d+)\)"
)


def ask(target: Target, path: str, *headers: str, method: str = "GET") -> bytes:
    """One request; the whole answer as it came."""
    with target.wire() as wire:
        wire.send(request(path, "Connection: close", *headers, method=method))
        return wire.read_to_end()


def default_lines(target: Target, count: int) -> list[re.Match[str]]:
    """The request lines in uWSGI's default form, once there are this many."""

    def found() -> list[re.Match[str]]:
        matches = [match for line in target.process.log_lines if (match := DEFAULT_LINE.fullmatch(line))]
        return matches if len(matches) >= count else []

    return wait_until(found, what=f"{count} request lines")


@prefork_and_gevent
def test_default_line(engine: tuple[str, ...], tmp_path: Path) -> None:
    """Tools that parse uWSGI's line parse this one, and its figures are true."""
    with serve(tmp_path, *engine) as target:
        paths = ["/x?a=1", "/status/404%20Not%20Found?body=none", "/error/before"]
        answers = [ask(target, path) for path in paths]
        lines = default_lines(target, 3)
        assert [line["status"] for line in lines] == ["200", "404", "500"]
        assert [line["uri"] for line in lines] == paths
        first = lines[0]
        head, _, body = answers[0].partition(b"\r\n\r\n")
        assert int(first["generated"]) == len(body)
        assert int(first["header_bytes"]) == len(head) + 4
        assert int(first["headers"]) == len(head.split(b"\r\n")) - 1
        assert int(first["pid"]) in target.process.session_pids()
        assert (first["address"], first["method"], first["protocol"]) == ("127.0.0.1", "GET", "HTTP/1.1")
        assert [line["req"] for line in lines] == ["1", "2", "3"]
        assert [line["total"] for line in lines] == ["1", "2", "3"]
        assert first["unit"] == "msecs"


def test_log_micros(tmp_path: Path) -> None:
    with serve(tmp_path, "--log-micros") as target:
        ask(target, "/slow?t=0.05")
        line = default_lines(target, 1)[0]
        assert line["unit"] == "micros"
        assert int(line["time"]) >= 50_000


def test_log_x_forwarded_for(tmp_path: Path) -> None:
    with serve(tmp_path, "--log-x-forwarded-for") as target:
        ask(target, "/x", "X-Forwarded-For: 203.0.113.9")
        assert default_lines(target, 1)[0]["address"] == "203.0.113.9"


def test_sendfile_is_named(tmp_path: Path) -> None:
    with serve(tmp_path) as target:
        ask(target, "/file/sized")
        line = default_lines(target, 1)[0]
        assert line["via"] == " via sendfile()"
        assert int(line["generated"]) == 307_200


@prefork_and_gevent
def test_request_that_is_cut_is_logged(engine: tuple[str, ...], tmp_path: Path) -> None:
    """A client that leaves in the middle still has its line."""
    with serve(tmp_path, *engine) as target:
        with target.wire() as wire:
            wire.send(request("/closing/slowly?id=logged"))
            wire.receive_until(b"xxx")
            wire.reset()
        assert default_lines(target, 1)[0]["status"] == "200"


@pytest.mark.parametrize(
    ("template", "pattern"),
    [
        ("%(method) %(uri) %(proto) %(status)", r"POST /x\?a=1 HTTP/1\.1 200"),
        ("size=%(size) rsize=%(rsize) hsize=%(hsize) headers=%(headers)", r"size=\d+ rsize=8 hsize=\d+ headers=\d+"),
        ('%(host) "%(uagent)" "%(referer)"', r'test "probe/1" "http://a/"'),
        ("%(addr) [%(ltime)] %(cl)", r"127\.0\.0\.1 \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] 3"),
        ("%(epoch) %(time) %(tmsecs) %(tmicros)", r"\d{10} \d{10} \d{13} \d{16}"),
        ("%(msecs) %(micros) %(secs)", r"\d+ \d+ \d+\.\d+"),
        ("pid=%(pid) wid=%(wid) core=%(core) %(switches) %(vars) %(pktsize)", r"pid=\d+ wid=1 core=0 \d+ \d+ \d+"),
        ("%(ctime)", r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"),
        ("%(var.HTTP_X_TOKEN) %(var.HTTP_X_NOTHING) %(user)", r"t0ken - -"),
        ("%(werr) %(rerr) %(ioerr)", r"\d+ \d+ \d+"),
    ],
)
def test_log_format(tmp_path: Path, template: str, pattern: str) -> None:
    """Each field of uWSGI's log-format has its value; what is unknown or empty is a dash."""
    with serve(tmp_path, "--log-format", f"line: {template}") as target:
        with target.wire() as wire:
            headers = ("User-Agent: probe/1", "Referer: http://a/", "X-Token: t0ken")
            wire.send(request("/x?a=1", *headers, method="POST", body=b"abc"))
            assert wire.read_response().body == b"path=/x\n"
        target.process.wait_for_log(f"^line: {pattern}$")


def test_values_cannot_forge_lines(tmp_path: Path) -> None:
    """Bytes of a request never end a line of the log, nor colour a terminal."""
    with serve(tmp_path, "--log-format", "line: %(uri) %(var.HTTP_X_ODD) end") as target:
        ask(target, "/x%0Aforged", "X-Odd: a\tb\x80\x9bc")
        line = target.process.wait_for_log(r"^line: .* end$")[0]
        assert "\x9b" not in line
        assert "/x%0Aforged" in line


@pytest.mark.parametrize(
    ("option", "logged"),
    [
        ((), []),
        (("--log-4xx",), ["404"]),
        (("--log-5xx",), ["500"]),
        (("--log-4xx", "--log-5xx"), ["404", "500"]),
        (("--log-slow", "100"), ["200"]),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else None,
)
def test_disable_logging(tmp_path: Path, option: tuple[str, ...], logged: list[str]) -> None:
    """Without request logging only what is asked for is written: errors of a class, or slow requests."""
    marker = "written to wsgi.errors last"
    with serve(tmp_path, "--disable-logging", *option) as target:
        for path in ("/x", "/status/404%20Not%20Found?body=none", "/error/before", "/slow?t=0.2", "/log-error/last"):
            ask(target, path)
        target.process.wait_for_log(marker)
        found = [match["status"] for line in target.process.log_lines if (match := DEFAULT_LINE.fullmatch(line))]
        assert found == logged


def test_logto(tmp_path: Path) -> None:
    """Everything goes to the file: server messages, request lines and what the application prints."""
    log, path = tmp_path / "server.log", str(tmp_path / "http.sock")
    options = ("--http-socket", path, *MODULE, "--logto", str(log), "--log-format", "line %(status)")
    environment = {"CONFORMANCE_STATE": str(tmp_path)}
    with ServerProcess(*options, environment=environment, wait=False) as process:
        wait_until(lambda: log.exists() and "spawned uWSGI worker 1" in log.read_text(), what="the log")
        with Wire(path) as wire:
            wire.send(request("/log-error/here"))
            assert wire.read_response().body == b"logged"
        wait_until(lambda: "line 200" in log.read_text(), what="the request line")
        assert "written to wsgi.errors here" in log.read_text()
        assert "line 200" not in process.log
        assert process.stop() == 0


def test_logto_that_cannot_be_opened(tmp_path: Path) -> None:
    """One clear sentence with the path, exit code 1, and no socket left behind."""
    path = tmp_path / "http.sock"
    options = ("--http-socket", str(path), *MODULE, "--logto", str(tmp_path / "missing" / "server.log"))
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(tmp_path)}, wait=False) as process:
        assert process.wait_end() == 1
        assert "missing/server.log" in process.log
        assert "Traceback" not in process.log
        assert not path.exists()


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--ignore-write-errors=false", "write error: the client left during GET /big?size=50000000 (127.0.0.1)"),
        (
            "--ignore-sigpipe=false",
            "SIGPIPE: writing to a closed socket (probably the client disconnected) on",
        ),
    ],
)
def test_clients_that_leave_are_told_only_on_request(tmp_path: Path, option: str, line: str) -> None:
    """A client that leaves is ordinary; uWSGI's users switch its two messages off, here one switches them on."""
    with serve(tmp_path, option) as target:
        with target.wire() as wire:
            wire.send(request("/big?size=50000000"))
            wire.receive_until(b"HTTP/1.1 200")
        wait_until(lambda: any(one.startswith(line) for one in target.process.log_lines), what=line)


def test_unknown_field_of_log_format_is_told_at_the_start(tmp_path: Path) -> None:
    with serve(tmp_path, "--log-format", "%(method) %(mehtod) %(var.X)") as target:
        assert "log-format: unknown field %(mehtod), '-' is written for it" in target.process.log_lines


def test_log_format_cannot_be_forged(tmp_path: Path) -> None:
    """A control character in a value would begin a line of the client's own."""
    with serve(tmp_path, "--log-format", "%(var.PATH_INFO)|") as target:
        ask(target, "/x%0aforged")
        wait_until(lambda: "/x\\x0aforged|" in target.process.log_lines, what="the escaped line")
