"""Incidents become reports without anybody waiting for it."""

from __future__ import annotations

import re
from threading import Event

from tests.support.waiting import wait_until
from tests.unit.reports.incidents import AT, incident
from uwsgi_deploy.config.settings import ReportSettings, Settings
from uwsgi_deploy.config.settings.reports import OFF
from uwsgi_deploy.reports.filing import MOST_WAITING, Filing, MasterFiling
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.incident import Kind

SETTINGS = Settings(reports=ReportSettings(harakiri_dir=OFF))


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

    filing = Filing(SETTINGS, write)
    filing.file(incident())
    assert stuck.wait(10)
    for _ in range(MOST_WAITING + 2):
        filing.file(incident())
    assert log == ["HARAKIRI: too many reports at once, there is none about GET /search"] * 2
    go_on.set()
    wait_until(lambda: len(log) == MOST_WAITING + 3)


def test_the_master_has_written_when_it_goes_on() -> None:
    """uWSGI's first line, for a hard stage."""
    log: list[str] = []
    MasterFiling(SETTINGS, log.append).file(incident(kind=Kind.HARD, attempt=2, graceful=False))
    assert log[0].startswith("*** HARAKIRI ON WORKER 3 (pid: 812, try: 2, graceful: no) ***\n")
