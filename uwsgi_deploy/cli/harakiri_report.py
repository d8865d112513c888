"""What `harakiri list` shows: a table on a terminal, tab-separated lines in a pipe. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from uwsgi_deploy.cli.status_report import aligned, duration, printable

Row = Mapping[str, Any]

COLUMNS = ("id", "time", "kind", "outcome", "worker", "elapsed", "method", "path", "route", "culprit")
RIGHT = frozenset({"WORKER", "AFTER"})
SHORTEST_ID = 8
LONGEST_CELL = 50


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a report: plain values, "" for what it does not say. elapsed: seconds."""
    request = report.get("request") or {}
    return {
        "id": report["id"],
        "time": report.get("time", ""),
        "kind": report.get("kind", ""),
        "outcome": report.get("outcome", ""),
        "worker": (report.get("worker") or {}).get("id", ""),
        "elapsed": (report.get("timing") or {}).get("elapsed", 0.0),
        "method": request.get("method", ""),
        "path": request.get("path", ""),
        "route": request.get("route") or "",
        "culprit": culprit(report),
    }


def culprit(report: Mapping[str, Any]) -> str:
    """`views.py:41 in yearly`, or nothing."""
    frame = report.get("culprit") or {}
    if not frame.get("file"):
        return ""
    return f"{os.path.basename(frame['file'])}:{frame.get('line', '?')} in {frame.get('function', '?')}"


def table(rows: Sequence[Row], ids: Sequence[str], directory: str) -> str:
    """For a terminal. ids: of all reports, so that those shown are long enough to be told apart."""
    if not rows:
        return f"there are no reports in {directory}"
    size = shortest(ids)
    cells = [("ID", "TIME", "KIND", "OUTCOME", "WORKER", "AFTER", "REQUEST", "ROUTE", "CULPRIT")]
    cells += [
        (
            row["id"][:size],
            local(row["time"]),
            row["kind"],
            row["outcome"],
            str(row["worker"]),
            duration(float(row["elapsed"])),
            _cut(f"{row['method']} {row['path']}"),
            _cut(row["route"]) or "-",
            _cut(row["culprit"]) or "-",
        )
        for row in rows
    ]
    lines = list(aligned(cells, RIGHT))
    if len(ids) > len(rows):
        lines.append(f"({len(rows)} of {len(ids)}, the newest; more with --limit)")
    return "\n".join(lines)


def plain(rows: Sequence[Row]) -> str:
    """For scripts: a line with tabs for each report, in the order of `COLUMNS`."""
    return "".join("\t".join(printable(str(row[column])) for column in COLUMNS) + "\n" for row in rows)


def shortest(ids: Sequence[str]) -> int:
    """How many characters tell each of the ids from all others."""
    return max([SHORTEST_ID, *(_common(*pair) + 1 for pair in pairwise(sorted(ids)))])


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))


def local(time: str) -> str:
    """An ISO instant as people here read it."""
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return printable(time)


def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"
