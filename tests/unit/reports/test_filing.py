"""Incidents become reports without anybody waiting for it, and each goes to everybody who wants it."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.unit.reports.incidents import AT, environ, incident
from uwsgi_deploy import on_report, settings_from
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.reports import callbacks, delivery, filing
from uwsgi_deploy.reports.archive import MasterFiling
from uwsgi_deploy.reports.filing import MOST_WAITING, Filing
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.incident import Kind, Outcome
from uwsgi_deploy.reports.report import Report
from uwsgi_deploy.reports.ring import Ring
from uwsgi_deploy.reports.sinks.sink import Sink

# So that nothing is kept.
SETTINGS = settings_from(harakiri_dir="off", harakiri=30)


@pytest.fixture(autouse=True)
def _nobody_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "_callbacks", [])
    monkeypatch.setattr(logging.getLogger("uwsgi.harakiri"), "propagate", False)  # pytest's handlers


@pytest.fixture
def kept(tmp_path: Path) -> Settings:
    return settings_from(harakiri_dir=str(tmp_path / "ring"), harakiri=30)


def ring_for(settings: Settings) -> Ring:
    return Ring(settings.reports.harakiri_dir, settings.reports.harakiri_keep)


@pytest.fixture
def sinks(monkeypatch: pytest.MonkeyPatch) -> list[Sink]:
    """The sinks that there are; change it."""
    found: list[Sink] = []
    monkeypatch.setattr(filing, "chosen_sinks", lambda _settings: list(found))
    return found


def test_ids_are_uuids_of_version_7_and_sort_by_time() -> None:
    """Files of reports are listed in the order of their names."""
    ids = [new_id(AT + second) for second in range(3)]
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in ids)
    assert len({new_id(AT) for _ in range(100)}) == 100


def test_a_worker_writes_the_report_in_another_thread() -> None:
    """`file` tells the id; the block is in the log soon after."""
    log: list[str] = []
    report_id = Filing(SETTINGS, log.append).file(incident())
    block = wait_until(lambda: log)[0]
    assert report_id in block
    assert "HARAKIRI: GET /search" in block


def test_filing_waits_for_nobody() -> None:
    """While the log takes nothing, incidents queue up, and then each says one line in its caller's thread."""
    log: list[str] = []
    stuck, go_on = Event(), Event()

    def write(text: str) -> None:
        if "there is none about" not in text:
            stuck.set()
            go_on.wait(10)
        log.append(text)

    worker = Filing(SETTINGS, write)
    worker.file(incident())
    assert stuck.wait(10)
    for _ in range(MOST_WAITING + 2):
        worker.file(incident())
    assert log == ["HARAKIRI: too many reports at once, there is none about GET /search"] * 2
    go_on.set()
    wait_until(lambda: len(log) == MOST_WAITING + 3)


def test_the_master_has_written_when_it_goes_on(kept: Settings) -> None:
    """uWSGI's first line, for a hard stage; the application is still to be told, by any worker."""
    log: list[str] = []
    report_id = MasterFiling(kept, log.append).file(incident(kind=Kind.HARD, attempt=2, graceful=False))
    assert log[0].startswith("*** HARAKIRI ON WORKER 3 (pid: 812, try: 2, graceful: no) ***\n")
    report = ring_for(kept).read(report_id)
    assert (report["delivered"], report["server"]) == (False, os.getpid())
    assert ring_for(kept).undelivered() == [report_id]


def test_the_master_runs_no_code_of_the_application(kept: Settings) -> None:
    called: list[Report] = []
    on_report(called.append)
    MasterFiling(kept, lambda _text: None).file(incident())
    assert called == []


def test_json_in_the_log() -> None:
    log: list[str] = []
    MasterFiling(settings_from(harakiri_dir="off", harakiri_log_format="json"), log.append).file(incident())
    assert log[0].startswith('{"event": "harakiri", "schema": "uwsgi.harakiri/1"')


