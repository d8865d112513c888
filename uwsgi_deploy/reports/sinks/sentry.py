"""Sentry, where the application has initialised it: an event with the stack, one issue for each route and culprit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from uwsgi_deploy.reports import human
from uwsgi_deploy.reports.report import Report, culprit_of, unix_time
from uwsgi_deploy.reports.sinks.sink import Sink

_FLUSH = 2.0
_SECONDS = 5.0
LEVELS = {"soft": "warning", "deadline": "error", "hard": "fatal"}


def find(_wanted: frozenset[str]) -> Sink | None:
    """None where the application does not use it."""
    sdk = sys.modules.get("sentry_sdk")
    if sdk is None or not _is_active(sdk):
        return None

    def send(report: Report, _write: Callable[[str], None]) -> None:
        sdk.capture_event(event_of(report))
        sdk.flush(timeout=_FLUSH)

    return Sink("Sentry", _SECONDS, send)


def _is_active(sdk: Any) -> bool:
    if hasattr(sdk, "get_client"):
        return bool(sdk.get_client().is_active())
    return sdk.Hub.current.client is not None  # version 1


def event_of(report: Report) -> dict[str, Any]:
    """The event, as Sentry's clients send it (https://develop.sentry.dev/sdk/data-model/event-payloads/)."""
    request, culprit = report["request"], culprit_of(report)
    route = request["route"] or request["path"]
    tags = {
        "harakiri.kind": report["kind"],
        "harakiri.outcome": report["outcome"],
        "request_id": request["id"],
        "waiting_on": (report["waiting_on"] or {}).get("kind"),
        "worker": str(report["worker"]["id"]),
    }
    exception = {
        "type": "HarakiriTimeout",
        "value": human.summary(report),
        "module": "uwsgi_deploy.errors",
        "mechanism": {"type": "uwsgi-deploy", "handled": report["kind"] == "soft"},
        "stacktrace": {"frames": _frames(report["stack"])},
    }
    threads = [
        {"id": number, "name": ", ".join(stack["names"][:5]), "stacktrace": {"frames": _frames(stack["frames"])}}
        for number, stack in enumerate(report["other_threads"], 1)
    ]
    event: dict[str, Any] = {
        "event_id": report["id"].replace("-", ""),
        "timestamp": unix_time(report),
        "level": LEVELS.get(report["kind"], "error"),
        "logger": "uwsgi.harakiri",
        "platform": "python",
        "transaction": route,
        "server_name": report["instance"] or report["host"],
        "exception": {"values": [exception]},
        "threads": {"values": threads},
        "fingerprint": ["harakiri", route, culprit],
        "tags": {name: value for name, value in tags.items() if value},
        "request": {
            "method": request["method"],
            "url": f"{request['scheme'] or 'http'}://{request['host'] or ''}{request['path']}",
            "query_string": "&".join(f"{name}={value}" for name, value in request["query"].items()),
        },
        "contexts": {
            "harakiri": {
                name: report[name]
                for name in ("id", "kind", "outcome", "hint", "timing", "waiting_on", "db", "repeats", "concurrency")
            }
        },
    }
    if report["version"]:
        event["release"] = report["version"]
    if request["user"] is not None:
        event["user"] = {"id": request["user"]}
    return event


def _frames(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outermost call first, as Sentry has it."""
    return [
        {
            "filename": frame["file"],
            "abs_path": frame["file"],
            "lineno": frame["line"],
            "function": frame["function"],
            "module": frame["module"] or None,
            "context_line": frame["code"] or None,
            "in_app": frame["in_app"],
        }
        for frame in reversed(frames)
    ]
