"""Reports arrive, from a real server, at everything that an application may have set up to hear of them: once each,
with what matters and without secrets, from the worker or from its successor. What misbehaves hurts nobody."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import each_engine
from tests.support.reports import Report, reports_in, wait_for_report
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

LIMIT, GRACE = 1.0, 1.0
# This machine may be busy with other things; the promise is a second.
TOLERANCE = 4.0
SECRET = "s3cr3t-value"
FILES = ("sentry", "otel", "logger", "callback", "exec")
TRACE = "0af7651916cd43dd8448eb211c80319c"

SCRIPT = """\
#!/bin/sh
{ cat; echo; } > exec-$$.part && mv exec-$$.part exec-$$.jsonl
"""


class Receiver:
    """The address of a webhook. status: what it answers."""

    def __init__(self, status: int = 204) -> None:
        self.reports: list[Report] = []
        reports = self.reports

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                reports.append(json.loads(self.rfile.read(length)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook?token={SECRET}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def serve(receiver: Receiver, directory: Path, *options: str, bad: str = "", script: str = SCRIPT) -> ServerProcess:
    program = directory / "hook.sh"
    program.write_text(script)
    program.chmod(0o755)
    common = ("--http-socket", "127.0.0.1:0", "--module", "late_sinks", "--harakiri", str(LIMIT))
    reports = ("--harakiri-graceful-timeout", str(GRACE), "--harakiri-dir", "reports")
    hooks = ("--harakiri-hook", f"exec:{program}", "--harakiri-hook", receiver.url)
    return ServerProcess(*common, *reports, *hooks, *options, directory=directory, environment={"BAD": bad}, timeout=60)


def hang(server: ServerProcess, path: str) -> float:
    """Ask, get 504, tell how long that took."""
    began = time.monotonic()
    response = server.get(
        f"{path}?token={SECRET}",
        Cookie=f"sessionid={SECRET}",
        Authorization=f"Bearer {SECRET}",
        X_Request_ID="request-1",
        traceparent=f"00-{TRACE}-b7ad6b7169203331-01",
    )
    assert response.status == 504, server.log
    return time.monotonic() - began


def lines(directory: Path, name: str) -> list[Any]:
    """What a sink has written; the last line may not be whole yet."""
    texts = [path.read_text() for path in sorted(directory.glob(f"{name}*.jsonl"))]
    return [json.loads(line) for text in texts for line in text.rpartition("\n")[0].splitlines() if line]


def everything(directory: Path, receiver: Receiver) -> dict[str, list[Any]]:
    """What each sink has got."""
    return {**{name: lines(directory, name) for name in FILES}, "http": list(receiver.reports)}


def wait_for_all(directory: Path, receiver: Receiver, *, without: str = "") -> dict[str, list[Any]]:
    def all_there() -> dict[str, list[Any]] | None:
        got = everything(directory, receiver)
        return got if all(found for name, found in got.items() if name != without) else None

    found = wait_until(all_there, 20, what="every sink's report")
    assert found is not None
    return found


def check_events(got: dict[str, list[Any]], report: Report, *, kind: str, path: str) -> None:
    """Exactly one each, about this report, with its fields in the sink's own words."""
    assert {name: len(found) for name, found in got.items()} == dict.fromkeys(got, 1)
    assert SECRET not in json.dumps([got, report])
    for name in ("callback", "exec", "http"):
        assert got[name][0]["id"] == report["id"]
        assert got[name][0]["schema"] == "uwsgi.harakiri/1"
        assert got[name][0]["request"]["path"] == path
    record = got["logger"][0]
    assert (record["id"], record["level"]) == (report["id"], "ERROR")
    assert path in record["message"]
    # A busy machine may not show the stacks of a worker that is killed in time.
    assert report["culprit"] or "faulthandler" not in report["capture"]
    culprit = (report["culprit"] or {"function": ""})["function"]
    assert culprit in record["text"]
    event = got["sentry"][0]
    assert event["level"] == {"deadline": "error", "hard": "fatal"}[kind]
    assert event["fingerprint"][:2] == ["harakiri", path]
    assert event["tags"]["harakiri.kind"] == kind
    exception = event["exception"]["values"][-1]
    assert exception["type"] == "HarakiriTimeout"
    assert culprit in [frame["function"] for frame in exception["stacktrace"]["frames"]] or not culprit
    span = got["otel"][0]
    assert span["status"]["status_code"] == "ERROR"
    assert span["attributes"]["uwsgi.harakiri.id"] == report["id"]
    assert span["attributes"]["error.type"] == "timeout"
    assert span["attributes"]["url.path"] == path
    assert span["events"][0]["name"] == "exception"
    assert culprit in span["events"][0]["attributes"]["exception.stacktrace"]
    if kind == "deadline":  # seen from outside a request has no headers
        assert event["tags"]["request_id"] == "request-1"
        assert TRACE in json.dumps(span), "it belongs to the trace of the request"


