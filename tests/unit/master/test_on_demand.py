"""What the master tells of the requests that run, and how it collects stacks: with fake workers and a fake clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from math import inf
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.waiting import wait_until
from tests.unit.master.support import add_worker, fleet_of
from uwsgi_deploy import settings_from
from uwsgi_deploy.master import on_demand
from uwsgi_deploy.master.commands import Command, Reply, Request
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.on_demand import PATIENCE, OnDemand
from uwsgi_deploy.shared.scoreboard import RequestPhase, Scoreboard

STACK = 'Thread 0x{:x} (most recent call first):\n  File "/srv/app.py", line 7 in find\n'


class FakeChannel:
    """Workers that show what `shown` says, once they were asked."""

    def __init__(self) -> None:
        self.shown: dict[int, str] = {}
        self.asked: list[int] = []
        self.waiting: set[int] = set()
        self.has_handler = True

    def ask(self, pid: int) -> bool:
        self.asked.append(pid)
        if self.has_handler:
            self.waiting.add(pid)
        return self.has_handler

    def is_asked(self, pid: int) -> bool:
        return pid in self.waiting

    def is_whole(self, pid: int) -> bool:
        return pid in self.waiting and pid in self.shown

    def peek(self, pid: int) -> str:
        return self.shown.get(pid, "")

    def take(self, pid: int) -> str:
        self.waiting.discard(pid)
        return self.shown.get(pid, "")


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two that exist."""
    started = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) for _ in range(2)]
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def fleet(processes: list[subprocess.Popen[bytes]]) -> Fleet:
    """Two workers that serve, with the pids of real processes."""
    fleet = fleet_of(2, ready=True)
    for worker, process in zip(fleet.workers(), processes, strict=True):
        worker.pid = process.pid
    return fleet


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard(2, 2)


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def answering(fleet: Fleet, board: Scoreboard, channel: FakeChannel) -> OnDemand:
    resources: Any = SimpleNamespace(scoreboard=board, stacks=channel, settings=settings_from())
    return OnDemand(resources, fleet)


def begin(board: Scoreboard, wid: int, core: int, started: float, text: str, deadline: float = inf) -> Any:
    """A core begins a request; the records of its worker."""
    records = board.core_records(wid)
    records.begin(core, started, deadline, text)
    return records


def inflight(answering: OnDemand, *arguments: str, now: float = 100.0) -> dict[str, Any]:
    reply = answering.answer(Request(Command.INFLIGHT, "test", arguments), now)
    assert reply.ok, reply.message
    return cast(dict[str, Any], reply.data)


def test_requests_of_all_workers_the_oldest_first(answering: OnDemand, fleet: Fleet, board: Scoreboard) -> None:
    begin(board, 1, 1, 98.0, "10.0.0.1 GET /young", deadline=128.0)
    records = begin(board, 2, 0, 90.0, "10.0.0.2 POST /old?x=1")
    records.set_phase(0, RequestPhase.RESPONDING)
    records.set_route(0, "orders/<id>")
    data = inflight(answering)
    assert data["total"] == 2
    old, young = data["requests"]
    assert old == {
        "worker": 2,
        "pid": fleet.slot(2).workers[0].pid,
        "generation": 1,
        "core": 0,
        "client": "10.0.0.2",
        "method": "POST",
        "uri": "/old?x=1",
        "route": "orders/<id>",
        "age": 10.0,
        "limit": None,
        "phase": "responding",
    }
    assert (young["worker"], young["core"], young["age"], young["limit"]) == (1, 1, 2.0, 28.0)


def test_only_the_old_and_only_so_many(answering: OnDemand, board: Scoreboard) -> None:
    for core, started in enumerate((95.0, 99.0)):
        begin(board, 1, core, started, "c GET /")
    assert [row["age"] for row in inflight(answering, "3")["requests"]] == [5.0]
    data = inflight(answering, "0", "1")
    assert ([row["age"] for row in data["requests"]], data["total"]) == ([5.0], 2)


def test_arguments_that_are_no_numbers(answering: OnDemand) -> None:
    assert not answering.answer(Request(Command.INFLIGHT, "test", ("soon",)), 1.0).ok


def dump(answering: OnDemand, *arguments: str) -> list[Reply]:
    """The replies so far."""
    replies: list[Reply] = []
    request = Request(Command.DUMP, "test", arguments, replies.append)
    request.reply(answering.answer(request, 100.0))
    answering.look(100.0)
    return replies


