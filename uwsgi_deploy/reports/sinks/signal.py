"""Functions of the application's and of the framework adapters, each by itself (`callbacks.on_report`)."""

from __future__ import annotations

from collections.abc import Callable

from uwsgi_deploy.reports.callbacks import callbacks
from uwsgi_deploy.reports.report import Report
from uwsgi_deploy.reports.sinks.sink import Sink

_SECONDS = 10.0


def find(_wanted: frozenset[str]) -> Sink | None:
    """None while nobody wants to be called."""
    return Sink("on_report", _SECONDS, _call_all) if callbacks() else None


def _call_all(report: Report, write: Callable[[str], None]) -> None:
    for callback in callbacks():
        try:
            callback(report)
        except Exception as error:  # the application's own; the next one is to be called all the same
            name = getattr(callback, "__qualname__", None) or repr(callback)
            write(f"HARAKIRI: {name} has failed with report {report['id']}: {error!r}")
