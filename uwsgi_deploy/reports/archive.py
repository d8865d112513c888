"""The log and the ring of files: what worker and master do alike with each report. Nothing here raises.

All that the master does is here, so that it loads nothing else; it runs no code of the application's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.settings.reports import sinks_of
from uwsgi_deploy.logs.access import escape
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.reports import human
from uwsgi_deploy.reports.build import build
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.incident import Incident
from uwsgi_deploy.reports.notes import NOTES, RequestNotes
from uwsgi_deploy.reports.report import Report, key_of, timestamp, unix_time
from uwsgi_deploy.reports.ring import NoSuchReport, Ring, ring_of

_HOUR = 3600.0
# Different culprits that a process remembers, and instants of each.
_MOST_REMEMBERED = 200


class Archive:
    """See the module. server: the master's pid, or this process's without one."""

    def __init__(self, settings: Settings, write: Callable[[str], None], server: int) -> None:
        self._settings, self._write, self._server = settings, write, server
        self._sinks = sinks_of(settings.reports)
        self._ring: Ring | None = None
        self._complained = False
        self._digests: dict[str, tuple[str, str, float]] = {}
        self._seen: dict[str, list[float]] = {}
        try:
            self._ring = ring_of(settings, os.environ)
        except OSError as error:
            self._complain(error)

    def make(self, report_id: str, incident: Incident, *, holder: int) -> Report | None:
        """Make a report, write it, keep it; None when that cannot be. holder: who is to deliver it, 0 for anybody."""
        try:
            report = build(report_id, incident, self._settings)
            report["server"] = self._server
            report["delivered"] = False
            report["repeats"] = self._repeats(report, incident.at)
            if "log" in self._sinks:
                as_json = self._settings.reports.harakiri_log_format == "json"
                self._write(human.record(report) if as_json else human.text(report))
        except Exception as error:  # a mistake in a report must not hide the request that it is about
            self._write(f"HARAKIRI: {what(incident)} has run for {incident.age:.1f} s; no report of it: {error!r}")
            return None
        self.keep(report, pending=(holder, self._server))
        return report

    def keep(self, report: Report, *, pending: tuple[int, int] | None = None) -> None:
        """Put a report, or its new version, into the ring."""
        if self._ring is not None:
            try:
                self._ring.add(report, pending=pending)
            except OSError as error:
                self._complain(error)

    def settle(self, report: Report, **news: object) -> None:
        """It has been delivered."""
        report.update(delivered=True, **news)
        self.keep(report)
        if self._ring is not None:
            self._ring.settle(report["id"])

    def read(self, report_id: str) -> Report | None:
        """A report from the ring, if it is there."""
        try:
            return None if self._ring is None else self._ring.read(report_id)
        except NoSuchReport:
            return None

    def claim(self) -> list[str]:
        """The reports that this process now has to deliver."""
        return [] if self._ring is None else self._ring.claim(os.getpid(), self._server)

    def _repeats(self, report: Report, at: float) -> Report:
        """How often there was the same within the last hour, by what this process remembers and what was kept."""
        key = key_of(report)
        times = [when for when in self._seen.get(key, ()) if when > at - _HOUR]
        self._seen = (
            {**self._seen, key: [*times, at][-_MOST_REMEMBERED:]} if len(self._seen) < _MOST_REMEMBERED else {key: [at]}
        )
        known = {round(when, 3) for when in times}
        if self._ring is not None:
            for other_key, kind, when in self._kept_since(at - _HOUR):
                if other_key == key and kind == report["kind"]:
                    known.add(round(when, 3))
        known.discard(round(at, 3))
        return {"count": len(known), "first": timestamp(min(known)) if known else None}

    def _kept_since(self, since: float) -> Iterator[tuple[str, str, float]]:
        """Key, kind and time of the reports in the ring. Each is read once: they may come by the dozen."""
        assert self._ring is not None
        before, self._digests = self._digests, {}
        for report_id in self._ring.ids(since):
            digest = before.get(report_id)
            if digest is None:
                report = self.read(report_id)
                digest = (
                    ("", "", 0.0) if report is None else (key_of(report), str(report.get("kind")), unix_time(report))
                )
            self._digests[report_id] = digest
        yield from self._digests.values()

    def _complain(self, error: OSError) -> None:
        if not self._complained:  # a file system that cannot be written: once is enough
            self._complained = True
            where = self._ring.directory if self._ring is not None else "a file"
            self._write(f"HARAKIRI: reports are not kept in {where}: {error.strerror or error}")


class MasterFiling:
    """What becomes of an incident in the master: the log and the ring, before `file` returns."""

    def __init__(self, settings: Settings, write: Callable[[str], None] = log) -> None:
        self._archive = Archive(settings, write, os.getpid())

    def file(self, incident: Incident) -> str:
        """Make a report, and tell its id. Never raises."""
        report_id = new_id(incident.at)
        self._archive.make(report_id, at_this_moment(incident), holder=0)
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


def what(incident: Incident) -> str:
    """The request, for a line of the log."""
    return escape(f"{incident.method} {incident.uri.partition('?')[0]}")
