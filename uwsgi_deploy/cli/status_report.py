"""What `status` shows: a table for people on a terminal, `name=value` lines for scripts. Pure: from the reply's data.

The data is that of `master.status`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Data = Mapping[str, Any]

RIGHT = frozenset({"ID", "PID", "GEN", "AGE", "REQUESTS", "ERRORS", "MEMORY"})
LONGEST_REQUEST = 60


def table(data: Data, *, now: float) -> str:
    """For a terminal. now: unix seconds."""
    workers = data["workers"]
    serving = sum(worker["state"] in ("idle", "busy") for worker in workers)
    lines = [
        f"uwsgi-deploy {data['version']} (pid {data['pid']}) is {data['state']}, up {duration(data['uptime'])}, "
        f"generation {data['generation']}: {serving} of {data['processes']} workers serve, {data['requests']} requests",
    ]
    lines += [f"  {listener['protocol']:<5} {listener['name']}{_queue(listener)}" for listener in data["listeners"]]
    lines += [
        f"  uWSGI {router['kind']} {router['id']} (pid {router['pid']}) is {router['state']}, {size(router['rss'])}"
        for router in data.get("routers", ())
    ]
    lines += _reloads(data)
    lines.append("")
    rows: list[tuple[str, ...]] = [("ID", "PID", "STATE", "GEN", "AGE", "REQUESTS", "ERRORS", "MEMORY", "NOW")]
    rows += [_row(worker, now) for worker in workers]
    return "\n".join([*lines, *aligned(rows, RIGHT)])


def _reloads(data: Data) -> Iterator[str]:
    reload, last = data.get("reload"), data.get("last_reload")
    if reload:
        yield f"  a {reload['kind']} is under way: {reload['stage']}"
    elif last and not last["ok"]:
        yield f"  the last reload failed: {printable(last['message'])}"


def _queue(listener: Data) -> str:
    if listener["queue"] is None:
        return ""
    return f"  {listener['queue']} of {listener['max_queue']} wait in the queue"


def _row(worker: Data, now: float) -> tuple[str, ...]:
    running = worker["running"]
    request = ""
    if running:
        oldest = max(running, key=lambda request: float(request["seconds"]))
        uri = printable(oldest["uri"])
        uri = uri if len(uri) <= LONGEST_REQUEST else uri[: LONGEST_REQUEST - 1] + "…"
        request = f"{printable(oldest['method'])} {uri} ({duration(oldest['seconds'])}{_deadline(oldest)})"
        request += f" +{len(running) - 1}" if len(running) > 1 else ""
    return (
        str(worker["id"]),
        str(worker["pid"] or "-"),
        worker["state"],
        str(worker["generation"]),
        duration(now - worker["started"]) if worker["started"] else "-",
        str(worker["total_requests"]),
        str(worker["exceptions"]),
        size(worker["rss"]),
        request,
    )


def _deadline(running: Data) -> str:
    left = running.get("harakiri")
    return "" if left is None else f", harakiri in {duration(left)}"


def printable(text: str) -> str:
    """A client's words, without what would move a terminal's cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)


def aligned(rows: Sequence[tuple[str, ...]], right: frozenset[str]) -> Iterator[str]:
    """Lines of a table. The first row has the titles; columns of those in `right` are flush right."""
    header = rows[0]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        cells = [
            f"{cell:>{width}}" if title in right else f"{cell:<{width}}"
            for cell, width, title in zip(row, widths, header, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def plain(data: Data) -> str:
    """For scripts: a line for each fact, and one for each worker, template and listener."""
    return "\n".join(_plain(data))


def _plain(data: Data) -> Iterator[str]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from (f"{name}_{part}={detail}" for part, detail in value.items())
        elif not isinstance(value, list):
            yield f"{name}={'' if value is None else value}"
    for title in ("worker", "template", "router", "listener"):
        for entry in data.get(f"{title}s", ()):
            facts = {name: len(value) if isinstance(value, list) else value for name, value in entry.items()}
            yield f"{title} " + " ".join(f"{name}={'' if value is None else value}" for name, value in facts.items())


def duration(seconds: float) -> str:
    """`0.3 s`, `42 s`, `5 min`, `3 h 20 min`, `4 d 2 h`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def size(octets: int) -> str:
    """`15.4 MB`, with 1 MB = 2^20 bytes; a process of less than that shows its hundredths."""
    return f"{octets / (1 << 20):.1f} MB"
