"""`inflight` and `dump` with real servers: what runs now, and where, without ending any of it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import RawClient
from tests.support.server import LAUNCHER, ServerProcess
from tests.support.verbs import verb
from tests.support.waiting import wait_until

STUCK = ("--http-socket", "127.0.0.1:0", "--module", "stuck", "--disable-logging")
NOT_RUNNING = 7


def ask(server: ServerProcess, path: str) -> RawClient:
    """A client whose request runs on."""
    client = server.connect(timeout=60)
    client.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    return client


def inflight(server: ServerProcess, *options: str) -> list[dict[str, Any]]:
    """The requests that run."""
    result = verb(server, "inflight", "--json", *options)
    assert (result.returncode, result.stderr) == (0, "")
    rows: list[dict[str, Any]] = json.loads(result.stdout)["requests"]
    return rows


def dump(server: ServerProcess, *options: str, code: int = 0) -> list[dict[str, Any]]:
    """What the workers show."""
    result = verb(server, "dump", "--json", *options)
    assert (result.returncode, result.stderr) == (code, ""), result
    workers: list[dict[str, Any]] = json.loads(result.stdout)["workers"]
    return workers


@pytest.mark.parametrize("threads", ["1", "4"])
def test_inflight_has_every_request_the_oldest_first(threads: str) -> None:
    """With worker, core, age, limit and phase, whatever a core is; those that are too young can be left out."""
    options = ("--processes", "2", "--threads", threads, "--harakiri", "300")
    with ServerProcess(*STUCK, *options) as server:
        assert inflight(server) == []
        result = verb(server, "inflight")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        first = ask(server, "/sleep?100")
        wait_until(lambda: len(inflight(server)) == 1, 30, what="the first request")
        second = ask(server, "/lock")
        wait_until(lambda: len(inflight(server)) == 2, 30, what="the second request")
        oldest, youngest = inflight(server)
        assert (oldest["method"], oldest["uri"], oldest["phase"]) == ("GET", "/sleep?100", "application")
        assert youngest["uri"] == "/lock"
        assert oldest["age"] > youngest["age"] > 0
        assert oldest["limit"] == pytest.approx(300 - oldest["age"], abs=0.01)
        assert server.worker_pids[oldest["worker"]] == oldest["pid"]
        assert 0 <= oldest["core"] < int(threads)
        border = (oldest["age"] + youngest["age"]) / 2
        # Asked later, both have grown: whatever is older than the oldest was is not the youngest for a while.
        assert oldest["uri"] in [row["uri"] for row in inflight(server, "--older-than", str(border))]
        assert inflight(server, "--older-than", "1000") == []
        assert [row["uri"] for row in inflight(server, "--limit", "1")] == ["/sleep?100"]
        lines = verb(server, "inflight").stdout.splitlines()
        assert [line.split("\t")[7] for line in lines] == ["/sleep?100", "/lock"]
        assert set(server.worker_pids.values()) <= server.session_pids()
        first.close()
        second.close()


def test_inflight_on_a_terminal() -> None:
    """A table with a heading."""
    with ServerProcess(*STUCK, "--harakiri", "300") as server:
        with ask(server, "/sleep?100"):
            wait_until(lambda: inflight(server), 30)
            ours, theirs = pty.openpty()
            subprocess.run(
                [*LAUNCHER, "inflight"],
                cwd=server.directory,
                env=server.environment,
                stdout=theirs,
                stderr=theirs,
                timeout=60,
                check=True,
            )
            shown = os.read(ours, 65536).decode()
            os.close(ours)
            os.close(theirs)
        heading, row = shown.splitlines()
        assert heading.split() == ["AGE", "LEFT", "WORKER", "PID", "CORE", "PHASE", "REQUEST", "ROUTE", "CLIENT"]
        assert heading.index("REQUEST") == row.index("GET /sleep?100")


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("path", ["/sleep?100", "/regex", "/power", "/lock"])
def test_dump_shows_where_a_request_is(path: str, threads: str) -> None:
    """Also while C code holds the interpreter; the worker lives on."""
    with ServerProcess(*STUCK, "--processes", "2", "--threads", threads) as server, ask(server, path):
        before = server.worker_pids
        running = wait_until(lambda: inflight(server), 30)[0]
        started = time.monotonic()
        workers = wait_until(lambda: [w for w in dump(server) if w["id"] == running["worker"]], 30)
        assert time.monotonic() - started < 10
        (worker,) = workers
        assert (worker["pid"], worker["shown"], worker["note"]) == (running["pid"], "stacks", "")
        stack = worker["stacks"][0]
        assert (stack["core"], stack["request"]) == (running["core"], f"GET {path}")
        functions = [frame["function"] for frame in stack["frames"]]
        name = f"stuck_in_{path.partition('?')[0][1:]}"
        assert name in functions
        frame = stack["frames"][functions.index(name)]
        assert frame["file"].endswith("/tests/support/apps/stuck.py")
        assert frame["line"] > 1
        assert "handle_request" not in functions
        text = verb(server, "dump").stdout
        assert f"core {running['core']}: GET {path} (" in text
        assert f", in {name}" in text
        assert server.worker_pids == before
        assert set(before.values()) <= server.session_pids()


def test_dump_of_idle_workers_and_of_one() -> None:
    """Idle cores are counted, or shown; a worker that is not there is an error."""
    with ServerProcess(*STUCK, "--processes", "2", "--threads", "3") as server:
        workers = dump(server)
        assert {worker["id"]: worker["pid"] for worker in workers} == server.worker_pids
        assert [stack["core"] for stack in workers[0]["stacks"] if stack["core"] is not None] == [0, 1, 2]
        assert [worker["id"] for worker in dump(server, "--worker", "2")] == [2]
        assert "3 idle cores" in verb(server, "dump", "--worker", "1").stdout
        assert "core 2, idle" in verb(server, "dump", "--worker", "1", "--all").stdout
        result = verb(server, "dump", "--worker", "9")
        assert (result.returncode, result.stdout) == (1, "")
        assert "no worker 9 runs" in result.stderr


def test_dump_of_a_suspended_worker() -> None:
    """It is said to be so within about a second, and its sibling is shown all the same."""
    with ServerProcess(*STUCK, "--processes", "2") as server:
        pid = server.worker_pids[1]
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T", 10)
            first, second = dump(server, code=1)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert (first["id"], first["shown"], first["state"], first["stacks"]) == (1, "nothing", "T", [])
        assert "suspended" in first["note"]
        assert (second["id"], second["shown"], second["note"]) == (2, "stacks", "")
        assert server.get("/").status == 200
        assert [worker["shown"] for worker in dump(server)] == ["stacks", "stacks"]


def test_dump_and_harakiri_do_not_disturb_each_other() -> None:
    """Both want the stacks of the same worker; the log gets them, and whoever asks gets them, too."""
    with ServerProcess(*STUCK, "--harakiri", "1") as server, ask(server, "/lock"):
        over = time.monotonic() + 30
        shown = 0
        while "HARAKIRI" not in server.log and time.monotonic() < over:
            shown += sum("stuck_in_lock" in str(worker["stacks"]) for worker in json_workers(server))
        assert shown
        server.wait_for_log("in stuck_in_lock", timeout=30)


def json_workers(server: ServerProcess) -> list[dict[str, Any]]:
    """What the workers show, if there are any."""
    result = verb(server, "dump", "--json")
    assert result.returncode in (0, 1), result
    workers: list[dict[str, Any]] = json.loads(result.stdout)["workers"]
    return workers


def gevent_server() -> ServerProcess:
    """Fifty cores in one thread."""
    return ServerProcess("--http-socket", "127.0.0.1:0", "--module", "hanging", "--disable-logging", "--gevent", "50")


def test_inflight_and_dump_of_greenlets() -> None:
    """Each with its request and its place, though all are in one thread; who is at the same place is told once."""
    paths = ["/hang/sleep/1", "/hang/sleep/2", "/hang/lock/3"]
    with gevent_server() as server:
        clients = [ask(server, path) for path in paths]
        wait_until(lambda: len(inflight(server)) == 3, 30, what="three requests")
        assert {row["uri"] for row in inflight(server)} == set(paths)
        assert len({row["core"] for row in inflight(server)}) == 3
        (worker,) = dump(server)
        assert worker["note"] == ""
        places = {
            stack["request"]: [frame["function"] for frame in stack["frames"]]
            for stack in worker["stacks"]
            if stack["request"]
        }
        assert set(places) == {f"GET {path}" for path in paths}
        assert "lock" in places["GET /hang/lock/3"]
        assert places["GET /hang/sleep/1"] == places["GET /hang/sleep/2"]
        assert {"sleep", "dispatch", "application"} <= set(places["GET /hang/sleep/1"])
        shown = verb(server, "dump").stdout
        assert shown.count(", in dispatch") == 2
        for client in clients:
            client.close()


def test_dump_of_a_blocked_hub() -> None:
    """Who blocks it is shown, and that the others cannot be."""
    with gevent_server() as server, ask(server, "/hang/sleep/1"), ask(server, "/hang/regex/2"):
        wait_until(lambda: len(inflight(server)) == 2, 30, what="two requests")
        (worker,) = wait_until(lambda: [w for w in dump(server) if "hub is blocked" in w["note"]], 30)
        (shared,) = [stack for stack in worker["stacks"] if stack["name"] == "the thread of all greenlets"]
        assert any(frame["function"] == "regex" for frame in shared["frames"])
        assert "GET /hang/sleep/1" in verb(server, "dump").stdout


@pytest.mark.parametrize("word", ["inflight", "dump"])
def test_nobody_to_ask(word: str, tmp_path: Path) -> None:
    result = verb(ServerProcess(directory=tmp_path), word, "--pidfile", "none.pid")
    assert result.returncode == NOT_RUNNING
    assert "not running" in result.stderr


# --- reports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own_directory", [False, True])
def test_reports_of_a_server_that_runs_and_of_one_that_has_ended(own_directory: bool, tmp_path: Path) -> None:
    """Found without being told where, listed, shown, turned into a command; no secret is in any of it."""
    options = ("--harakiri", "1", *(("--harakiri-dir", "kept") if own_directory else ()))
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}  # reports of equal servers before it would be there, too
    with ServerProcess("--http-socket", "127.0.0.1:0", "--module", "hanging", *options, environment=runtime) as server:
        client = server.connect(timeout=60)
        client.send(b"GET /hang/sleep/1?token=hidden HTTP/1.1\r\nHost: test\r\nCookie: sessionid=hidden\r\n\r\n")
        assert client.receive().status == 504

        def listed(*words: str) -> list[dict[str, Any]]:
            result = verb(server, "harakiri", "list", "--json", *words)
            assert (result.returncode, result.stderr) == (0, ""), result
            rows: list[dict[str, Any]] = json.loads(result.stdout)["reports"]
            return rows

        (row,) = wait_until(listed, 30, what="the report")
        assert (row["path"], row["route"], row["outcome"]) == (
            "/hang/sleep/1",
            "/hang/sleep/<int:number>",
            "answered_504",
        )
        assert row["culprit"].startswith("hanging.py:")
        assert row["culprit"].endswith(" in sleep")
        shown = verb(server, "harakiri", "show", row["id"][:20])
        assert shown.returncode == 0, shown
        assert "GET /hang/sleep/1" in shown.stdout
        whole = verb(server, "harakiri", "show", "--json")
        assert json.loads(whole.stdout)["id"] == row["id"]
        again = verb(server, "harakiri", "replay", row["id"])
        assert again.returncode == 0, again
        assert "curl" in again.stdout
        assert "/hang/sleep/1" in again.stdout
        assert not any("hidden" in result.stdout + result.stderr for result in (shown, whole, again))
        directory = json.loads(verb(server, "status", "--json").stdout)["reports"]
        missing = verb(server, "harakiri", "show", "zzz")
        assert missing.returncode == 1
        assert f"there is no report 'zzz' in {directory}; the nearest is {row['id']}" in missing.stderr
        assert server.stop() == 0
        assert [found["id"] for found in listed("--dir", directory)] == [row["id"]]


def test_server_that_keeps_no_reports() -> None:
    with ServerProcess(*STUCK, "--harakiri-dir", "off") as server:
        result = verb(server, "harakiri", "list")
        assert result.returncode == 1
        assert "keeps no reports" in result.stderr