@each_engine
def test_a_deadline(tmp_path: Path, receiver: Receiver, engine: tuple[str, ...]) -> None:
    """The worker lives and tells everybody."""
    with serve(receiver, tmp_path, *engine) as server:
        assert hang(server, "/sleep") < LIMIT + TOLERANCE
        got = wait_for_all(tmp_path, receiver)
        report = wait_for_report(tmp_path / "reports", "/sleep")
        assert report["kind"] == "deadline"
        assert report["culprit"]["function"] == "sleep_in_turns"
        assert "delivered_late" not in report or not report["delivered_late"]
        assert server.stop() == 0
    check_events(everything(tmp_path, receiver), report, kind="deadline", path="/sleep")
    assert got["callback"][0]["kind"] == "deadline"


@each_engine
def test_a_worker_that_was_killed(tmp_path: Path, receiver: Receiver, engine: tuple[str, ...]) -> None:
    """It held its interpreter and could tell nobody: its successor does, once."""
    with serve(receiver, tmp_path, *engine) as server:
        assert hang(server, "/hold") < LIMIT + GRACE + TOLERANCE
        server.wait_for_log(r"^Respawned uWSGI worker 1 ", timeout=20)
        wait_for_all(tmp_path, receiver)
        report = wait_for_report(tmp_path / "reports", "/hold")
        assert report["kind"] == "hard"
        assert report["delivered_late"] is True
        assert server.get("/").status == 200
        assert server.stop() == 0
    check_events(everything(tmp_path, receiver), report, kind="hard", path="/hold")
    assert len(reports_in(tmp_path / "reports")) == 1


@each_engine
def test_a_worker_that_ends(tmp_path: Path, receiver: Receiver, engine: tuple[str, ...]) -> None:
    """Its last request runs out of time while the server stops: nobody else could tell of it."""
    with serve(receiver, tmp_path, *engine) as server:
        client = threading.Thread(target=hang, args=(server, "/sleep"))
        client.start()
        wait_until(lambda: list(tmp_path.glob("started")), 20, what="the request")
        assert server.stop() == 0
        client.join()
    assert [len(found) for found in everything(tmp_path, receiver).values()] == [1] * 6
    (report,) = reports_in(tmp_path / "reports")
    assert (report["outcome"], report["delivered"]) == ("answered_504", True)


def test_a_report_that_was_left_later(tmp_path: Path, receiver: Receiver) -> None:
    """A worker may be killed in the middle of telling, when its successor is there already."""
    reports = tmp_path / "reports"
    with serve(receiver, tmp_path) as server:
        hang(server, "/sleep")
        wait_for_all(tmp_path, receiver)
        told = wait_for_report(reports, "/sleep")
        left = {**told, "id": "0" + told["id"][1:-4] + "beef", "delivered": False}
        (reports / f"{left['id']}.json").write_text(json.dumps(left))
        ended = server.worker_pids[1] + 1_000_000_000  # of nobody
        (reports / f"{left['id']}.pending-0-{ended}-{server.pid}").touch()
        wait_until(lambda: len(lines(tmp_path, "callback")) == 2, 30, what="its delivery")
        assert lines(tmp_path, "callback")[1]["delivered_late"] is True
        assert server.stop() == 0


