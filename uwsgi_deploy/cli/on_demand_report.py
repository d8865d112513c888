"""What `inflight` and `dump` show: a table on a terminal, tab-separated lines in a pipe, stacks. Pure.

The data is that of `master.on_demand`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from uwsgi_deploy.cli.status_report import aligned, duration, printable
from uwsgi_deploy.shared.stack_text import OWN_THREAD

Data = Mapping[str, Any]

COLUMNS = ("age", "limit", "worker", "pid", "core", "phase", "method", "uri", "route", "client")
RIGHT = frozenset({"AGE", "LEFT", "WORKER", "PID", "CORE"})
LONGEST_URI = 70
# Of one stack, on a terminal: recursion shows thousands of equal lines.
MOST_FRAMES = 60


def table(data: Data) -> str:
    """For a terminal."""
    requests = data["requests"]
    if not requests:
        return "no request runs" if not data["total"] else f"{data['total']} requests run"
    rows = [("AGE", "LEFT", "WORKER", "PID", "CORE", "PHASE", "REQUEST", "ROUTE", "CLIENT")]
    rows += [
        (
            duration(row["age"]),
            left(row["limit"]),
            str(row["worker"]),
            str(row["pid"]),
            str(row["core"]),
            row["phase"],
            _shortened(f"{printable(row['method'])} {printable(row['uri'])}"),
            printable(row["route"]) or "-",
            printable(row["client"]) or "-",
        )
        for row in requests
    ]
    lines = list(aligned(rows, RIGHT))
    if data["total"] > len(requests):
        lines.append(f"({len(requests)} of {data['total']}, the oldest; more with --limit)")
    return "\n".join(lines)


def plain(data: Data) -> str:
    """For scripts: a line with tabs for each request, in the order of `COLUMNS`; nothing when nothing runs."""
    return "".join("\t".join(_field(row[column]) for column in COLUMNS) + "\n" for row in data["requests"])


def _field(value: object) -> str:
    return "" if value is None else printable(str(value))


def left(limit: float | None) -> str:
    """Until the deadline."""
    if limit is None:
        return "-"
    return duration(limit) if limit > 0 else "over"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_URI else text[: LONGEST_URI - 1] + "…"


def stacks(workers: Sequence[Data], *, with_idle: bool) -> str:
    """All workers with their requests and stacks."""
    return "\n\n".join("\n".join(_worker(worker, with_idle=with_idle)) for worker in workers) or "no worker runs"


def _worker(worker: Data, *, with_idle: bool) -> Iterator[str]:
    requests = {row["core"]: row for row in worker["requests"]}
    where = f", waits in {worker['waits_in']}" if worker["waits_in"] and worker["note"] else ""
    yield (
        f"worker {worker['id']} (pid {worker['pid']}, generation {worker['generation']}): "
        f"{len(requests)} request{'' if len(requests) == 1 else 's'}{where}"
    )
    if worker["note"]:
        yield f"  *** {worker['note']}"
    idle = 0
    shown: set[int] = set()
    stacks = [*worker["stacks"], None]
    for stack, following in pairwise(stacks):
        row = requests.get(stack["core"])
        if row is None and not with_idle and (stack["core"] is not None or stack["name"] == OWN_THREAD):
            idle += stack["core"] is not None
            continue
        if row is not None:
            shown.add(row["core"])
        yield f"  {stack['name']}{'' if row is None else _told(row)}{', idle' if _is_idle(stack, row) else ''}"
        if row is not None and following is not None and following["frames"] == stack["frames"]:
            continue  # greenlets at the same place: it is told once, below the last of them
        yield from (
            f'    File "{printable(frame["file"])}", line {frame["line"] or "?"}, in {printable(frame["function"])}'
            for frame in stack["frames"][:MOST_FRAMES]
        )
        if len(stack["frames"]) > MOST_FRAMES:
            yield f"    ... and {len(stack['frames']) - MOST_FRAMES} more frames (--json has them)"
    for core, row in requests.items():
        if core not in shown:
            yield f"  core {core}{_told(row)}: its stack is not among those shown"
    if idle:
        yield f"  {idle} idle core{'s' if idle > 1 else ''}"


def _is_idle(stack: Data, row: Data | None) -> bool:
    return row is None and stack["core"] is not None


def _told(row: Data) -> str:
    route = f", route {printable(row['route'])}" if row["route"] else ""
    limit = "" if row["limit"] is None else f", {left(row['limit'])} left" if row["limit"] > 0 else ", deadline passed"
    what = f"{printable(row['method'])} {printable(row['uri'])}"
    return f": {what} ({duration(row['age'])}, {row['phase']}{limit}{route})"