def test_dump_answers_when_all_have_shown(
    answering: OnDemand, fleet: Fleet, board: Scoreboard, channel: FakeChannel
) -> None:
    """The master is woken to look, and knows which thread runs which request."""
    first, second = (worker.pid for worker in fleet.workers())
    records = begin(board, 1, 1, 98.0, "c GET /x")
    records.set_thread(1, 0xAB)
    replies = dump(answering)
    assert [reply.final for reply in replies] == [False]
    assert channel.asked == [first, second]
    assert fleet.alarm is not None
    channel.shown[first] = STACK.format(0xCD) + STACK.format(0xAB)
    answering.look(100.1)
    assert len(replies) == 1
    channel.shown[second] = STACK.format(1)
    answering.look(100.2)
    assert replies[-1].final
    worker, other = cast(Any, replies[-1].data)["workers"]
    named = [(stack["name"], stack["core"], stack["request"]) for stack in worker["stacks"]]
    assert named == [("core 1", 1, "GET /x"), ("another thread", None, "")]
    assert worker["stacks"][0]["frames"] == [{"file": "/srv/app.py", "line": 7, "function": "find"}]
    assert (worker["shown"], worker["note"], other["shown"]) == ("stacks", "", "stacks")
    fleet.alarm = None
    answering.look(100.3)
    assert len(replies) == 2
    assert fleet.alarm is None


def test_dump_does_not_wait_for_ever(answering: OnDemand, fleet: Fleet, channel: FakeChannel) -> None:
    """Who showed nothing is named with a reason, the others are shown."""
    first = next(iter(fleet.workers())).pid
    replies = dump(answering)
    channel.shown[first] = STACK.format(1)
    answering.look(100.0 + PATIENCE)
    one, two = cast(Any, replies[-1].data)["workers"]
    assert (one["shown"], two["shown"]) == ("stacks", "nothing")
    assert two["note"] == on_demand.NOT_IN_TIME
    assert channel.waiting == set()


def test_suspended_and_ended_workers_are_told_at_once(
    answering: OnDemand, processes: list[subprocess.Popen[bytes]], channel: FakeChannel
) -> None:
    """Neither is sent a signal."""
    os.kill(processes[0].pid, signal.SIGSTOP)
    wait_until(lambda: on_demand._state(processes[0].pid) == "T", 10)
    processes[1].kill()
    processes[1].wait()
    one, two = cast(Any, dump(answering)[-1].data)["workers"]
    assert (one["note"], one["state"], two["note"], two["state"]) == (on_demand.SUSPENDED, "T", on_demand.GONE, "")
    assert channel.asked == []


def test_worker_without_the_handler_is_not_killed_by_the_signal(answering: OnDemand, channel: FakeChannel) -> None:
    channel.has_handler = False
    replies = dump(answering, "1")
    assert cast(Any, replies[-1].data)["workers"][0]["note"] == on_demand.NO_HANDLER


def test_workers_that_are_not_there(answering: OnDemand, fleet: Fleet) -> None:
    """A number nobody has; one that is only ordered has no process."""
    add_worker(fleet, 2, Phase.ORDERED)
    assert dump(answering, "7")[0].message == "no worker 7 runs"
    assert len(list(answering._present())) == 2


def test_greenlets_are_asked_for_when_the_threads_are_here(
    fleet: Fleet, board: Scoreboard, channel: FakeChannel
) -> None:
    """And named by their cores; those at the same place stay together."""
    pid = next(iter(fleet.workers())).pid
    asked: list[int] = []
    channel.ask_for_greenlets = lambda pid: asked.append(pid) or True  # type: ignore[attr-defined]
    resources: Any = SimpleNamespace(scoreboard=board, stacks=channel, settings=settings_from(gevent=2))
    answering = OnDemand(resources, fleet)
    for core in (0, 1):
        begin(board, 1, core, 98.0, f"c GET /{core}")
    replies = dump(answering, "1")
    channel.shown[pid] = STACK.format(0xCD) + STACK.format(0xAB)
    answering.look(100.1)
    answering.look(100.2)
    assert asked == [pid]
    channel.shown[pid] += 'Greenlets of cores 1 0 (most recent call first):\n  File "/srv/app.py", line 9 in wait\n'
    answering.look(100.3)
    assert not replies[-1].final
    channel.shown[pid] += "End of greenlets\n"
    answering.look(100.4)
    (worker,) = cast(Any, replies[-1].data)["workers"]
    names = [stack["name"] for stack in worker["stacks"]]
    assert names == ["core 0", "core 1", "another thread", "the thread of all greenlets"]
    assert worker["stacks"][0]["request"] == "GET /0"
    assert worker["stacks"][0]["frames"] == worker["stacks"][1]["frames"]


def test_blocked_hub_is_told(fleet: Fleet, board: Scoreboard, channel: FakeChannel) -> None:
    pid = next(iter(fleet.workers())).pid
    channel.ask_for_greenlets = lambda pid: True  # type: ignore[attr-defined]
    resources: Any = SimpleNamespace(scoreboard=board, stacks=channel, settings=settings_from(gevent=2))
    answering = OnDemand(resources, fleet)
    replies = dump(answering, "1")
    channel.shown[pid] = STACK.format(0xAB)
    answering.look(100.0 + PATIENCE)
    (worker,) = cast(Any, replies[-1].data)["workers"]
    assert (worker["shown"], worker["note"]) == ("stacks", on_demand.HUB_BLOCKED)
