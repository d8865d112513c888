"""From the facts about a late request to its report: a dictionary of plain values as JSON has them, no secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeAlias

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.reports.incident import Frame, Incident

SCHEMA = "uwsgi.harakiri/1"

Report: TypeAlias = dict[str, Any]


def build(report_id: str, incident: Incident, _settings: Settings) -> Report:
    """The report. Pure but for the clock it is given in the incident."""
    path, _, query = incident.uri.partition("?")
    return {
        "schema": SCHEMA,
        "id": report_id,
        "time": datetime.fromtimestamp(incident.at, UTC).isoformat(timespec="milliseconds"),
        "kind": incident.kind.value,
        "outcome": incident.outcome.value,
        "worker": {"id": incident.wid, "pid": incident.pid, "core": incident.core, "engine": incident.engine},
        "request": {
            "method": incident.method,
            "path": path,
            "query": [part.partition("=")[0] for part in query.split("&") if part],
            "route": incident.route,
            "client": incident.client,
            "phase": incident.phase,
        },
        "timing": {"elapsed": incident.age, "limit": incident.limit, "limit_origin": incident.limit_origin},
        "stack": [_frame(frame) for frame in incident.victim.frames] if incident.victim else [],
        "capture": list(incident.capture),
        "attempt": incident.attempt,
        "graceful": incident.graceful,
    }


def _frame(frame: Frame) -> dict[str, Any]:
    return {"file": frame.file, "line": frame.line, "function": frame.function}
