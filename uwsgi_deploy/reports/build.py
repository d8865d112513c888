"""From the facts about a late request to its report: a dictionary of plain values as JSON has them, no secrets.

Reads source files of the stack and /proc; knows the time only from the incident. What is in the report is described by
docs/harakiri-report.schema.json.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from io import BytesIO
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.reports import surroundings
from uwsgi_deploy.reports.hints import hint
from uwsgi_deploy.reports.incident import Frame, Incident, InFlight
from uwsgi_deploy.reports.notes import Call, RequestNotes
from uwsgi_deploy.reports.redaction import REDACTED, Redactor, uri
from uwsgi_deploy.reports.report import SCHEMA, Report, timestamp
from uwsgi_deploy.reports.stacks import (
    SourceLines,
    Territory,
    collapsed,
    culprit,
    frame_fields,
    in_request,
    stack_fields,
)
from uwsgi_deploy.reports.waiting import waiting_on

MOST_IN_FLIGHT = 100
_MOST_HEADERS = 60
_MOST_TEXT = 300

# Headers whose values are worth reading and no secret. Of the others a report has the names.
_SHOWN_HEADERS = """
    accept accept-encoding accept-language cache-control connection dnt expect forwarded host if-modified-since
    if-none-match origin pragma range referer te traceparent transfer-encoding upgrade user-agent via x-forwarded-for
    x-forwarded-host x-forwarded-port x-forwarded-proto x-real-ip x-requested-with x-request-id x-request-start
"""
SHOWN_HEADERS = frozenset(f"HTTP_{name.upper().replace('-', '_')}" for name in _SHOWN_HEADERS.split())
_REQUEST_IDS = ("HTTP_X_REQUEST_ID", "HTTP_X_CORRELATION_ID", "HTTP_X_AMZN_TRACE_ID", "HTTP_CF_RAY")
# Where OpenTelemetry's instrumentation of Django and Flask leaves the request's span.
_SPANS = ("opentelemetry-instrumentor-django.span_key", "opentelemetry-flask.span_key")
_QUEUED_SINCE = re.compile(r"(?:t=)?(\d{9,}(?:\.\d+)?)")


def build(report_id: str, incident: Incident, settings: Settings) -> Report:
    """The report."""
    if incident.notes is None and incident.environ is not None:
        found = incident.environ.get("uwsgi.notes")
        if isinstance(found, RequestNotes):
            incident = replace(incident, notes=found.snapshot())
    notes = incident.notes or RequestNotes()
    environ = incident.environ or {}
    redactor = Redactor(notes.redact)
    territory = Territory(_package(settings))
    sources = SourceLines()
    stack = in_request(incident.victim.frames) if incident.victim is not None else ()
    guilty = culprit(stack, territory)
    waiting = waiting_on(incident, stack, territory, sources, redactor)
    report: Report = {
        "schema": SCHEMA,
        "id": report_id,
        "time": timestamp(incident.at),
        "kind": incident.kind.value,
        "outcome": incident.outcome.value,
        "follows": incident.follows or None,
        "attempt": incident.attempt,
        "graceful": incident.graceful,
        "host": os.uname().nodename,
        "instance": surroundings.instance(os.environ),
        "service": surroundings.service(os.environ, _package(settings)),
        "version": surroundings.version(os.environ),
        "worker": _worker(incident),
        "request": _request(incident, notes, environ, redactor),
        "timing": _timing(incident, settings, environ),
        "culprit": frame_fields(guilty, territory, sources) if guilty is not None else None,
        "waiting_on": waiting.fields() if waiting is not None else None,
        "hint": hint(incident, waiting, _function(guilty)),
        "stack": stack_fields(stack, territory, sources),
        "other_threads": collapsed(incident.others, territory, redactor),
        "db": _database(notes, redactor),
        "calls": _calls(notes, redactor),
        "concurrency": _concurrency(incident, settings, redactor),
        "config": _config(settings),
        "kernel": dict(incident.kernel),
        "capture": list(incident.capture),
    }
    report["redaction"] = redactor.summary()
    return report


def _package(settings: Settings) -> str:
    """The top-level package of the application."""
    named = settings.application.module.partition(":")[0].partition(".")[0]
    return named if named.isidentifier() else ""


def _function(frame: Frame | None) -> str:
    return "" if frame is None else f"{os.path.basename(frame.file)} {frame.function}"


def _worker(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.wid,
        "pid": incident.pid,
        "core": incident.core,
        "engine": incident.engine,
        "generation": incident.generation,
        "hub_blocked": round(incident.hub_blocked, 3),
        **surroundings.process_facts(incident.pid),
        **incident.worker,
    }


def _request(incident: Incident, notes: RequestNotes, environ: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    path, _, query = incident.uri.partition("?")
    length = str(environ.get("CONTENT_LENGTH") or "")
    body = environ.get("wsgi.input")
    return {
        "id": next((_text(environ[name]) for name in _REQUEST_IDS if environ.get(name)), ""),
        "traceparent": _traceparent(environ),
        "method": incident.method,
        "scheme": _text(environ.get("wsgi.url_scheme")),
        "host": _text(environ.get("HTTP_HOST")),
        "path": redactor.path(path),
        "query": redactor.query(query),
        "route": notes.route or incident.route or notes.url_name,
        "url_name": notes.url_name,
        "view": notes.view,
        "framework": notes.framework,
        "user": _user(notes),
        "client": incident.client,
        "user_agent": _text(environ.get("HTTP_USER_AGENT")),
        "headers": _headers(environ, redactor),
        "content_length": int(length) if length.isdigit() else None,
        # Another thread may be in the middle of reading from any other kind of file.
        "bytes_read": body.tell() if type(body) is BytesIO and not body.closed else None,
        "bytes_sent": incident.bytes_sent,
        "status_sent": incident.status or None,
        "phase": incident.phase,
    }


def _text(value: object) -> str:
    return str(value or "")[:_MOST_TEXT]


def _user(notes: RequestNotes) -> int | str | None:
    if notes.user is None:
        return None
    try:
        user = notes.user()
    except Exception:  # the application's own model, halfway through whatever it does
        return None
    return user if user is None or type(user) is int else str(user)[:100]


def _headers(environ: Mapping[str, Any], redactor: Redactor) -> dict[str, str]:
    """All headers by their names in HTTP; values where they are known to be harmless."""
    shown: dict[str, str] = {}
    for name, value in list(environ.items())[:1000]:
        if not isinstance(value, str) or not (name.startswith("HTTP_") or name == "CONTENT_TYPE"):
            continue
        if len(shown) >= _MOST_HEADERS:
            break
        header = name.removeprefix("HTTP_").replace("_", "-").title()[:100]
        if name in SHOWN_HEADERS or (name == "CONTENT_TYPE"):
            shown[header] = redactor.value(name, value)[:_MOST_TEXT]
        else:
            redactor.count += 1
            shown[header] = REDACTED
    return shown


def _traceparent(environ: Mapping[str, Any]) -> str:
    """The request's place in its trace: of the server's own span, where one was begun, else the caller's."""
    for name in _SPANS:
        span = environ.get(name)
        if span is not None:
            try:
                context = span.get_span_context()
                return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
            except Exception:  # another version of a library that is not ours
                continue
    return _text(environ.get("HTTP_TRACEPARENT"))


