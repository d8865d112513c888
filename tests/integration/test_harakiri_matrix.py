"""Every way to hang, in every engine: the client is answered, the report says where it hung, nobody else notices.

The cells of an engine run at the same time, each against a server of its own. In `threads` and `gevent` the siblings
are in the same process as the request that hangs.

`body` is a body that the application reads while it comes (post-buffering = 0). One that the server collects before it
calls the application is no affair of harakiri's: `body-timeout` answers 408 (tests/conformance).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.hanging import End, Siblings, hang
from tests.support.postgres import Database
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

LIMIT = 1.0
GRACE = 1.0
# The promise is a second after that; this machine may be busy with other things.
PROMISE = 1.0
TOLERANCE = 1.5

ENGINES: Mapping[str, tuple[str, ...]] = {
    "prefork": ("--processes", "3"),
    "threads": ("--processes", "1", "--threads", "4"),
    "gevent": ("--processes", "1", "--gevent", "50"),
}
WAYS: Mapping[str, str] = {
    "sleep": "sleep",
    "loop": "loop",
    "regex": "regex",
    "lock": "lock",
    "socket": "read_socket",
    "database": "database",
    "subprocess": "run_program",
    "stream": "stream",
    "body": "read_body",
}
"""Way to hang to the function of tests/support/apps/hanging.py that a report must name."""

# Where C code holds the interpreter in another thread than the first, nothing can reach it: the worker goes, with what
# else it runs. Each sibling may lose the one request that it has there.
TAKES_SIBLINGS_ALONG = frozenset({("threads", "regex")})
# Only what waits in C in another thread than the first outlives its deadline: then the worker has to be replaced.
REPLACES_WORKERS = frozenset({"threads"})

COMMON = (
    *("--http-socket", "127.0.0.1:0", "--module", "hanging", "--disable-logging", "--post-buffering", "0"),
    *("--harakiri", str(LIMIT), "--harakiri-graceful-timeout", str(GRACE)),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """What was seen. report: of the request that hung, {} when there is none."""

    end: End
    siblings: Siblings
    report: Mapping[str, Any]
    log: str


def run_cell(engine: str, way: str, url: str) -> Cell:
    """One request hangs in a server of its own, others are served meanwhile."""
    options = (*COMMON, *ENGINES[engine], "--harakiri-dir", "reports")
    with ServerProcess(*options, environment={"DATABASE_URL": url}, timeout=60) as server:
        with Siblings(server.addresses[0]) as siblings:
            wait_until(lambda: siblings.answered > 3, 30, what="siblings to be served")
            end = hang(server.addresses[0], way)
            known = siblings.answered
            wait_until(lambda: siblings.answered > known + 5, 30, what="siblings to be served afterwards")
        report = wait_for_report(server.directory / "reports", end.path)
        return Cell(end, siblings, report, server.log)


def wait_for_report(directory: Path, path: str) -> Mapping[str, Any]:
    """The last stage's report about a request; {} when none comes."""

    def found() -> list[dict[str, Any]]:
        reports = [json.loads(file.read_text()) for file in sorted(directory.glob("*.json"))]
        return [report for report in reports if report["request"]["path"] == path and report["kind"] != "soft"]

    try:
        return wait_until(found, 10)[-1]
    except AssertionError:
        return {}


@pytest.fixture(scope="module")
def run_engine(postgres_cluster: Any) -> Iterator[Callable[[str], Mapping[str, Cell | BaseException]]]:
    """Runs all cells of an engine, once."""
    with postgres_cluster.database() as database:
        yield cache(lambda engine: _run_all(engine, database))


def _run_all(engine: str, database: Database) -> Mapping[str, Cell | BaseException]:
    with ThreadPoolExecutor(len(WAYS)) as pool:
        cells = {way: pool.submit(run_cell, engine, way, database.url) for way in WAYS}
    return {way: cell.exception() or cell.result() for way, cell in cells.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("engine", ENGINES)
def test_cell(engine: str, way: str, run_engine: Callable[[str], Mapping[str, Cell | BaseException]]) -> None:
    """504 (or a response that is visibly cut) in time; the report has route and culprit; siblings are all served."""
    cell = run_engine(engine)[way]
    if isinstance(cell, BaseException):
        raise cell
    end, report = cell.end, cell.report
    shown = f"{end}\n{cell.siblings}\n{json.dumps(report, indent=1)}\n{cell.log}"
    if way == "stream":
        assert (end.status, end.whole, end.how) == (200, False, "cut"), shown
    else:
        assert (end.status, end.whole) == (504, True), shown
    assert LIMIT - 0.05 < end.taken < LIMIT + GRACE + PROMISE + TOLERANCE, shown
    assert report, shown
    assert report["schema"] == "uwsgi.harakiri/1", shown
    assert report["request"]["route"] == f"/hang/{way}/<int:number>", shown
    culprit = report["culprit"]
    assert culprit, shown
    assert culprit["file"].endswith("/tests/support/apps/hanging.py"), shown
    assert culprit["function"] == WAYS[way], shown
    assert re.search(rf"^\*\*\* HARAKIRI .*\*\*\*$|^HARAKIRI: .*{re.escape(end.path)}", cell.log, re.M), shown
    lost = sum(cell.siblings.lost.values())
    assert lost <= (len(cell.siblings.each) if (engine, way) in TAKES_SIBLINGS_ALONG else 0), shown
    if engine not in REPLACES_WORKERS:
        assert report["kind"] == "deadline", shown
        assert "DAMN !" not in cell.log, shown


def test_greenlet_that_was_only_kept_waiting_is_served() -> None:
    """Its limit passed while another one kept the hub; it was ready long before, and has its chance first."""
    with ServerProcess(*COMMON, *ENGINES["gevent"]) as server, server.connect(timeout=30) as sibling:
        sibling.send(b"GET /quick?0.6 HTTP/1.1\r\nHost: test\r\n\r\n")
        end = hang(server.addresses[0], "loop")
        assert (end.status, sibling.receive().status) == (504, 200), server.log
