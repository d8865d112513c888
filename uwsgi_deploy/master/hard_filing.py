"""How the master files a report of the hard stage. Loads all about reports; loaded after clients were answered."""

from __future__ import annotations

import os
from dataclasses import replace

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.reports.archive import MasterFiling
from uwsgi_deploy.reports.incident import Incident
from uwsgi_deploy.reports.report import unix_time
from uwsgi_deploy.reports.ring import ring_of

# Two processes tell when a request began, by two clocks; seconds.
_CLOCKS_DIFFER = 0.2


class HardFiling:
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._filing = MasterFiling(settings)

    def file(self, incident: Incident) -> str:
        """Make a report, which names what the worker itself has told of the request; its id. Never raises."""
        return self._filing.file(replace(incident, follows=self._earlier(incident)))

    def _earlier(self, incident: Incident) -> str:
        """The id of an earlier report of the request, or an empty string."""
        started = incident.at - incident.age
        try:
            ring = ring_of(self._settings, os.environ)
        except OSError:
            return ""
        for report in () if ring is None else ring.reports(since=started):
            whose, timing = report.get("worker", {}), report.get("timing", {})
            is_same = (whose.get("pid"), whose.get("core")) == (incident.pid, incident.core)
            if is_same and abs(unix_time(report) - timing.get("elapsed", 0.0) - started) < _CLOCKS_DIFFER:
                return str(report["id"])
        return ""
