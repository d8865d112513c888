"""The reports of late requests that this server keeps, for pages of the application that show them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Protocol

from uwsgi_deploy.config.settings import Settings

_settings: Settings | None = None


class KeptReports(Protocol):
    """A directory of reports (`reports.ring.Ring`)."""

    def reports(self, since: float = 0.0) -> Iterator[dict[str, Any]]:
        """All that can be read, the newest first."""

    def read(self, report_id: str) -> dict[str, Any]:
        """One of them. Raises ServerError when it is not there, or not any more."""


def install(settings: Settings) -> None:
    """This process belongs to a server with these settings."""
    global _settings
    _settings = settings


def kept_reports() -> KeptReports | None:
    """The reports of the server that runs this process; None elsewhere, and where the server keeps none."""
    if _settings is None:
        return None
    # Not at the top: reports are read by few workers, and not often.
    ring = import_module("uwsgi_deploy.reports.ring")
    try:
        kept: KeptReports | None = ring.ring_of(_settings, os.environ)
    except OSError:
        return None
    return kept