def test_nothing_is_logged_where_the_log_is_no_sink(kept: Settings) -> None:
    log: list[str] = []
    settings = settings_from(harakiri_dir=kept.reports.harakiri_dir, harakiri_sinks="ring")
    report_id = MasterFiling(settings, log.append).file(incident())
    assert log == []
    assert ring_for(kept).ids() == [report_id]


def test_what_the_request_changes_later_is_not_in_its_report(kept: Settings, sinks: list[Sink]) -> None:
    """The environ and the notes are the application's, and live on."""
    go_on = Event()
    worker = Filing(kept, lambda _text: go_on.wait(10) and None)
    worker.file(incident())  # keeps the thread busy
    variables = environ(HTTP_X_REQUEST_ID="first")
    report_id = worker.file(incident(environ=variables, notes=None))
    variables["HTTP_X_REQUEST_ID"] = "second"
    variables["uwsgi.notes"].running.clear()
    go_on.set()
    assert worker.drain(10)
    report = ring_for(kept).read(report_id)
    assert report["request"]["id"] == "first"
    assert len(report["db"]["running"]) == 1


def test_a_report_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is named all the same, and the next report comes."""
    log: list[str] = []

    def broken(*_arguments: Any) -> Report:
        raise RuntimeError("a mistake")

    worker = Filing(SETTINGS, log.append)
    with monkeypatch.context() as patch:
        patch.setattr("uwsgi_deploy.reports.archive.build", broken)
        worker.file(incident())
        wait_until(lambda: log)
    assert log == ["HARAKIRI: GET /search has run for 30.0 s; no report of it: RuntimeError('a mistake')"]
    worker.file(incident())
    wait_until(lambda: len(log) == 2)


def test_a_directory_that_cannot_be_written_is_noted_once(tmp_path: Path) -> None:
    """And the report goes everywhere else."""
    (tmp_path / "file").write_text("")
    log: list[str] = []
    called: list[Report] = []
    on_report(called.append)
    worker = Filing(settings_from(harakiri_dir=str(tmp_path / "file" / "ring")), log.append)
    for _ in range(3):
        worker.file(incident())
    assert worker.drain(10)
    complaints = [line for line in log if "reports are not kept" in line]
    assert len(complaints) == 1
    assert "Not a directory" in complaints[0]
    assert len(called) == 3


def test_repetitions_are_counted(kept: Settings) -> None:
    """From what other processes kept, too; of the last hour, of the same culprit, route and stage."""
    first, second = MasterFiling(kept, lambda _text: None), MasterFiling(kept, lambda _text: None)
    first.file(incident(at=AT - 4000, kind=Kind.HARD))
    first.file(incident(at=AT - 1000, kind=Kind.HARD))
    first.file(incident(at=AT - 500, kind=Kind.SOFT))
    first.file(incident(at=AT - 400, kind=Kind.HARD, notes=None, environ=None, route="other"))
    report = ring_for(kept).read(second.file(incident(at=AT, kind=Kind.HARD)))
    assert report["repeats"] == {"count": 1, "first": "2026-11-21T15:24:13.250Z"}
    again = ring_for(kept).read(second.file(incident(at=AT + 1, kind=Kind.HARD)))
    assert again["repeats"]["count"] == 2


def test_each_kept_report_is_read_once_for_counting(kept: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred requests may be late at the same time."""
    read: list[str] = []
    real = Ring.read
    monkeypatch.setattr(Ring, "read", lambda ring, name: read.append(name) or real(ring, name))
    master = MasterFiling(kept, lambda _text: None)
    for second in range(8):
        master.file(incident(at=AT + second))
    assert len(read) == len(set(read)) == 7


def test_repetitions_are_counted_without_files() -> None:
    log: list[str] = []
    master = MasterFiling(SETTINGS, log.append)
    for second in range(3):
        master.file(incident(at=AT + second))
    assert "repeats" not in log[0]
    assert "repeats   2 times before within the hour, first at 2026-11-21T15:40:53.250Z" in log[2]


