"""Reports as the admin shows them: lines and pages, of whole reports and of odd ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from django_integration.report_pages import choices, line_of, matches, page_of

FRAMES = [
    {
        "file": "/usr/lib/python3.11/threading.py",
        "line": 9,
        "function": "wait",
        "module": "threading",
        "code": "",
        "in_app": False,
    },
    {"file": "/srv/shop/views.py", "line": 43, "function": "buy", "code": "lock.acquire()", "in_app": True},
]
REPORT: dict[str, Any] = {
    "schema": "uwsgi.harakiri/1",
    "id": "01939f0e-0000-7000-8000-000000000001",
    "time": "2026-11-21T19:00:00.250Z",
    "kind": "deadline",
    "outcome": "answered_504",
    "hint": "It waited for a lock.",
    "worker": {"id": 2, "pid": 812, "rss": 50_000_000},
    "request": {
        "method": "GET",
        "path": "/buy/7/",
        "route": "buy/<int:number>/",
        "view": "shop.views.buy",
        "query": [],
    },
    "timing": {"elapsed": 30.04, "limit": 30.0, "limit_origin": "harakiri"},
    "culprit": FRAMES[1],
    "waiting_on": {"kind": "lock", "place": "threading.py wait", "target": "", "seconds": None, "evidence": ["x"]},
    "stack": FRAMES,
    "other_threads": [{"names": ["core 1, GET /", "core 2, GET /"], "count": 2, "frames": FRAMES[:1]}],
    "db": {
        "count": 12,
        "spent": 0.25,
        "running": [{"target": "default (postgresql)", "text": "SELECT ?", "elapsed": 28.5}],
        "last": {"target": "default (postgresql)", "text": "BEGIN", "elapsed": 0.001},
    },
    "calls": {"http": {"count": 1, "spent": 0.5, "running": []}},
    "concurrency": {
        "busy": 2,
        "cores": 8,
        "in_flight": [{"worker": 1, "core": 3, "method": "GET", "uri": "/x", "route": "", "age": 1.04}],
    },
    "config": {
        "harakiri": {"value": 30.0, "origin": "settings.UWSGI"},
        "harakiri-routes": {"value": [], "origin": "default"},
    },
    "repeats": {"count": 3, "first": "2026-11-21T18:30:00.000Z"},
}


def test_line() -> None:
    line = line_of(REPORT)
    assert line.at == datetime(2026, 11, 21, 19, 0, 0, 250000, UTC)
    assert (line.kind, line.kind_text, line.outcome) == ("deadline", "out of time", "answered with 504")
    assert (line.request, line.route) == ("GET /buy/7/", "buy/<int:number>/")
    assert line.culprit == "buy (shop/views.py:43)"
    assert (line.elapsed, line.worker, line.repeats) == (30.04, "2", 3)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({}, True),
        ({"kind": "deadline"}, True),
        ({"kind": "hard"}, False),
        ({"route": "buy/<int:number>/"}, True),
        ({"route": "/buy/7/"}, False),
        ({"words": "SHOP.views"}, True),
        ({"words": "lock buy/7"}, True),
        ({"words": "lock sell"}, False),
        ({"words": "01939f0e"}, True),
    ],
)
def test_filters(asked: dict[str, str], shown: bool) -> None:
    """Of the kind, of the route, with all the words somewhere."""
    assert matches(REPORT, line_of(REPORT), **{"kind": "", "route": "", "words": "", **asked}) is shown


def test_choices() -> None:
    """The most frequent first, with the words that people read."""
    found = choices(["soft", "hard", "hard"], {"hard": "stuck"})
    assert [(choice.value, choice.text, choice.count) for choice in found] == [
        ("hard", "stuck", 2),
        ("soft", "soft", 1),
    ]


def test_page() -> None:
    page = page_of(REPORT)
    assert page.title == "GET /buy/7/ ran for 30.0 s"
    assert page.hint == "It waited for a lock."
    summary = dict(page.summary.rows)
    assert summary["Limit"] == "30 s (harakiri)"
    assert summary["View"] == "shop.views.buy"
    assert summary["Waits on"] == "lock: threading.py wait"
    assert [(frame.function, frame.place, frame.in_app, frame.culprit) for frame in page.stack] == [
        ("wait", "threading.py:9", False, False),
        ("buy", "/srv/shop/views.py:43", True, True),
    ]
    (other,) = page.others
    assert other.title == "2: core 1, GET /; core 2, GET /"
    assert [frame.function for frame in other.frames] == ["wait"]
    sections = {section.title: dict(section.rows) for section in (*page.calls, *page.sections)}
    assert sections["Worker"] == {"Id": "2", "Pid": "812", "Rss": "50000000"}
    assert "Query" not in sections["Request"]
    assert list(sections)[2:6] == ["Request", "Timing", "Repeats", "Other requests"]
    assert sections["Databases"] == {
        "Running": "default (postgresql) for 28.500 s: SELECT ?",
        "Ended queries": "12 in 0.250 s",
        "Last one": "default (postgresql) for 0.001 s: BEGIN",
    }
    assert sections["Calls"] == {"Ended http calls": "1 in 0.500 s"}
    assert sections["Other requests"]["Worker 1, core 3"] == "GET /x for 1.0 s"
    assert sections["Config"] == {"harakiri": "30 (settings.UWSGI)"}


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"id": 7, "time": 5, "kind": None, "worker": "x", "request": [], "timing": None, "stack": "x", "culprit": "y"},
        {
            "stack": [None, {}],
            "other_threads": [3, {"frames": None}],
            "repeats": {"count": "many"},
            "waiting_on": ["z"],
        },
        {
            "db": {"running": [1, {}], "last": 3, "count": "x"},
            "calls": {"http": 1},
            "concurrency": {"in_flight": [0, {}]},
        },
        {"db": [], "calls": None, "config": {"harakiri": 3}},
        {"timing": {"elapsed": "long", "limit": True}, "new in 2": {"a": [{"b": 1.50}, None, True]}},
    ],
)
def test_odd_reports(report: dict[str, Any]) -> None:
    """Files of another version, or of nobody's: shown as far as they go."""
    line = line_of(report)
    assert matches(report, line, kind="", route="", words="") is True
    assert page_of(report).line == line


def test_unknown_parts_are_shown() -> None:
    """What a newer server adds is on the page, in words."""
    (section,) = page_of({"new_part": {"one_thing": [{"b": 1.50}, True], "nothing": None}}).sections
    assert (section.title, section.rows) == ("New part", (("One thing", "b: 1.5, yes"),))
