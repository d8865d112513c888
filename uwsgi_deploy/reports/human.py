"""A report as a person reads it in the log: uWSGI's first line, which alerts look for, and at most 40 lines.

Everything that came from outside is escaped, so that no request can write a line of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from uwsgi_deploy.logs.access import escape
from uwsgi_deploy.reports.redaction import uri
from uwsgi_deploy.reports.report import Report, unix_time

MOST_LINES = 40
_MOST_WIDTH = 400
_FRAMES = 9
_FRAMES_OF_OTHERS = 2
_OTHERS = 3
_IN_FLIGHT = 3
# Blocks with stacks about the same fault within the hour. The log is to stay readable when all requests are late.
_TELLING = 10
_STAGES = {"soft": "is slow and goes on", "deadline": "was ended at its deadline"}
_WENT_ON = frozenset({"continues", "completed"})
_USERS = "uwsgi.set_user_harakiri"


def text(report: Report) -> str:
    """The block, without a newline at the end."""
    first, *lines = _lines(report)
    *middle, last = lines
    shown = [first, *middle[: MOST_LINES - 2], last]
    return "\n".join(escape(line[:_MOST_WIDTH]) for line in shown)


def record(report: Report) -> str:
    """One line of JSON."""
    return json.dumps({"event": "harakiri", **report}, ensure_ascii=True, default=str)


def summary(report: Report) -> str:
    """One sentence, for subjects and titles."""
    request, timing = report["request"], report["timing"]
    what = escape(f"{request['method']} {request['path']}")
    waiting = report["waiting_on"]
    where = f", {waiting['kind']}: {escape(waiting['place'])}" if waiting else ""
    stage = {"soft": "slow", "deadline": "over its deadline", "hard": "stuck"}[report["kind"]]
    return f"HARAKIRI: {what} {stage} after {timing['elapsed']:.1f} s{where}"[:_MOST_WIDTH]


def stack_text(frames: list[dict[str, Any]]) -> str:
    """A stack in the form of a Python traceback, the outermost call first."""
    lines = ["Traceback (most recent call last):"]
    for frame in reversed(frames):
        lines += _frame_lines(frame, indent="  ")
    return "\n".join(escape(line) for line in lines)


def _lines(report: Report) -> Iterator[str]:
    yield from _head(report)
    yield from _facts(report)
    if (report.get("repeats") or {}).get("count", 0) < _TELLING:
        yield from _stack(report)
        yield from _others(report)
    else:
        yield "  stack     in the report: this is about the same as before"
    worker = report["worker"]
    if report["kind"] == "hard":
        kind = "(user) " if report["timing"]["limit_origin"] == _USERS else ""
        yield f"HARAKIRI {kind}triggered by worker {worker['id']} core {worker['core']} !!!"
    else:
        yield f"HARAKIRI end of report {report['id']}"


def _head(report: Report) -> Iterator[str]:
    worker, request, timing = report["worker"], report["request"], report["timing"]
    who, client = f"(pid: {worker['pid']}", request["client"] or "a Unix socket"
    if report["kind"] == "hard":
        graceful = "yes" if report["graceful"] else "no"
        yield f"*** HARAKIRI ON WORKER {worker['id']} {who}, try: {report['attempt']}, graceful: {graceful}) ***"
    else:
        went_on = report["kind"] == "deadline" and report["outcome"] in _WENT_ON  # it caught a `deadline()` of its own
        stage = "has passed a deadline and goes on" if went_on else _STAGES[report["kind"]]
        yield f"*** HARAKIRI: a request on worker {worker['id']} {who}) {stage} ***"
    yield (
        f"HARAKIRI: {_what(report)} from {client} has run for {timing['elapsed']:.1f} s on core {worker['core']} "
        f"of worker {worker['id']} {who}); {timing['limit_origin']} allows {round(timing['limit'], 1):g} s"
    )
    since = int(unix_time(report) - timing["elapsed"])
    yield f"HARAKIRI [core {worker['core']}] {client} - {_what(report)} since {since}"


def _what(report: Report) -> str:
    request = report["request"]
    return f"{request['method']} {uri(request['path'], request['query'])}"


def _facts(report: Report) -> Iterator[str]:
    worker, request, timing = report["worker"], report["request"], report["timing"]
    follows = f", follows {report['follows']}" if report["follows"] else ""
    yield f"  report    {report['id']} ({report['kind']}, {report['outcome']}{follows})"
    named = {"id": request["id"], "route": request["route"], "view": request["view"], "user": request["user"]}
    known = [f"{name} {value}" for name, value in named.items() if value not in ("", None)]
    known.append(f"phase {request['phase']}, sent {request['bytes_sent']} bytes")
    yield f"  request   {', '.join(known)}"
    times = [f"{name} {timing[key]:g} ms" for name, key in (("queue", "queue_ms"), ("body", "body_ms")) if timing[key]]
    yield f"  timing    {', '.join([*times, 'application {:.1f} s'.format(timing['elapsed'])])}"
    culprit = report["culprit"]
    if culprit:
        yield f"  culprit   {culprit['file']}:{culprit['line']} in {culprit['function']}"
        if culprit["code"]:
            yield f"              {culprit['code']}"
    waiting = report["waiting_on"]
    if waiting:
        target = f" ({waiting['target']})" if waiting["target"] else ""
        yield f"  waits on  {waiting['kind']}: {waiting['place']}{target}"
    yield from _database_lines(report["db"])
    yield f"  hint      {report['hint']}"
    size = f", {worker['rss'] / 1e6:.0f} MB" if worker.get("rss") else ""
    served = f", {worker['requests']:g} requests" if worker.get("requests") else ""
    busy = report["concurrency"]
    cores = f"{busy['busy']} of {busy['cores']} cores of the server are busy"
    yield f"  worker    {worker['engine']}{served}{size}; {cores}"
    for other in busy["in_flight"][:_IN_FLIGHT]:
        yield f"              {other['age']:.1f} s {other['method']} {other['uri']} on worker {other['worker']}"
    repeats = report.get("repeats") or {}
    if repeats.get("count"):
        yield f"  repeats   {repeats['count']} times before within the hour, first at {repeats['first']}"
    for name, value in report["kernel"].items():
        yield f"HARAKIRI: -- {name}> {value}"


def _database_lines(database: dict[str, Any]) -> Iterator[str]:
    if database["count"] or database["running"]:
        yield f"  database  {database['count']} statements before, {database['spent']:.3f} s"
    for call in database["running"][:2]:
        yield f"              {call['elapsed']} s in {call['target']}: {call['text']}"


def _stack(report: Report) -> Iterator[str]:
    frames = report["stack"]
    if not frames:
        yield "  stack     none could be had (it hangs in the kernel, or is suspended)"
        return
    yield f"  stack, most recent call first ({', '.join(report['capture']) or 'unknown source'}):"
    for frame in frames[:_FRAMES]:
        yield from _frame_lines(frame, indent="    ")
    if len(frames) > _FRAMES:
        yield f"    ... {len(frames) - _FRAMES} more"


def _others(report: Report) -> Iterator[str]:
    others = report["other_threads"]
    for stack in others[:_OTHERS]:
        names = f"{stack['count']} others" if stack["count"] > 1 else stack["names"][0]
        yield f"  beside it {names}:"
        for frame in stack["frames"][:_FRAMES_OF_OTHERS]:
            yield f"    {frame['file']}:{frame['line']} in {frame['function']}"
    if len(others) > _OTHERS:
        yield f"  and {len(others) - _OTHERS} different ones more in the report"


def _frame_lines(frame: dict[str, Any], *, indent: str) -> Iterator[str]:
    yield f'{indent}File "{frame["file"]}", line {frame["line"]} in {frame["function"]}'
    if frame["code"] and frame["in_app"]:
        yield f"{indent}  {frame['code']}"
