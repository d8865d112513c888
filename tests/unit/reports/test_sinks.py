"""The sinks with what they are made for: Django's mail, Sentry, OpenTelemetry, programs, web servers, gevent.

Libraries that change a whole process are used in one of their own.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.unit.reports.incidents import AT, incident
from uwsgi_deploy import settings_from
from uwsgi_deploy.reports import callbacks
from uwsgi_deploy.reports.build import build
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.incident import Kind
from uwsgi_deploy.reports.report import Report
from uwsgi_deploy.reports.sinks import chosen_sinks, hook

REPOSITORY = Path(__file__).parents[3]
ID = new_id(AT)


def report(**fields: Any) -> Report:
    return build(ID, incident(**fields), settings_from(harakiri=30))


def names(**options: Any) -> list[str]:
    return [sink.name for sink in chosen_sinks(settings_from(**options).reports)]


def in_a_process(script: str) -> Any:
    """What a script prints as JSON."""
    beginning = "import json, sys\nfrom tests.unit.reports.incidents import *\n"
    result = subprocess.run(
        [sys.executable, "-c", beginning + script],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


# --- which ----------------------------------------------------------------------------------------------------------


def test_only_what_is_there_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that has set up nothing pays for nothing."""
    found = in_a_process(
        "from uwsgi_deploy import settings_from\n"
        "from uwsgi_deploy.reports.sinks import chosen_sinks\n"
        "names = [sink.name for sink in chosen_sinks(settings_from().reports)]\n"
        "heavy = {'sentry_sdk', 'opentelemetry', 'subprocess', 'ssl', 'http.client', 'uuid'} & {*sys.modules}\n"
        "print(json.dumps([names, list(heavy)]))"
    )
    assert found == [[], []]
    monkeypatch.setattr(callbacks, "_callbacks", [lambda _report: None])
    monkeypatch.setattr(logging.getLogger("uwsgi.harakiri"), "propagate", False)
    assert names(harakiri_hook=["exec:/bin/cat", "https://u:p@x/y?z=1"]) == [
        "on_report",
        "harakiri-hook exec:/bin/cat",
        "harakiri-hook https://x/y?[redacted]",
    ]
    assert names(harakiri_hook=["exec:/bin/cat"], harakiri_sinks="log, hook") == ["harakiri-hook exec:/bin/cat"]
    assert names(harakiri_sinks="off") == []


# --- logging --------------------------------------------------------------------------------------------------------


class Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    logger, handler = logging.getLogger("uwsgi.harakiri"), Keeper()
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.mark.parametrize(("kind", "level"), [(Kind.SOFT, "WARNING"), (Kind.DEADLINE, "ERROR"), (Kind.HARD, "ERROR")])
def test_a_record_for_pythons_logging(keeper: Keeper, kind: Kind, level: str) -> None:
    made = report(kind=kind)
    (sink,) = (sink for sink in chosen_sinks(settings_from().reports) if sink.name.startswith("logger"))
    sink.send(made, print)
    (record,) = keeper.records
    assert (record.name, record.levelname) == ("uwsgi.harakiri", level)
    assert record.getMessage().startswith("HARAKIRI: GET /search ")
    assert record.__dict__["report"] is made
    text = logging.Formatter().format(record)
    assert "uwsgi_deploy.errors.HarakiriTimeout: HARAKIRI: GET /search" in text
    assert 'File "/srv/shop/search.py", line 43 in find' in text


MAIL = """
import django
from django.conf import settings
settings.configure(
    ADMINS=[("Admin", "admin@shop.example")] if django.VERSION < (6, 0) else ["admin@shop.example"],
    EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
    DEBUG=False,
    SECRET_KEY="x",
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"mail": {"class": "django.utils.log.AdminEmailHandler", "level": "ERROR", "include_html": HTML}},
        "loggers": {"uwsgi.harakiri": {"handlers": ["mail"], "level": "INFO"}},
    },
)
django.setup()
from django.core import mail
mail.outbox = []
from uwsgi_deploy import settings_from
from uwsgi_deploy.reports.filing import Filing
lines = []
filing = Filing(settings_from(harakiri_dir="off", harakiri=30), lines.append)
filing.file(incident())
filing.file(incident(kind=Kind.SOFT))
assert filing.drain(60)
print(json.dumps({
    "mails": [[message.subject, message.body, [list(a) for a in message.alternatives]] for message in mail.outbox],
    "lines": [line for line in lines if "failed" in line],
}))
"""


@pytest.mark.parametrize("html", [False, True])
def test_django_mails_its_administrators(html: bool) -> None:
    """One mail that is of use by itself; none for a request that is merely slow."""
    found = in_a_process(MAIL.replace("HTML", str(html)))
    assert found["lines"] == []
    ((subject, body, alternatives),) = found["mails"]
    assert subject.startswith("[Django] ERROR: HARAKIRI: GET /search over its deadline after 30.0 s, database:")
    assert "culprit   /srv/shop/search.py:43 in find" in body
    assert "SELECT * FROM item WHERE name = ? AND price < ?" in body
    assert "hunter2" not in body
    assert bool(alternatives) == html


