"""What becomes of an incident: a report, which is written to the log and handed to whoever wants it.

`Filing` is a worker's: `file` returns at once, a thread of the operating system does the rest. `MasterFiling` is the
master's, which runs no code of the application's: the log and the ring of files only, before `file` returns.
Loaded when the first report is made.
"""

from __future__ import annotations

from _queue import SimpleQueue  # the queue module's is gevent's where that has patched it
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.logs.access import escape
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.reports.build import build
from uwsgi_deploy.reports.human import text
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.incident import Incident
from uwsgi_deploy.reports.native import native
from uwsgi_deploy.reports.notes import NOTES, RequestNotes

# Incidents that wait for the thread. Where that many do, each says the same.
MOST_WAITING = 32

Aside: TypeAlias = Callable[[Callable[[], None]], object]
"""Has a function run in a greenlet of a gevent worker's hub, soon; called from any thread."""


class Filing:
    """See the module; made in the worker, after the fork.

    write: writes lines to the log. aside: see `Aside`; None where cores are threads.
    """

    def __init__(self, settings: Settings, write: Callable[[str], None] = log, *, aside: Aside | None = None) -> None:
        self._settings, self._write, self._aside = settings, write, aside
        self._queue: SimpleQueue[tuple[str, Incident]] = SimpleQueue()
        self._starting = native("_thread", "allocate_lock")()

    def file(self, incident: Incident) -> str:
        """Have a report made, and tell its id. Never raises, never waits."""
        report_id = new_id(incident.at)
        if self._queue.qsize() >= MOST_WAITING:
            self._write(f"HARAKIRI: too many reports at once, there is none about {_what(incident)}")
            return report_id
        self._queue.put((report_id, at_this_moment(incident)))
        if self._starting.acquire(False):  # once, and never released
            native("_thread", "start_new_thread")(self._run, ())
        return report_id

    def _run(self) -> None:
        while True:
            report_id, incident = self._queue.get()
            record(report_id, incident, self._settings, self._write)


class MasterFiling:
    """See the module."""

    def __init__(self, settings: Settings, write: Callable[[str], None] = log) -> None:
        self._settings, self._write = settings, write

    def file(self, incident: Incident) -> str:
        """Make a report, and tell its id. Never raises."""
        report_id = new_id(incident.at)
        record(report_id, at_this_moment(incident), self._settings, self._write)
        return report_id


def at_this_moment(incident: Incident) -> Incident:
    """The incident with its own copies of what the request goes on to change."""
    environ = incident.environ
    if environ is None:
        return incident
    notes = incident.notes
    found = environ.get(NOTES)
    if notes is None and isinstance(found, RequestNotes):
        notes = found.snapshot()
    return replace(incident, environ=dict(environ), notes=notes)


def record(report_id: str, incident: Incident, settings: Settings, write: Callable[[str], None]) -> None:
    """Make the report and write it."""
    try:
        write(text(build(report_id, incident, settings)))
    except Exception as error:  # a mistake in a report must not hide the request it is about
        write(f"HARAKIRI: {_what(incident)} has run for {incident.age:.1f} s; its report cannot be made: {error!r}")


def _what(incident: Incident) -> str:
    return escape(f"{incident.method} {incident.uri}")
