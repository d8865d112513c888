"""Reports have the fields that docs/harakiri-report.schema.json promises."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.reports.incidents import APPLICATION, AT, environ, incident, notes
from uwsgi_deploy import settings_from
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.reports import surroundings
from uwsgi_deploy.reports.archive import Archive
from uwsgi_deploy.reports.build import build
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.incident import Frame, Incident, Kind, Outcome, Stack
from uwsgi_deploy.reports.notes import Call
from uwsgi_deploy.reports.redaction import REDACTED
from uwsgi_deploy.reports.report import Report, culprit_of, key_of, timestamp, unix_time
from uwsgi_deploy.reports.waiting import KINDS

jsonschema = pytest.importorskip("jsonschema")

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "harakiri-report.schema.json").read_text(encoding="utf-8"))
ID = new_id(AT)


def report(settings: Settings | None = None, **fields: Any) -> Report:
    return build(ID, incident(**fields), settings or Settings())


def bare() -> Incident:
    """What the master knows of a worker that shows nothing."""
    return Incident(
        Kind.HARD, Outcome.KILLED, AT, 1, 999_999_999, 0, "prefork", "GET", "/", "", "", 35.0, 30.0, "harakiri"
    )


VARIANTS = {
    "everything": incident(),
    "soft": incident(kind=Kind.SOFT, outcome=Outcome.CONTINUES, status=0),
    "from outside": bare(),
    "kernel": replace(bare(), kernel={"wchan": "do_wait", "syscall": "61 0x1"}, capture=("faulthandler", "proc")),
    "gevent": incident(engine="gevent", hub_blocked=2.5),
    "follows": incident(kind=Kind.HARD, outcome=Outcome.KILLED, follows=ID),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_reports_follow_the_schema(name: str, tmp_path: Path) -> None:
    """As they are written and kept, that is with what the archive adds."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    settings = settings_from(harakiri=30, harakiri_dir=str(tmp_path / "ring"))
    made = Archive(settings, lambda _text: None, 4711).make(ID, VARIANTS[name], holder=0)
    assert made is not None
    kept = json.loads((tmp_path / "ring" / f"{ID}.json").read_text(encoding="utf-8"))
    assert kept == made
    jsonschema.validate(kept, SCHEMA, cls=jsonschema.Draft202012Validator)
    late = {**kept, "delivered_late": True, "ended": {"after": 31.5, "status": 200}, "outcome": "completed"}
    jsonschema.validate(late, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_the_schema_is_strict() -> None:
    """Else the test above could not fail."""
    made = {**report(), "server": 1, "delivered": True, "repeats": {"count": 0, "first": None}}
    jsonschema.validate(made, SCHEMA)
    for change in ({"extra": 1}, {"kind": "late"}, {"stack": [{}]}, {"id": "1"}, {"time": "now"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**made, **change}, SCHEMA)
    assert SCHEMA["properties"]["waiting_on"]["anyOf"][0]["properties"]["kind"]["enum"] == list(KINDS)


def test_no_secret_is_in_a_report() -> None:
    """Of header, cookie, query, statement, address, name of a thread."""
    secrets = environ(
        HTTP_REFERER="https://me:hunter2@shop.example/?t=hunter2",
        HTTP_X_CUSTOM="hunter2",
        HTTP_PROXY_AUTHORIZATION="hunter2",
        QUERY_STRING="token=hunter2",
    )
    found = notes()
    found.begin(Call("http", "api.example", "GET https://u:hunter2@api.example/?key=hunter2", 90.0))
    found.last = Call("database", "default (sqlite)", "UPDATE u SET p = 'hunter2'", 80.0, 81.0)
    made = report(
        environ=secrets,
        notes=found,
        uri="/reset/0123456789abcdef0123456789hunter2?token=hunter2",
        others=(Stack("core 0, GET /x?token=hunter2", APPLICATION),),
    )
    assert "hunter2" not in json.dumps(made)
    assert made["request"]["headers"]["Authorization"] == REDACTED
    assert made["request"]["headers"]["X-Custom"] == REDACTED
    assert made["redaction"]["removed"] > 5
    assert made["db"]["last"]["text"] == "UPDATE u SET p = ?"


def test_what_the_middleware_knows() -> None:
    made = report()
    request = made["request"]
    assert (request["route"], request["view"], request["url_name"]) == ("search/", "shop.views.search", "search")
    assert request["user"] == 17
    assert made["db"]["count"] == 3
    assert made["db"]["running"] == [
        {"target": "default (postgresql)", "text": "SELECT * FROM item WHERE name = ? AND price < ?", "elapsed": 24.9}
    ]
    assert made["waiting_on"]["kind"] == "database"
    assert made["hint"].startswith("blocked 24.9 s in ")


def test_without_a_middleware_the_route_is_the_servers() -> None:
    made = report(environ=environ(**{"uwsgi.notes": None}), notes=None, route="search")
    assert made["request"]["route"] == "search"
    assert made["request"]["user"] is None
    assert made["db"] == {"count": 0, "spent": 0.0, "running": [], "last": None}


def test_a_user_that_cannot_be_told_is_none() -> None:
    def broken() -> object:
        raise RuntimeError("the connection is closed")

    made = report(notes=replace(notes(), user=broken))
    assert made["request"]["user"] is None


@pytest.mark.parametrize(
    ("header", "queue"),
    [
        ("1795275622000", 1209.0),  # Heroku: milliseconds
        ("t=1795275622.000", 1209.0),  # nginx
        ("1795275622000000", 1209.0),  # microseconds
        ("t=1795275622", 1209.0),
        ("yesterday", 12.0),
        ("1", 12.0),
        ("1795279999000", 12.0),  # a router whose clock is ahead
    ],
)
def test_time_in_the_routers_queue(header: str, queue: float) -> None:
    """The body was read within that time; it is reported apart."""
    timing = report(environ=environ(HTTP_X_REQUEST_START=header))["timing"]
    assert timing["queue_ms"] == pytest.approx(queue, abs=0.2)
    assert timing["queue_from"] == ("X-Request-Start" if queue > 100 else "accept")
    assert (timing["began"], timing["deadline"]) == ("2026-11-21T15:40:23.210Z", "2026-11-21T15:40:53.210Z")


def test_bytes_that_were_read() -> None:
    body = io.BytesIO(b"x" * 100)
    body.read(40)
    made = report(environ=environ(CONTENT_LENGTH="100", **{"wsgi.input": body}))
    assert (made["request"]["content_length"], made["request"]["bytes_read"]) == (100, 40)
    assert report(environ=environ(CONTENT_LENGTH="nonsense"))["request"]["content_length"] is None


def test_the_trace_is_that_of_the_servers_own_span() -> None:
    class Context:
        trace_id, span_id, trace_flags = 0xABC, 0xDEF, 1

    class Span:
        def get_span_context(self) -> Context:
            return Context()

    key = "opentelemetry-instrumentor-django.span_key"
    own = report(environ=environ(**{key: Span()}))["request"]["traceparent"]
    assert own == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert report(environ=environ(**{key: object()}))["request"]["traceparent"].startswith("00-0af7651916cd43dd")


def test_options_and_where_they_were_set() -> None:
    config = report(settings_from(harakiri=30))["config"]
    assert config["harakiri"] == {"value": 30.0, "origin": "settings_from()"}
    assert config["harakiri-verbose"]["origin"] == "default"


def test_the_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert surroundings.version({"HEROKU_SLUG_COMMIT": "abc", "GIT_SHA": "def"}) == "abc"
    assert surroundings.instance({"DYNO": "web.1", "HOSTNAME": "x"}) == "web.1"
    assert surroundings.service({"OTEL_SERVICE_NAME": "shop"}, "x") == "shop"
    assert surroundings.service({}, "x") == "x"
    facts = surroundings.process_facts(os.getpid())
    assert facts["rss"] > 1_000_000
    assert facts["threads"] >= 1
    assert surroundings.process_facts(999_999_999) == {}


def test_concurrency_counts_the_request_itself() -> None:
    found = report(settings_from(processes=2, threads=4))["concurrency"]
    assert (found["busy"], found["cores"]) == (3, 8)
    assert [request["uri"] for request in found["in_flight"]] == ["/cart?x=*", "/pay"]


def test_questions_to_a_report() -> None:
    made = report()
    assert culprit_of(made) == "/srv/shop/search.py:find"
    assert key_of(made) == "search/ /srv/shop/search.py:find"
    other_line = report(victim=Stack("x", (Frame("/srv/shop/search.py", 44, "find"), APPLICATION[1])))
    assert key_of(other_line) == key_of(made)
    in_class = report(victim=Stack("x", (Frame("/srv/shop/search.py", 43, "Search.find"), APPLICATION[1])))
    assert key_of(in_class) == key_of(made)
    assert unix_time(made) == pytest.approx(AT, abs=0.001)
    assert unix_time({"time": "nonsense"}) == 0.0
    assert re.fullmatch(r"[\d-]+T[\d:]+\.250Z", timestamp(AT))
