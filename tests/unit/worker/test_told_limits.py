"""The master sleeps as long as no request can be due: a worker tells it of limits that it cannot know."""

from __future__ import annotations

from math import inf
from time import monotonic

import pytest

from uwsgi_deploy.config.settings import HarakiriSettings
from uwsgi_deploy.shared.scoreboard import Field, Scoreboard
from uwsgi_deploy.worker.deadlines import Deadlines


@pytest.fixture
def told() -> list[float | None]:
    """What the master was told: a new shortest limit, or only to look (None)."""
    return []


@pytest.fixture
def deadlines(told: list[float | None]) -> Deadlines:
    """Those of a worker with harakiri = 30 and a route with 20, which runs a request on core 0."""
    settings = HarakiriSettings(harakiri=30.0, harakiri_routes=("^/quick=20", "list=25"))
    made = Deadlines(settings, Scoreboard(1).core_records(1), lambda _line: None)
    made.core_here = lambda: 0
    made.tell_master = told.append
    made.records.begin(0, monotonic(), monotonic() + 30, " GET /")
    return made


def test_what_the_settings_say_is_known(deadlines: Deadlines, told: list[float | None]) -> None:
    """Neither longer limits nor those of routes are news."""
    deadlines.limit(20.0, "@harakiri")
    deadlines.limit(None, "@harakiri")
    deadlines.extend(5.0)
    deadlines.set_user_limit(40.0)
    deadlines.leave(deadlines.enter(50.0))
    assert told == []


def test_shorter_limits_are_told_once(deadlines: Deadlines, told: list[float | None]) -> None:
    """However often the application sets them: a block in every request wakes nobody."""
    for _ in range(3):
        deadlines.leave(deadlines.enter(5.0))
        deadlines.set_user_limit(7.0)
        deadlines.limit(6.0, "@harakiri")
    assert told == [5.0]
    deadlines.set_user_limit(2.0)
    deadlines.set_user_limit(0)
    assert told == [5.0, 2.0]


def test_old_request_that_gets_a_limit(deadlines: Deadlines, told: list[float | None]) -> None:
    """It may be due sooner than any that begins now: the master looks at once."""
    began = monotonic() - 15
    deadlines.records.begin(0, began, began + 30, " GET /")
    deadlines.limit(20.0, "@harakiri")
    assert told == [None]


def test_the_master_reads_the_shortest() -> None:
    """Of a process; its successor begins anew."""
    board = Scoreboard(1)
    assert board.shortest(1, 0) == inf
    board.record(1)[Field.SHORTEST] = 2_500_000
    assert board.shortest(1, 0) == 2.5
    board.occupy(1, 0, generation=1, started=0)
    assert board.shortest(1, 0) == inf
