"""What a report is (docs/harakiri-report.md), and what is asked of one in more than one place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeAlias

SCHEMA = "uwsgi.harakiri/1"

Report: TypeAlias = dict[str, Any]
"""Plain values, as JSON has them, under the names of docs/harakiri-report.schema.json."""


def timestamp(at: float) -> str:
    """Unix time as a report has it: RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix_time(report: Report) -> float:
    """When the report was made."""
    try:
        return datetime.fromisoformat(report["time"]).timestamp()
    except (KeyError, TypeError, ValueError):  # a file that somebody wrote by hand
        return 0.0


def culprit_of(report: Report) -> str:
    """The function that is to blame, `file:function`; empty where no stack could be had. Lines are left out: in a loop
    they differ from time to time."""
    culprit = report.get("culprit")
    # Stacks that are taken from outside do not tell a function's class.
    return f"{culprit['file']}:{culprit['function'].rpartition('.')[2]}" if isinstance(culprit, dict) else ""


def key_of(report: Report) -> str:
    """What is the same in reports of the same fault."""
    request = report.get("request") or {}
    return f"{request.get('route') or request.get('path')} {culprit_of(report)}"