def test_workers_that_were_killed_at_the_same_time(tmp_path: Path, receiver: Receiver) -> None:
    """Their successors share what is left to be told; nothing is told twice."""
    with serve(receiver, tmp_path, "--processes", "3") as server:
        clients = [threading.Thread(target=hang, args=(server, "/hold")) for _ in range(2)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        server.wait_for_log(r"^Respawned uWSGI worker ", count=2, timeout=20)
        wait_until(lambda: all(len(got) >= 2 for got in everything(tmp_path, receiver).values()), 30, what="reports")
        reports = tmp_path / "reports"
        wait_until(lambda: all(report["delivered"] for report in reports_in(reports)), 20, what="an end of it")
        assert server.stop() == 0
    ids = sorted(report["id"] for report in reports_in(reports))
    assert len(ids) == 2
    for name in ("callback", "exec", "http", "logger"):
        assert sorted(got["id"] for got in everything(tmp_path, receiver)[name]) == ids
    assert [len(got) for got in everything(tmp_path, receiver).values()] == [2] * 6


def test_a_response_that_was_cut(tmp_path: Path, receiver: Receiver) -> None:
    """Sentry's own middleware sees the exception, too, and does not tell it again."""
    with serve(receiver, tmp_path) as server:
        with server.connect() as client:
            client.send(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.read_to_end().endswith(b"first\r\n")
        wait_for_all(tmp_path, receiver)
        assert wait_for_report(tmp_path / "reports", "/stream")["outcome"] == "cut"
        assert server.stop() == 0
    assert [len(found) for found in everything(tmp_path, receiver).values()] == [1] * 6


def test_the_soft_stage(tmp_path: Path, receiver: Receiver) -> None:
    """A warning, and the request goes on; the report says later how it ended."""
    with serve(receiver, tmp_path, "--harakiri", "60", "--soft-harakiri", "0.3") as server:
        assert server.get("/a-second").status == 200
        got = wait_for_all(tmp_path, receiver)
        reports = tmp_path / "reports"
        wait_until(lambda: wait_for_report(reports, "/a-second")["outcome"] == "completed", 20, what="the end")
        report = wait_for_report(reports, "/a-second")
        assert (report["kind"], report["ended"]["status"]) == ("soft", 200)
        assert (got["logger"][0]["level"], got["sentry"][0]["level"]) == ("WARNING", "warning")
        assert got["otel"][0]["status"]["status_code"] == "UNSET"
        assert server.stop() == 0
    assert [len(found) for found in everything(tmp_path, receiver).values()] == [1] * 6


@pytest.mark.parametrize(
    "sink", ["sentry hangs", "otel hangs", "logger hangs", "callback hangs", "sentry raises", "logger raises"]
)
def test_a_sink_that_misbehaves(tmp_path: Path, receiver: Receiver, sink: str) -> None:
    """The client is answered in time, the other sinks have theirs, the worker serves on and ends when it is told to."""
    name = sink.partition(" ")[0]
    with serve(receiver, tmp_path, "--threads", "2", bad=sink) as server:
        assert hang(server, "/sleep") < LIMIT + TOLERANCE
        assert server.get("/").status == 200
        got = wait_for_all(tmp_path, receiver, without=name)
        assert got[name] == []
        assert {len(found) for other, found in got.items() if other != name} == {1}
        assert server.log.count("spawned uWSGI worker 1 ") == 1, "it needed no successor"
        assert "Respawned" not in server.log
        assert server.stop() == 0


@pytest.mark.parametrize("sink", ["callback hangs", "callback raises", "callback exits"])
def test_late_delivery_to_a_sink_that_misbehaves(tmp_path: Path, receiver: Receiver, sink: str) -> None:
    """The successor serves from its first moment, and is not asked for the same again and again."""
    with serve(receiver, tmp_path, bad=sink) as server:
        hang(server, "/hold")
        assert server.get("/").status == 200
        wait_for_all(tmp_path, receiver, without="callback")
        assert server.stop() == 0
    counts = {name: len(found) for name, found in everything(tmp_path, receiver).items()}
    assert counts == {"callback": 0} | {name: 1 for name in counts if name != "callback"}


def test_a_hook_that_hangs(tmp_path: Path, receiver: Receiver) -> None:
    """The program is killed; the others have had their report long before."""
    with serve(receiver, tmp_path, script="#!/bin/sh\nsleep 600\n") as server:
        hang(server, "/sleep")
        wait_for_all(tmp_path, receiver, without="exec")
        server.wait_for_log("the hook .*/hook.sh was killed", timeout=20)
        assert server.stop() == 0


def test_a_hook_that_fails(tmp_path: Path) -> None:
    """Its exit code and what it said, the address's status: in the log, without the token in the address."""
    with Receiver(status=503) as receiver:
        script = "#!/bin/sh\necho no space >&2\nexit 3\n"
        with serve(receiver, tmp_path, script=script) as server:
            hang(server, "/sleep")
            server.wait_for_log("ended with 3 .*no space", timeout=20)
            server.wait_for_log("harakiri-hook http://127.0.0.1:.* answered 503", timeout=20)
            assert SECRET not in server.log.replace(f"GET /sleep?token={SECRET}", "")
            assert server.stop() == 0


def test_switched_off(tmp_path: Path, receiver: Receiver) -> None:
    """harakiri-sinks chooses."""
    with serve(receiver, tmp_path, "--harakiri-sinks", "ring,hook") as server:
        hang(server, "/sleep")
        wait_until(lambda: receiver.reports and lines(tmp_path, "exec"), 20, what="the hooks' reports")
        wait_for_report(tmp_path / "reports", "/sleep")
        assert server.stop() == 0
    got = everything(tmp_path, receiver)
    assert {name for name, found in got.items() if found} == {"exec", "http", "sentry"}
    assert "harakiri.kind" not in got["sentry"][0].get("tags", {}), "what Sentry's own middleware has seen"
