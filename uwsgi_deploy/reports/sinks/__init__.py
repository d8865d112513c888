"""Those who are given each report beside the log and the ring, when they are there and wanted.

A sink runs in a thread or greenlet of its own (`reports.delivery`), where the application's code may run.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from uwsgi_deploy.config.settings.reports import ReportSettings, sinks_of
from uwsgi_deploy.reports.sinks import logger, otel, sentry, signal
from uwsgi_deploy.reports.sinks.sink import Sink


def chosen_sinks(settings: ReportSettings) -> Iterator[Sink]:
    """The sinks for a report that is made now: what the application has set up may change until the next."""
    wanted = sinks_of(settings)
    for name, found in (
        ("logger", logger.find),
        ("signal", signal.find),
        ("sentry", sentry.find),
        ("opentelemetry", otel.find),
    ):
        sink = found(wanted) if name in wanted else None
        if sink is not None:
            yield sink
    if "hook" in wanted:
        # Loaded for those who have one: what speaks HTTP and starts programs is 3 MB.
        for hook in settings.harakiri_hook:
            yield import_module(f"{__name__}.hook").find(hook)
