"""The worker's way to `reports.filing`, which is loaded with the first report and not before."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.settings.reports import sinks_of
from uwsgi_deploy.errors import HarakiriTimeout
from uwsgi_deploy.native import allocate_lock
from uwsgi_deploy.reports.incident import Incident

_FILING = "uwsgi_deploy.reports.filing"


class Reporting:
    """write: to the log. aside: see `reports.filing`; None where cores are threads."""

    def __init__(
        self, settings: Settings, write: Callable[[str], None], *, aside: Callable[..., object] | None
    ) -> None:
        self._settings, self._write, self._aside = settings, write, aside
        self._filing: Any = None
        self._loading = allocate_lock()
        sentry = sys.modules.get("sentry_sdk.scope")
        if sentry is not None and "sentry" in sinks_of(settings.reports):
            sentry.add_global_event_processor(_is_not_reported)

    def file(self, incident: Incident) -> str:
        """Have a report made; its id. Returns at once."""
        report_id: str = self._get().file(incident)
        return report_id

    def completed(self, report_id: str, *, status: int, age: float) -> None:
        """The request of a report went on, and is over after `age` seconds."""
        follow_up = getattr(self._get(), "follow_up", None)
        if follow_up is None:
            self._write(f"HARAKIRI: the request of report {report_id} has ended after {age:.1f} s, status {status}")
        else:
            follow_up(report_id, outcome="completed", status=status, age=age)

    def catch_up(self) -> None:
        """Deliver the reports of workers that are gone."""
        self._get().catch_up()

    def drain(self, timeout: float) -> None:
        """Wait until all reports are delivered, at most `timeout` seconds."""
        drain = getattr(self._filing, "drain", None)
        if drain is not None:
            drain(timeout)

    def _get(self) -> Any:
        with self._loading:  # the watchdog's thread and the one of a worker that has just started
            if self._filing is None:
                filing = import_module(_FILING)
                self._filing = filing.Filing(self._settings, self._write, aside=self._aside)
            return self._filing


def _is_not_reported(event: Any, hint: Any) -> Any:
    """For Sentry, whose WSGI middleware captures what leaves the application: of a timeout it gets the report.

    None drops the event. The report is an event without an exception object.
    """
    kind = (hint.get("exc_info") or (None,))[0]
    return None if isinstance(kind, type) and issubclass(kind, HarakiriTimeout) else event