# --- Sentry ---------------------------------------------------------------------------------------------------------

SENTRY = """
import logging
import sentry_sdk
from sentry_sdk.transport import Transport

events = []

class Keeper(Transport):
    def capture_envelope(self, envelope):
        events.extend(item.payload.json for item in envelope.items if item.payload.json is not None)

logging.basicConfig(stream=open("/dev/null", "w"))
sentry_sdk.init(dsn="http://key@127.0.0.1:1/1", transport=Keeper)
from uwsgi_deploy import settings_from
from uwsgi_deploy.reports.filing import Filing
lines = []
filing = Filing(settings_from(harakiri_dir="off", harakiri=30), lines.append)
report_id = filing.file(incident())
filing.file(incident(kind=Kind.HARD, notes=None, environ=None, victim=None, route="search"))
filing.file(incident(kind=Kind.SOFT))
assert filing.drain(60)
print(json.dumps({"id": report_id, "events": events, "lines": [line for line in lines if "failed" in line]}))
"""


def test_sentry_gets_an_event() -> None:
    """One for each report, also where everything that is logged as an error becomes an event."""
    pytest.importorskip("sentry_sdk")
    found = in_a_process(SENTRY)
    assert found["lines"] == []
    first, second, third = found["events"]
    assert [event["level"] for event in (first, second, third)] == ["error", "fatal", "warning"]
    assert first["event_id"] == found["id"].replace("-", "")
    assert first["fingerprint"] == ["harakiri", "search/", "/srv/shop/search.py:find"]
    assert first["tags"]["request_id"] == "req-7"
    assert first["transaction"] == "search/"
    assert first["user"]["id"] == 17
    (exception,) = first["exception"]["values"]
    assert (exception["type"], exception["mechanism"]["handled"]) == ("HarakiriTimeout", False)
    frames = exception["stacktrace"]["frames"]
    assert [frame["function"] for frame in frames] == ["search", "find"]
    assert all(frame["in_app"] for frame in frames)
    assert first["contexts"]["harakiri"]["hint"].startswith("blocked 24.9 s")
    assert second["fingerprint"] == ["harakiri", "search", ""]
    assert "hunter2" not in json.dumps(found["events"])


# --- OpenTelemetry --------------------------------------------------------------------------------------------------

TRACING = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
trace.set_tracer_provider(provider)
from uwsgi_deploy import settings_from
from uwsgi_deploy.reports import sinks
from uwsgi_deploy.reports.build import build
(sink,) = [sink for sink in sinks.chosen_sinks(settings_from().reports) if sink.name == "OpenTelemetry"]
for late in (False, True):
    made = build("0197-x", incident(), settings_from(harakiri=30))
    if late:
        made["delivered_late"] = True
    sink.send(made, print)
print(json.dumps([json.loads(span.to_json()) for span in exporter.get_finished_spans()]))
"""


def test_opentelemetry_gets_a_span_of_the_requests_trace() -> None:
    """Exported before the worker is killed; a late one links to the trace, which is long over."""
    pytest.importorskip("opentelemetry.sdk")
    span, late = in_a_process(TRACING)
    assert span["name"] == "HARAKIRI GET search/"
    assert span["context"]["trace_id"] == "0x0af7651916cd43dd8448eb211c80319c"
    assert span["parent_id"] == "0xb7ad6b7169203331"
    assert span["status"]["status_code"] == "ERROR"
    wanted = {"http.route": "search/", "error.type": "timeout", "uwsgi.harakiri.id": "0197-x"}
    assert wanted.items() <= span["attributes"].items()
    (event,) = span["events"]
    assert event["name"] == "exception"
    assert event["attributes"]["exception.type"] == "uwsgi_deploy.errors.HarakiriTimeout"
    assert 'File "/srv/shop/search.py", line 43 in find' in event["attributes"]["exception.stacktrace"]
    assert (span["start_time"][:22], span["end_time"][:22]) == ("2026-11-21T15:40:23.21", "2026-11-21T15:40:53.25")
    assert late["parent_id"] is None
    assert late["links"][0]["context"]["span_id"] == "0xb7ad6b7169203331"


# --- hooks ----------------------------------------------------------------------------------------------------------


def run_hook(value: str, made: Report) -> list[str]:
    """The lines that giving a report to a hook leaves in the log."""
    lines: list[str] = []
    hook.find(value).send(made, lines.append)
    return lines


def program(path: Path, text: str) -> str:
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return f"exec:{path}"


def test_a_program_reads_the_report(tmp_path: Path) -> None:
    target = tmp_path / "read.json"
    value = program(tmp_path / "hook", f"import sys\nopen({str(target)!r}, 'w').write(sys.stdin.read())")
    made = report()
    assert run_hook(value, made) == []
    assert json.loads(target.read_text()) == made


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    value = program(tmp_path / "hook", "import sys\nsys.exit('no\\nnetwork')")
    (line,) = run_hook(value, report())
    assert line.endswith(f"ended with 1 (report {ID}): 'no\\nnetwork'")


def test_a_program_that_reads_nothing(tmp_path: Path) -> None:
    """A report may be larger than a pipe."""
    large = {**report(), "hint": "x" * 1_000_000}
    assert run_hook(program(tmp_path / "hook", ""), large) == []


def test_a_program_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it has started."""
    monkeypatch.setattr(hook, "SECONDS", 2.0)
    pids = tmp_path / "pids"
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\nsleep 60 &\necho $$ $! > {pids}\nwait\n")
    script.chmod(0o755)
    value = f"exec:{script}"
    began = time.monotonic()
    (line,) = run_hook(value, report())
    assert "was killed" in line
    assert time.monotonic() - began < 30
    wait_until(lambda: all(state_of(int(pid)) in ("", "Z") for pid in pids.read_text().split()))
    assert len(pids.read_text().split()) == 2


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        run_hook("exec:/nonexistent/hook", report())


