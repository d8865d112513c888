"""Hangs on demand, with Sentry, OpenTelemetry and a logger as applications set them up, each writing to its own file.

BAD: sinks that misbehave (`sentry hangs`, `logger raises`, ...), separated by commas.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sentry_sdk
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk.transport import Transport

from uwsgi_deploy import on_report

BAD = os.environ.get("BAD", "").split(",")


def take(sink: str, content: object) -> None:
    """What a sink has got, one line each."""
    if f"{sink} hangs" in BAD:
        time.sleep(600)
    if f"{sink} raises" in BAD:
        raise LookupError(f"{sink} is broken")
    if f"{sink} exits" in BAD:
        raise SystemExit(3)
    with open(f"{sink}.jsonl", "a") as file:
        file.write(json.dumps(content, default=str) + "\n")


class SentryTransport(Transport):
    """Sentry's server."""

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            take("sentry", event)


class Exporter(SpanExporter):
    """The collector of OpenTelemetry."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            take("otel", json.loads(span.to_json()))
        return SpanExportResult.SUCCESS


class Handler(logging.Handler):
    """A handler as Django's mail_admins."""

    def emit(self, record: logging.LogRecord) -> None:
        take(
            "logger",
            {
                "level": record.levelname,
                "message": record.getMessage(),
                "id": record.report["id"],  # type: ignore[attr-defined]
                "text": logging.Formatter().format(record),
            },
        )


sentry_sdk.init(dsn="http://public@127.0.0.1:9/1", transport=SentryTransport)
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Exporter()))
trace.set_tracer_provider(provider)
logging.getLogger("uwsgi.harakiri").addHandler(Handler())


@on_report
def tell(report: dict[str, Any]) -> None:
    take("callback", report)


def sleep_in_turns() -> None:
    """What can be interrupted in every thread."""
    open("started", "w").close()
    while True:
        time.sleep(0.02)


def hold_the_interpreter() -> int:
    """In C, without a look at signals."""
    return sum(range(10**12))


def blocks() -> Iterator[bytes]:
    yield b"first"
    sleep_in_turns()


def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/sleep":
        sleep_in_turns()
    if path == "/a-second":
        time.sleep(1)
    if path == "/hold":
        hold_the_interpreter()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return blocks() if path == "/stream" else [b"ok"]


application = SentryWsgiMiddleware(answer)
