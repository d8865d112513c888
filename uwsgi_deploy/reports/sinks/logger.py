"""The Python logger `uwsgi.harakiri`: ERROR, WARNING for a soft stage; `record.report` is the report.

The record carries an exception whose text is the whole block, so that a handler which mails or stores only messages and
exceptions (Django's AdminEmailHandler) has all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from uwsgi_deploy.errors import HarakiriTimeout
from uwsgi_deploy.reports import human
from uwsgi_deploy.reports.report import Report
from uwsgi_deploy.reports.sinks.sink import Sink

LOGGER = "uwsgi.harakiri"
_SECONDS = 10.0  # a mail server may be slow


def find(wanted: frozenset[str]) -> Sink | None:
    """None where the application has no handler for it: what Python does then is print it once more."""
    logging = sys.modules.get("logging")  # not imported by the application: not configured either
    if logging is None or not logging.getLogger(LOGGER).hasHandlers():
        return None

    def send(report: Report, _write: Callable[[str], None]) -> None:
        ignored = sys.modules.get("sentry_sdk.integrations.logging")
        if ignored is not None and "sentry" in wanted:
            ignored.ignore_logger(LOGGER)  # it gets the report itself
        error = HarakiriTimeout(human.summary(report), limit=report["timing"]["limit"])
        error.add_note(human.text(report))
        level = logging.WARNING if report["kind"] == "soft" else logging.ERROR
        logging.getLogger(LOGGER).log(
            level, "%s", human.summary(report), exc_info=(HarakiriTimeout, error, None), extra={"report": report}
        )

    return Sink(f"logger {LOGGER}", _SECONDS, send)