class Receiver(BaseHTTPRequestHandler):
    """Answers as its server says, and keeps what it got."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.got.append((dict(self.headers), json.loads(self.rfile.read(length))))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.status = [], 204
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join(30)
    server.server_close()


def test_an_address_is_posted_to(receiver: Any) -> None:
    made = report()
    assert run_hook(f"http://me:s%40cret@127.0.0.1:{receiver.server_port}/hook?token=x", made) == []
    ((headers, body),) = receiver.got
    assert body == made
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic bWU6c0BjcmV0"


def test_an_address_that_refuses_is_named_without_its_secrets(receiver: Any) -> None:
    receiver.status = 403
    (line,) = run_hook(f"http://me:secret@127.0.0.1:{receiver.server_port}/hook?token=secret", report())
    assert f"/hook?[redacted] answered 403 Forbidden to report {ID}" in line
    assert "secret" not in line


# --- gevent ---------------------------------------------------------------------------------------------------------

GEVENT = """
import uwsgi_deploy.native  # as every process of the server does before it patches
from gevent import monkey
monkey.patch_all()
import gevent, logging, queue, socket, threading, time
from uwsgi_deploy import on_report, settings_from
from uwsgi_deploy.native import sleep as native_sleep
from uwsgi_deploy.reports.filing import Filing

hub = gevent.get_hub()
aside = lambda task: hub.loop.run_callback_threadsafe(gevent.spawn, task)  # as the engine has it
mine, theirs = socket.socketpair()
jobs, read, threads = queue.Queue(), [], []

class Handler(logging.Handler):
    def emit(self, record):
        threads.append(monkey.get_original("_thread", "get_ident")())
        mine.sendall(b"x" * 300_000)  # more than a socket takes at once
        jobs.put(record.getMessage())

def consume():
    while True:
        jobs.get()
        read.append(1)

def drain_socket():
    while theirs.recv(65536):
        pass

logging.getLogger("uwsgi.harakiri").addHandler(Handler())
gevent.spawn(drain_socket)
threading.Thread(target=consume, daemon=True).start()  # a greenlet, such as a library's background worker
lines = []
filing = Filing(settings_from(harakiri_dir="off", harakiri=30), lines.append, aside=aside)
filing.file(incident())
filing.file(incident())
drained = filing.drain(60)
deadline = time.monotonic() + 30
while len(read) < 2 and time.monotonic() < deadline:
    gevent.sleep(0.01)

before = len(lines)
filing.file(incident())
deadline = time.monotonic() + 30
while len(lines) == before and time.monotonic() < deadline:
    native_sleep(0.01)  # nothing switches greenlets meanwhile
logged_while_blocked, sent_while_blocked = len(lines) > before, len(threads) > 2
drained_again = filing.drain(60)
deadline = time.monotonic() + 30
while len(read) < 3 and time.monotonic() < deadline:
    gevent.sleep(0.01)
print(json.dumps({
    "drained": [drained, drained_again], "read": len(read), "in hub": [t == hub.thread_ident for t in threads],
    "logged while blocked": logged_while_blocked, "sent while blocked": sent_while_blocked,
    "failed": [line for line in lines if "failed" in line or "not taken" in line],
}))
"""


def test_with_gevent_the_applications_code_runs_in_the_hub() -> None:
    """Its locks, sockets and queues are greenlets'. The log needs none of that: it comes while the hub is blocked."""
    pytest.importorskip("gevent")
    found = in_a_process(GEVENT)
    assert found == {
        "drained": [True, True],
        "read": 3,
        "in hub": [True] * 3,
        "logged while blocked": True,
        "sent while blocked": False,
        "failed": [],
    }
