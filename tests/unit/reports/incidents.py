"""Incidents for tests: one with everything, to be varied with `replace`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from uwsgi_deploy.reports.incident import Frame, Incident, InFlight, Kind, Outcome, Stack
from uwsgi_deploy.reports.notes import NOTES, Call, RequestNotes

AT = 1_795_275_653.25  # 2026-11-21 15:54:13 UTC

APPLICATION = (
    Frame("/srv/shop/search.py", 43, "find", "shop.search"),
    Frame("/srv/shop/views.py", 12, "search", "shop.views"),
)


def environ(**variables: Any) -> dict[str, Any]:
    """What a browser asked for behind a proxy."""
    return {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": "/search?q=shoes&token=abc",
        "PATH_INFO": "/search",
        "QUERY_STRING": "q=shoes&token=abc",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "10.0.0.1",
        "wsgi.url_scheme": "https",
        "HTTP_HOST": "shop.example",
        "HTTP_USER_AGENT": "Browser/1.0",
        "HTTP_X_REQUEST_ID": "req-7",
        "HTTP_X_REQUEST_START": "1795275622000",
        "HTTP_TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "HTTP_AUTHORIZATION": "Bearer hunter2",
        "HTTP_COOKIE": "sessionid=hunter2",
        NOTES: notes(),
        **variables,
    }


def notes() -> RequestNotes:
    """What Django's middleware might say."""
    made = RequestNotes(framework="django", route="search/", view="shop.views.search", url_name="search", seen=100.0)
    made.user = lambda: 17
    made.counts["database"] = 3
    made.spent["database"] = 0.25
    made.begin(
        Call("database", "default (postgresql)", "SELECT * FROM item WHERE name = 'hunter2' AND price < 100", 75.1)
    )
    return made


def incident(**fields: Any) -> Incident:
    """A request that was interrupted at its deadline."""
    facts: dict[str, Any] = {
        "kind": Kind.DEADLINE,
        "outcome": Outcome.ANSWERED,
        "at": AT,
        "wid": 3,
        "pid": 812,
        "core": 1,
        "engine": "threads",
        "method": "GET",
        "uri": "/search?q=shoes&token=abc",
        "client": "10.0.0.1",
        "route": "",
        "age": 30.04,
        "limit": 30.0,
        "limit_origin": "harakiri",
        "queue": 0.012,
        "body": 0.001,
        "status": 504,
        "bytes_sent": 210,
        "environ": environ(),
        "notes": notes(),
        "victim": Stack("core 1, GET /search", APPLICATION),
        "others": (Stack("MainThread", (Frame("/usr/lib/python3.11/threading.py", 320, "wait", "threading"),)),),
        "in_flight": (InFlight(3, 0, "GET", "/cart?x=1", "cart", 1.5), InFlight(1, 0, "POST", "/pay", "", 0.2)),
        "capture": ("python",),
        "worker": {"age": 3600.0, "requests": 812, "rss": 85_000_000, "cores": 4},
    }
    return Incident(**{**facts, **fields})


def frames(*lines: str) -> Iterator[Frame]:
    """Frames from `file:line function` texts, innermost first."""
    for line in lines:
        place, _, function = line.partition(" ")
        file, _, number = place.rpartition(":")
        yield Frame(file, int(number), function)