# --- sinks ----------------------------------------------------------------------------------------------------------


def test_everybody_is_called_and_then_it_is_delivered(kept: Settings) -> None:
    """A callback that fails keeps nobody from it."""
    log: list[str] = []
    called: list[Report] = []

    @on_report
    def broken(_report: Report) -> None:
        raise ValueError("mine")

    on_report(called.append)
    on_report(broken)
    worker = Filing(kept, log.append)
    report_id = worker.file(incident())
    assert worker.drain(10)
    assert [report["id"] for report in called] == [report_id]
    assert any(f"broken has failed with report {report_id}: ValueError('mine')" in line for line in log)
    assert ring_for(kept).read(report_id)["delivered"] is True
    assert ring_for(kept).undelivered() == []


def test_it_is_kept_before_anybody_is_called(kept: Settings, sinks: list[Sink]) -> None:
    """A worker that is killed meanwhile leaves it for its successor."""
    seen: list[tuple[list[str], bool]] = []

    def look(report: Report, _write: Callable[[str], None]) -> None:
        seen.append((ring_for(kept).undelivered(), ring_for(kept).read(report["id"])["delivered"]))

    sinks.append(Sink("look", 5, look))
    worker = Filing(kept, lambda _text: None)
    report_id = worker.file(incident())
    assert worker.drain(10)
    assert seen == [([report_id], False)]


