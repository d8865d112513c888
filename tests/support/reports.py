"""Reports that a server under test has kept (`harakiri-dir`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

Report = dict[str, Any]


def reports_in(directory: Path) -> list[Report]:
    """All of them, the oldest first."""
    return [json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))]


def wait_for_report(directory: Path, path: str, *, timeout: float = 20.0) -> Report:
    """The newest report about a request for `path`, as soon as there is one that has been delivered."""

    def found() -> Report | None:
        about = [report for report in reports_in(directory) if report["request"]["path"] == path]
        return about[-1] if about and about[-1]["delivered"] else None

    report = wait_until(found, timeout, what=f"a delivered report about {path}")
    assert report is not None
    return report
