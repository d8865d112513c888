"""OpenTelemetry, where the application uses its SDK: a span of the request's trace with an exception event.

The server's own span belongs to the request's thread, which may never come back to end it; so this is a child of it,
or, when the report comes late, a span that links to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from uwsgi_deploy.reports import human
from uwsgi_deploy.reports.report import Report, culprit_of, unix_time
from uwsgi_deploy.reports.sinks.sink import Sink

_FLUSH_MILLISECONDS = 1000
_SECONDS = 4.0
_NANOSECONDS = 1_000_000_000


def find(_wanted: frozenset[str]) -> Sink | None:
    """None where no SDK is loaded, or it has not been told where spans go."""
    trace, sdk = sys.modules.get("opentelemetry.trace"), sys.modules.get("opentelemetry.sdk.trace")
    if trace is None or sdk is None or not isinstance(trace.get_tracer_provider(), sdk.TracerProvider):
        return None

    def send(report: Report, _write: Callable[[str], None]) -> None:
        provider = trace.get_tracer_provider()
        record(report, trace, provider)
        provider.force_flush(_FLUSH_MILLISECONDS)

    return Sink("OpenTelemetry", _SECONDS, send)


def record(report: Report, trace: Any, provider: Any) -> None:
    """Record the span. trace: the module `opentelemetry.trace`; provider: a TracerProvider."""
    request = report["request"]
    began = int((unix_time(report) - report["timing"]["elapsed"]) * _NANOSECONDS)
    ended = int(unix_time(report) * _NANOSECONDS)
    parent = _parent(request["traceparent"], trace)
    is_late = bool(report.get("delivered_late"))
    links = [trace.Link(parent)] if parent is not None and is_late else []
    context = None
    if parent is not None and not is_late:
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    tracer = provider.get_tracer("uwsgi_deploy")
    span = tracer.start_span(
        f"HARAKIRI {request['method']} {request['route'] or request['path']}",
        context=context,
        links=links,
        start_time=began,
        attributes=_attributes(report),
    )
    message = human.summary(report)
    span.add_event(
        "exception",
        {
            "exception.type": "uwsgi_deploy.errors.HarakiriTimeout",
            "exception.message": message,
            "exception.stacktrace": human.stack_text(report["stack"]),
            "exception.escaped": report["kind"] != "soft",
        },
        timestamp=ended,
    )
    if report["kind"] != "soft":
        span.set_status(trace.Status(trace.StatusCode.ERROR, message))
    span.end(end_time=ended)


def _attributes(report: Report) -> dict[str, str | int | float]:
    request, worker = report["request"], report["worker"]
    found: dict[str, str | int | float | None] = {
        "http.route": request["route"],
        "http.request.method": request["method"],
        "url.path": request["path"],
        "url.scheme": request["scheme"],
        "client.address": request["client"],
        "error.type": "timeout",
        "uwsgi.harakiri.id": report["id"],
        "uwsgi.harakiri.kind": report["kind"],
        "uwsgi.harakiri.outcome": report["outcome"],
        "uwsgi.harakiri.limit": report["timing"]["limit"],
        "uwsgi.harakiri.culprit": culprit_of(report),
        "uwsgi.harakiri.waiting_on": (report["waiting_on"] or {}).get("kind"),
        "uwsgi.worker.id": worker["id"],
        "process.pid": worker["pid"],
    }
    if report["kind"] != "soft" and report["outcome"] == "answered_504":
        found["http.response.status_code"] = 504
    return {name: value for name, value in found.items() if value not in (None, "")}


def _parent(traceparent: str | None, trace: Any) -> Any:
    """The span that a `traceparent` names (https://www.w3.org/TR/trace-context/), None without a valid one."""
    parts = (traceparent or "").split("-")
    try:
        trace_id, span_id, flags = int(parts[1], 16), int(parts[2], 16), int(parts[3], 16)
    except (IndexError, ValueError):
        return None
    context = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
    return context if context.is_valid else None