def test_a_sink_that_hangs_holds_up_nobody(kept: Settings, sinks: list[Sink], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once, it gets no more reports, and when it comes back it does again."""
    monkeypatch.setattr(filing, "_LOOK", 0.05)
    log: list[str] = []
    hung: list[str] = []
    taken: list[str] = []
    go_on = Event()

    def hang(report: Report, _write: Callable[[str], None]) -> None:
        hung.append(report["id"])
        go_on.wait(30)

    sinks += [Sink("slow", 0.1, hang), Sink("quick", 5, lambda report, _write: taken.append(report["id"]))]
    worker = Filing(kept, log.append)
    first = worker.file(incident())
    wait_until(lambda: taken == [first])
    assert worker.drain(10)
    assert any("HARAKIRI: slow has not taken a report within 0.1 s; it gets no others" in line for line in log)
    second = worker.file(incident())
    wait_until(lambda: taken == [first, second])
    assert worker.drain(10)
    assert any(f"slow does not take reports now and will not have {second}" in line for line in log)
    assert hung == [first]
    assert ring_for(kept).undelivered() == []
    go_on.set()

    def comes_back() -> bool:
        third = worker.file(incident())
        return worker.drain(10) and third in hung

    wait_until(comes_back)


def test_reports_wait_for_a_sink_that_is_merely_slow(sinks: list[Sink]) -> None:
    """Two requests that are late together are usual; both are mailed."""
    taken: list[str] = []

    def slow(report: Report, _write: Callable[[str], None]) -> None:
        time.sleep(0.05)
        taken.append(report["id"])

    sinks.append(Sink("slow", 10, slow))
    worker = Filing(SETTINGS, lambda _text: None)
    filed = [worker.file(incident()) for _ in range(5)]
    assert worker.drain(20)
    assert taken == filed


def test_whatever_a_sink_raises(sinks: list[Sink]) -> None:
    log: list[str] = []

    def leave(_report: Report, _write: Callable[[str], None]) -> None:
        raise SystemExit(3)

    sinks.append(Sink("leaver", 5, leave))
    worker = Filing(SETTINGS, log.append)
    for _ in range(2):
        worker.file(incident())
        assert worker.drain(10)
    assert sum("leaver has failed with report" in line and "SystemExit(3)" in line for line in log) == 2


def test_draining_ends_in_time(sinks: list[Sink]) -> None:
    go_on = Event()
    sinks.append(Sink("slow", 60, lambda _report, _write: go_on.wait(30)))
    worker = Filing(SETTINGS, lambda _text: None)
    assert worker.drain(0)
    worker.file(incident())
    began = time.monotonic()
    assert not worker.drain(0.2)
    assert time.monotonic() - began < 10
    go_on.set()
    assert worker.drain(10)


def test_with_greenlets_sinks_run_where_the_hub_says(
    kept: Settings, sinks: list[Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And while it does not come to that the report is not delivered: a successor may have to do it."""
    monkeypatch.setattr(delivery, "sockets_are_patched", lambda: True)
    monkeypatch.setattr(filing, "_LOOK", 0.02)
    tasks: list[Callable[[], None]] = []
    log: list[str] = []
    sinks.append(Sink("application", 0.05, lambda _report, _write: None))
    worker = Filing(kept, log.append, aside=tasks.append)
    report_id = worker.file(incident())
    wait_until(lambda: tasks)
    assert not worker.drain(0.3)
    assert ring_for(kept).undelivered() == [report_id]
    assert not any("has not taken" in line for line in log)
    tasks[0]()
    assert worker.drain(10)
    assert ring_for(kept).undelivered() == []


# --- afterwards -----------------------------------------------------------------------------------------------------


def test_how_a_slow_request_ended(kept: Settings, sinks: list[Sink]) -> None:
    log: list[str] = []
    worker = Filing(kept, log.append)
    report_id = worker.file(incident(kind=Kind.SOFT, outcome=Outcome.CONTINUES))
    worker.follow_up(report_id, outcome="completed", status=200, age=31.23)
    assert worker.drain(10)
    assert f"HARAKIRI: the request of report {report_id} has ended after 31.2 s: completed, status 200" in log
    report = ring_for(kept).read(report_id)
    assert report["outcome"] == "completed"
    assert report["ended"] == {"after": 31.23, "status": 200}
    assert report["delivered"] is True


def test_how_a_slow_request_ended_before_its_report_was_delivered(kept: Settings, sinks: list[Sink]) -> None:
    go_on = Event()
    sinks.append(Sink("slow", 30, lambda _report, _write: go_on.wait(20)))
    worker = Filing(kept, lambda _text: None)
    report_id = worker.file(incident(kind=Kind.SOFT, outcome=Outcome.CONTINUES))
    worker.follow_up(report_id, outcome="completed", status=200, age=31.23)
    wait_until(lambda: ring_for(kept).ids() and ring_for(kept).read(report_id)["outcome"] == "completed")
    go_on.set()
    assert worker.drain(10)
    report = ring_for(kept).read(report_id)
    assert (report["outcome"], report["delivered"]) == ("completed", True)


def test_a_successor_delivers_what_its_predecessor_could_not(kept: Settings) -> None:
    """What the master wrote of a killed worker, and what a worker had begun that is gone."""
    called: list[Report] = []
    log: list[str] = []
    on_report(called.append)
    killed = MasterFiling(kept, lambda _text: None).file(incident(kind=Kind.HARD, outcome=Outcome.KILLED))
    successor = Filing(kept, log.append, server=os.getpid())
    successor.catch_up()
    successor.catch_up()
    assert successor.drain(10)
    assert [(report["id"], report["delivered_late"]) for report in called] == [(killed, True)]
    report = ring_for(kept).read(killed)
    assert (report["delivered"], report["delivered_late"]) == (True, True)
    assert log == []  # the master has written it


def test_a_worker_that_has_a_report_of_its_own_delivers_what_is_left(kept: Settings) -> None:
    """The successor may have started before the master had written."""
    called: list[Report] = []
    on_report(called.append)
    killed = MasterFiling(kept, lambda _text: None).file(incident(kind=Kind.HARD, outcome=Outcome.KILLED))
    successor = Filing(kept, lambda _text: None, server=os.getpid())
    own = successor.file(incident(at=AT + 1))
    assert successor.drain(10)
    assert [(report["id"], report.get("delivered_late")) for report in called] == [(own, None), (killed, True)]
