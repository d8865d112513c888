"""A report as a person reads it in the log: uWSGI's first line, which alerts look for, and at most 40 lines."""

from __future__ import annotations

from collections.abc import Iterator

from uwsgi_deploy.logs.access import escape
from uwsgi_deploy.reports.build import Report

MOST_LINES = 40
_STAGES = {"soft": "is slow", "deadline": "is over its deadline"}


def text(report: Report) -> str:
    """The block, without a newline at the end."""
    lines = [escape(line) for line in (*_head(report), *_stack(report))]
    return "\n".join(lines[:MOST_LINES])


def _head(report: Report) -> Iterator[str]:
    worker, request, timing = report["worker"], report["request"], report["timing"]
    who, client = f"(pid: {worker['pid']}", request["client"] or "a Unix socket"
    if report["kind"] == "hard":
        graceful = "yes" if report["graceful"] else "no"
        yield f"*** HARAKIRI ON WORKER {worker['id']} {who}, try: {report['attempt']}, graceful: {graceful}) ***"
    else:
        yield f"*** HARAKIRI: a request on worker {worker['id']} {who}) {_STAGES[report['kind']]} ***"
    query = "?" + "&".join(f"{key}=…" for key in request["query"]) if request["query"] else ""
    yield (
        f"HARAKIRI: {request['method']} {request['path']}{query} from {client} has run for "
        f"{timing['elapsed']:.1f} s on core {worker['core']} of worker {worker['id']} {who}); "
        f"{timing['limit_origin']} allows {round(timing['limit'], 1):g} s"
    )
    yield f"  report    {report['id']} ({report['kind']}, {report['outcome']})"


def _stack(report: Report) -> Iterator[str]:
    if report["stack"]:
        yield "  stack, most recent call first:"
    for frame in report["stack"]:
        yield f'    File "{frame["file"]}", line {frame["line"]}, in {frame["function"]}'