def _timing(incident: Incident, settings: Settings, environ: Mapping[str, Any]) -> dict[str, Any]:
    began = incident.at - incident.age
    queue, source = incident.queue, "accept"
    sent = _queued_since(str(environ.get("HTTP_X_REQUEST_START") or environ.get("HTTP_X_QUEUE_START") or ""))
    if sent is not None and 0 <= began - sent < 86_400:
        queue, source = began - (incident.body or 0.0) - sent, "X-Request-Start"
    soft = float(getattr(settings.harakiri, "soft_harakiri", 0.0) or 0.0)
    return {
        "queue_ms": None if queue is None else round(max(0.0, queue) * 1000, 1),
        "queue_from": source if queue is not None else None,
        "body_ms": None if incident.body is None else round(incident.body * 1000, 1),
        "app_ms": round(incident.age * 1000, 1),
        "elapsed": round(incident.age, 3),
        "limit": incident.limit,
        "limit_origin": incident.limit_origin,
        "began": timestamp(began),
        "deadline": timestamp(began + incident.limit),
        "soft_at": timestamp(began + soft) if soft > 0 else None,
    }


def _queued_since(header: str) -> float | None:
    """Unix time from a router's header: seconds (`t=` before them), milli- or microseconds; None for anything else."""
    found = _QUEUED_SINCE.fullmatch(header.strip())
    if found is None:
        return None
    instant = float(found[1])
    for factor in (1.0, 1e3, 1e6, 1e9):
        if 1e9 <= instant / factor < 1e10:
            return instant / factor
    return None


def _database(notes: RequestNotes, redactor: Redactor) -> dict[str, Any]:
    calls = [_call(call, notes.seen, redactor) for call in notes.running if call.kind == "database"]
    last = notes.last if notes.last is not None and notes.last.kind == "database" else None
    return {
        "count": notes.counts.get("database", 0),
        "spent": round(notes.spent.get("database", 0.0), 3),
        "running": calls,
        "last": _call(last, notes.seen, redactor) if last is not None else None,
    }


def _calls(notes: RequestNotes, redactor: Redactor) -> dict[str, Any]:
    """Everything else that was noted."""
    kinds = sorted(({*notes.counts} | {call.kind for call in notes.running}) - {"database"})
    return {
        kind: {
            "count": notes.counts.get(kind, 0),
            "spent": round(notes.spent.get(kind, 0.0), 3),
            "running": [_call(call, notes.seen, redactor) for call in notes.running if call.kind == kind],
        }
        for kind in kinds
    }


def _call(call: Call, now: float, redactor: Redactor) -> dict[str, Any]:
    is_sql = call.kind == "database"
    ended = call.ended or now
    return {
        "target": redactor.call(call.target),
        "text": redactor.statement(call.text, vendor=call.target) if is_sql else redactor.call(call.text),
        "elapsed": round(max(0.0, ended - call.started), 3) if ended else None,
    }


def _concurrency(incident: Incident, settings: Settings, redactor: Redactor) -> dict[str, Any]:
    cores = int(incident.worker.get("cores", settings.workers.threads)) * settings.workers.processes
    others = sorted(incident.in_flight, key=lambda request: -request.age)
    return {
        "busy": len(others) + 1,
        "cores": cores,
        "in_flight": [_in_flight(request, redactor) for request in others[:MOST_IN_FLIGHT]],
    }


def _in_flight(request: InFlight, redactor: Redactor) -> dict[str, Any]:
    path, _, query = request.uri.partition("?")
    return {
        "worker": request.wid,
        "core": request.core,
        "method": request.method,
        "uri": uri(redactor.path(path), redactor.query(query)),
        "route": request.route,
        "age": round(request.age, 3),
    }


def _config(settings: Settings) -> dict[str, Any]:
    """The options about late requests, and where they were set."""
    origins = dict(settings.origins)
    found = {}
    for field in fields(settings.harakiri):
        if "harakiri" in field.name:
            name = field.name.replace("_", "-")
            value = getattr(settings.harakiri, field.name)
            found[name] = {
                "value": list(value) if isinstance(value, tuple) else value,
                "origin": origins.get(name) or "default",
            }
    return found
