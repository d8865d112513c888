"""What becomes of an incident: a report, which is written to the log, kept, and handed to whoever wants it.

`Filing` is a worker's: `file` returns at once, a thread of the operating system does the rest, and no sink can hold up
the others. A report of a worker that did not live to deliver it is delivered by another one (`catch_up`). The master
has `archive.MasterFiling`. Loaded when the first report is made.
"""

from __future__ import annotations

import os
import time
from _queue import Empty, SimpleQueue  # the queue module's are gevent's where that has patched it
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.native import allocate_lock, start_new_thread
from uwsgi_deploy.reports.archive import Archive, at_this_moment, what
from uwsgi_deploy.reports.delivery import Aside, Lane
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.incident import Incident
from uwsgi_deploy.reports.report import Report
from uwsgi_deploy.reports.sinks import chosen_sinks

# What waits for the thread. Where that much does, each incident more says the same.
MOST_WAITING = 32
# How long a process that ends may still make and write its reports, seconds: on a busy machine imports alone take one.
WRITING = 5.0
# How often the thread looks after sinks that have a report.
_LOOK = 0.5


@dataclass(frozen=True, slots=True)
class _Ended:
    """How the request of an earlier report ended."""

    report_id: str
    outcome: str
    status: int
    age: float


@dataclass(frozen=True, slots=True)
class _Taken:
    """A lane is done with a report."""

    lane: str
    report_id: str


@dataclass(frozen=True, slots=True)
class _CatchUp:
    """Deliver what workers that are gone could not."""


@dataclass(frozen=True, slots=True)
class _Filed:
    """An incident, and the id that its report will have."""

    report_id: str
    incident: Incident


class Filing:
    """See the module; made in the worker, after the fork.

    write: writes lines to the log. aside: see `delivery.Aside`; None where cores are threads. server: the master's pid,
    or this process's where there is none.
    """

    def __init__(
        self, settings: Settings, write: Callable[[str], None] = log, *, aside: Aside | None = None, server: int = 0
    ) -> None:
        self._settings, self._write, self._aside = settings, write, aside
        self._server = server or (os.getppid() if settings.workers.master else os.getpid())
        self._queue: SimpleQueue[_Filed | _Ended | _Taken | _CatchUp] = SimpleQueue()
        self._starting = allocate_lock()
        self._lanes: dict[str, Lane] = {}
        # Reports that sinks have, with the names of their lanes. Changed by the thread only.
        self._open: dict[str, tuple[Report, set[str]]] = {}
        self._lock = allocate_lock()
        self._unfinished = 0

    def file(self, incident: Incident) -> str:
        """Have a report made, and tell its id. Never raises, never waits."""
        report_id = new_id(incident.at)
        if self._queue.qsize() >= MOST_WAITING:
            self._write(f"HARAKIRI: too many reports at once, there is none about {what(incident)}")
            return report_id
        self._give(_Filed(report_id, at_this_moment(incident)))
        return report_id

    def follow_up(self, report_id: str, *, outcome: str, status: int, age: float) -> None:
        """Note how a request ended that was reported while it ran on: a line in the log, and in the kept report.

        outcome: a word such as `completed`; age: seconds that the request took.
        """
        self._give(_Ended(report_id, outcome, status, age))

    def catch_up(self) -> None:
        """Deliver the reports that workers could not that are gone. It is done with each report of one's own, too."""
        self._give(_CatchUp())

    def drain(self, timeout: float) -> bool:
        """Wait until all is delivered, for a worker that is about to end; False when `timeout` seconds were too short.

        What is not written yet has more time: nobody else could deliver it. Under gevent to be called in a greenlet:
        sinks need the hub.
        """
        now = monotonic()
        until, written_until = now + timeout, now + max(timeout, WRITING)
        while self._unfinished or self._open:
            if monotonic() >= (written_until if self._unfinished else until):
                return False
            time.sleep(0.01)
        return True

    def _give(self, item: _Filed | _Ended | _Taken | _CatchUp) -> None:
        with self._lock:
            self._unfinished += 1
        self._queue.put(item)
        if self._starting.acquire(False):  # once, and never released
            start_new_thread(self._run, ())

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        archive = Archive(self._settings, self._write, self._server)
        while True:
            try:
                item = self._queue.get(True, _LOOK if self._open else None)
            except Empty:
                item = None
            try:
                self._act(archive, item)
            except Exception as error:  # this thread has to be there for the next one
                self._write(f"HARAKIRI: a report could not be filed: {error!r}")
            if item is not None:
                with self._lock:
                    self._unfinished -= 1

    def _act(self, archive: Archive, item: _Filed | _Ended | _Taken | _CatchUp | None) -> None:
        if isinstance(item, _Filed):
            report = archive.make(item.report_id, item.incident, holder=os.getpid())
            if report is not None:
                self._deliver(archive, report)
            self._deliver_others(archive)
        elif isinstance(item, _Ended):
            self._note_end(archive, item)
        elif isinstance(item, _Taken):
            self._taken(archive, item.report_id, item.lane)
        elif isinstance(item, _CatchUp):
            self._deliver_others(archive)
        now = monotonic()
        for lane in [lane for lane in self._lanes.values() if lane.is_stuck(now)]:
            lane.forget()
            for report_id in [report_id for report_id, (_, names) in self._open.items() if lane.name in names]:
                self._taken(archive, report_id, lane.name)

    def _deliver(self, archive: Archive, report: Report) -> None:
        """Put the report into the lanes of all sinks."""
        names: set[str] = set()
        now = monotonic()
        for sink in chosen_sinks(self._settings.reports):
            lane = self._lanes.get(sink.name)
            if lane is None:
                lane = Lane(sink.name, self._write, lambda name, i: self._give(_Taken(name, i)), self._aside)
                self._lanes[sink.name] = lane
            if lane.is_stuck(now) or not lane.give(sink, report):
                self._write(f"HARAKIRI: {sink.name} does not take reports now and will not have {report['id']}")
            else:
                names.add(sink.name)
        self._open[report["id"]] = (report, names)
        if not names:
            self._settle(archive, report["id"])

    def _deliver_others(self, archive: Archive) -> None:
        """Deliver the reports of processes that are gone."""
        for report_id in archive.claim():
            report = archive.read(report_id)
            if report is not None:
                report["delivered_late"] = True
                self._deliver(archive, report)

    def _taken(self, archive: Archive, report_id: str, lane: str) -> None:
        if report_id in self._open:
            names = self._open[report_id][1]
            names.discard(lane)
            if not names:
                self._settle(archive, report_id)

    def _settle(self, archive: Archive, report_id: str) -> None:
        archive.settle(self._open[report_id][0])
        del self._open[report_id]

    def _note_end(self, archive: Archive, ended: _Ended) -> None:
        self._write(
            f"HARAKIRI: the request of report {ended.report_id} has ended after {ended.age:.1f} s: {ended.outcome}, "
            f"status {ended.status}"
        )
        news = {"outcome": ended.outcome, "ended": {"after": round(ended.age, 3), "status": ended.status}}
        if ended.report_id in self._open:  # it is kept once more when it is delivered
            self._open[ended.report_id][0].update(news)
        report = archive.read(ended.report_id)
        if report is not None:
            archive.keep({**report, **news})
