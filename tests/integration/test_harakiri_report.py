"""Reports of a real server, as they are kept and as they read."""

from __future__ import annotations

import json
import re
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Response
from tests.support.reports import reports_in, wait_for_report
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

SCHEMA = Path(__file__).parents[2] / "docs" / "harakiri-report.schema.json"
ENGINES = {"prefork": (), "threads": ("--threads", "3"), "gevent": ("--gevent", "5")}
LATE = ("--http-socket", "127.0.0.1:0", "--module", "hanging", "--harakiri", "1")


def check(report: dict[str, Any]) -> None:
    """It has the form that is promised."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))


def get(server: ServerProcess, path: str) -> Response:
    """Ask, and be patient: a hard stage takes some seconds, and the machine may be busy."""
    with server.connect(timeout=60) as client:
        return client.get(path)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_request_that_waits(engine: str, tmp_path: Path) -> None:
    """Kept in the promised form, private, delivered; the same in the log, for people."""
    if engine == "gevent":
        pytest.importorskip("gevent")
    ring = tmp_path / "ring"
    with ServerProcess(*LATE, "--harakiri-dir", str(ring), *ENGINES[engine]) as server:
        answer = get(server, "/hang/lock/7?token=hunter2")
        assert answer.status == 504
        report = wait_for_report(ring, "/hang/lock/7")
        check(report)
        assert (report["request"]["route"], report["culprit"]["function"]) == ("/hang/lock/<int:number>", "lock")
        assert report["waiting_on"]["kind"] == "lock"
        assert report["culprit"]["code"] == "mine.acquire(timeout=LONG)"
        assert report["worker"]["engine"] == engine
        assert report["server"] == server.pid
        assert "hunter2" not in json.dumps(report)
        assert {stat.S_IMODE(path.stat().st_mode) for path in ring.iterdir()} == {0o600}
        server.wait_for_log(rf"^HARAKIRI (?:end of report {report['id']}|triggered by worker 1 core \d+ !!!)$")
        assert re.search(r"^\*\*\* HARAKIRI.* 1 \(pid: \d+", server.log, re.M)
        assert f"  report    {report['id']}" in server.log


def test_json_in_the_log_and_a_program(tmp_path: Path) -> None:
    """Under gevent, where programs are started by the hub."""
    pytest.importorskip("gevent")
    target, program = tmp_path / "given.json", tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nimport sys\nopen({str(target)!r}, 'w').write(sys.stdin.read())\n")
    program.chmod(0o755)
    options = ("--gevent", "5", "--harakiri-log-format", "json", "--harakiri-hook", f"exec:{program}")
    with ServerProcess(*LATE, *options, "--harakiri-dir", "off") as server:
        assert get(server, "/hang/sleep/1").status == 504
        server.wait_for_log(r'^\{"event": "harakiri", ', timeout=30)
        (line,) = re.findall(r'^\{"event": "harakiri", .*$', server.log, re.M)
        logged = json.loads(line)

        def given() -> dict[str, Any] | None:
            try:
                return json.loads(target.read_text())
            except (OSError, ValueError):
                return None

        found = wait_until(given, 30)
        assert found is not None
        assert found["id"] == logged["id"]
        assert "HARAKIRI" not in server.log


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """The start says so; everything else is as it would be."""
    (tmp_path / "file").write_text("")
    with ServerProcess(*LATE, "--harakiri-dir", str(tmp_path / "file" / "ring")) as server:
        server.wait_for_log(r"^harakiri-dir: reports of late requests cannot be kept in .*/file/ring: Not a directory$")
        for _ in range(2):
            assert get(server, "/hang/sleep/1").status == 504
        wait_until(lambda: server.log.count("HARAKIRI end of report") == 2, 30)
        assert server.log.count("HARAKIRI: reports are not kept in") == 1


def test_a_slow_request_goes_on(tmp_path: Path) -> None:
    """And its report says later how it ended."""
    ring = tmp_path / "ring"
    options = ("--harakiri", "60", "--soft-harakiri", "0.5", "--harakiri-dir", str(ring))
    with ServerProcess("--http-socket", "127.0.0.1:0", "--module", "hanging", *options) as server:
        assert get(server, "/quick?2").status == 200
        wait_until(lambda: [report for report in reports_in(ring) if report.get("ended")], 30)
        (report,) = reports_in(ring)
        check(report)
        assert (report["kind"], report["outcome"], report["ended"]["status"]) == ("soft", "completed", 200)
        server.wait_for_log(rf"^HARAKIRI: the request of report {report['id']} has ended after 2\.\d s: completed, ")
