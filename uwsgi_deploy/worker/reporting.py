"""What a worker's watchdog does about reports: it takes down what it sees, and hands it over to `reports.filing`.

Loaded when the first request is late, and `reports.filing` with the first report: nothing of it is in the memory of a
server whose requests are in time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.native import allocate_lock, start_new_thread
from uwsgi_deploy.reports.incident import Incident, Outcome
from uwsgi_deploy.reports.notes import NOTES, RequestNotes
from uwsgi_deploy.worker.deadlines import End
from uwsgi_deploy.worker.evidence import Evidence
from uwsgi_deploy.wsgi.lifecycle import CUT, GONE, TIMED_OUT

_FILING = "uwsgi_deploy.reports.filing"


class Reporting:
    """Nothing here waits. write: to the log. aside: see `reports.filing`; None where cores are threads."""

    def __init__(
        self,
        settings: Settings,
        write: Callable[[str], None],
        evidence: Evidence,
        *,
        aside: Callable[..., object] | None,
    ) -> None:
        self.evidence = evidence
        self._settings, self._write, self._aside = settings, write, aside
        self._filed: Any = None
        self._loading = allocate_lock()

    def file(self, incident: Incident, *, follows: str = "") -> str:
        """Have a report made; its id. follows: the id of an earlier one about the same request."""
        report_id: str = self._filing().file(replace(incident, follows=follows))
        return report_id

    def file_going_on(self, incident: Incident, *, follows: str) -> str:
        """`file`: its time was over, and it is not any more."""
        return self.file(replace(incident, outcome=Outcome.CONTINUES), follows=follows)

    def file_ended(self, incident: Incident, end: End | None, *, follows: str) -> None:
        """`file`: its time was over, and it has ended, nobody knows how if `end` is None."""
        if end is None:
            self.file(incident, follows=follows)
            return
        outcome = _outcome_of(end)
        report_id = self.file(replace(incident, outcome=outcome, status=end.status), follows=follows)
        if outcome is Outcome.CONTINUES:
            self.completed(report_id, end)

    def completed(self, report_id: str, end: End) -> None:
        """A request that went on after its report is over."""
        self._filing().follow_up(report_id, outcome="completed", status=end.status, age=end.at - end.started)

    @staticmethod
    def halt_calls(incident: Incident) -> None:
        """End what this request waits for, where its library can do that."""
        notes = incident.environ and incident.environ.get(NOTES)
        if isinstance(notes, RequestNotes):
            for call in [*notes.running]:
                if call.stop is not None and not call.halted:
                    start_new_thread(call.halt, ())  # it may have to connect to somebody

    def prepare(self) -> None:
        """Load what a report needs: there is going to be one."""
        self._filing()

    def drain(self, timeout: float) -> None:
        """Wait until all reports are delivered, at most `timeout` seconds."""
        if self._filed is not None:
            self._filed.drain(timeout)

    def catch_up(self) -> None:
        """Have the reports delivered that a worker before this one could not deliver."""
        self._filing().catch_up()

    def _filing(self) -> Any:
        with self._loading:  # the watchdog's thread and the one of a worker that has just started
            if self._filed is None:
                self._filed = import_module(_FILING).Filing(self._settings, self._write, aside=self._aside)
            return self._filed


def _outcome_of(end: End) -> Outcome:
    if end.outcome is TIMED_OUT:
        return Outcome.ANSWERED
    if end.outcome is CUT or end.outcome is GONE:
        return Outcome.CUT
    return Outcome.ANSWERED if end.status == 504 else Outcome.CONTINUES
