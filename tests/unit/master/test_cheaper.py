"""How many workers there are, on simulated load curves: second by second, no process and no clock."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from tests.unit.master.support import add_worker, fleet_of
from uwsgi_deploy.config.settings import CheaperSettings
from uwsgi_deploy.master.actions import (
    Cheapen,
    Dismiss,
    EndServer,
    FinishReload,
    OrderWorker,
    Say,
    Sleep,
    UnwatchListeners,
    Want,
    WatchListeners,
)
from uwsgi_deploy.master.commands import Command, Request
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.fleet_commands import change_fleet
from uwsgi_deploy.master.load import Load, WorkerLoad
from uwsgi_deploy.master.manifest import fleet_row, restore_fleet
from uwsgi_deploy.master.policies.algorithms import BY_NAME, Algorithm
from uwsgi_deploy.master.policies.cheaper import cheaper, dismiss_cheap, dispensable
from uwsgi_deploy.master.policies.idle import die_on_no_workers, idle, watch_clients
from uwsgi_deploy.master.policies.reload import reload
from uwsgi_deploy.master.policies.respawn import respawn
from uwsgi_deploy.master.policies.stop import EXTRA_GRACE
from uwsgi_deploy.master.reload_rows import ReloadKind, Stage
from uwsgi_deploy.master.rows import Stop

MOST = 8


@dataclass
class Town:
    """Workers under a demand, in workers' worth of work: `run` lets a number of seconds pass and returns the workers of
    each. What the workers cannot do waits: `waiting` clients for each worker that is missing."""

    algorithm: Algorithm
    workers: int
    waiting: int = 10
    now: float = 0.0
    worked: dict[int, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def run(self, seconds: int, demand: float) -> list[int]:
        counts = []
        for _ in range(seconds):
            self.now += 1.0
            loads = []
            for wid in range(1, self.workers + 1):
                share = min(1.0, max(0.0, demand - (wid - 1)))
                self.worked[wid] = self.worked.get(wid, 0.0) + share
                loads.append(WorkerLoad(wid, share > 0.5, self.worked[wid]))
            backlog = int(max(0.0, demand - self.workers) * self.waiting)
            change, reason = self.algorithm.decide(
                Load(self.now, tuple(loads), spare=MOST - self.workers, backlog=backlog)
            )
            assert self.workers + change <= MOST
            self.workers += change
            if reason:
                self.said.append(reason)
            counts.append(self.workers)
        return counts


def town(algorithm: str, **settings: object) -> Town:
    options = CheaperSettings(cheaper=2, cheaper_algo=algorithm, **settings)  # type: ignore[arg-type]
    return Town(BY_NAME[algorithm](options), 2)


# --- spare ------------------------------------------------------------------------------------------------------------


def test_spare_grows_after_the_overload_and_shrinks_to_one_idle() -> None:
    """One more for every three seconds without an idle worker, until one is idle; after the load down to cheaper."""
    spare = town("spare")
    assert spare.run(8, demand=4) == [2, 2, 3, 3, 3, 4, 4, 4]
    assert spare.run(20, demand=4)[-1] == 5  # one idle worker is what it aims at
    assert set(spare.run(60, demand=4)) == {5}
    counts = spare.run(30, demand=0)
    assert counts[-1] == 2
    assert all(before - after in (0, 1) for before, after in pairwise(counts))


def test_spare_with_step_and_its_ceiling() -> None:
    spare = town("spare", cheaper_step=4)
    assert spare.run(3, demand=20)[-1] == 6
    assert spare.run(30, demand=20)[-1] == MOST


def test_spare_ignores_a_moment() -> None:
    """Two busy seconds and an idle one in turn never count to three."""
    spare = town("spare")
    for _ in range(20):
        spare.run(1, demand=4)
        spare.run(1, demand=0)
    assert spare.workers == 2


# --- spare2 -----------------------------------------------------------------------------------------------------------


def test_spare2_keeps_idle_workers() -> None:
    """As many idle ones as cheaper, at once, limited by the step; who is too many goes after cheaper-idle seconds."""
    spare2 = town("spare2", cheaper_step=2, cheaper_idle=5)
    assert spare2.run(1, demand=2) == [4]
    assert spare2.run(3, demand=4) == [6, 6, 6]
    assert set(spare2.run(60, demand=4)) == {6}
    assert spare2.run(11, demand=2) == [6, 6, 6, 6, 5, 5, 5, 5, 5, 4, 4]
    assert spare2.run(20, demand=0)[-1] == 2


# --- backlog ----------------------------------------------------------------------------------------------------------


def test_backlog_follows_the_queue() -> None:
    """Above cheaper-overload waiting clients one more each second; below it one less."""
    backlog = town("backlog", cheaper_overload=5)
    assert backlog.run(5, demand=4) == [3, 4, 3, 4, 3]
    assert backlog.run(3, demand=0) == [2, 2, 2]


def test_backlog_at_the_limit_stays() -> None:
    backlog = town("backlog", cheaper_overload=5)
    backlog.waiting = 5
    assert set(backlog.run(5, demand=3)) == {2}  # exactly five wait


# --- busyness ---------------------------------------------------------------------------------------------------------


def test_busyness_grows_above_the_maximum() -> None:
    """At the end of each window, while the average is above 50 %."""
    busyness = town("busyness", cheaper_overload=10, cheaper_busyness_backlog_alert=10**6)
    busyness.waiting = 0
    assert busyness.run(10, demand=2) == [2] * 10
    assert busyness.run(1, demand=2) == [3]
    assert "[busyness] 10s average busyness is at 100%, will spawn 1 new worker(s)" in busyness.said
    assert busyness.run(100, demand=2)[-1] == 4  # two of four: 50 % is not above 50 %
    assert set(busyness.run(60, demand=2)) == {4}


def test_busyness_waits_before_it_stops() -> None:
    """Below 25 % a worker goes, multiplier windows after the last change, one after the other."""
    busyness = town("busyness", cheaper_overload=10, cheaper_busyness_multiplier=3)
    busyness.run(60, demand=2)
    assert busyness.workers == 4
    grown = busyness.now
    busyness.run(300, demand=0)
    assert busyness.workers == 2
    assert busyness.said[-1] == "[busyness] 10s average busyness is at 0%, cheap one of 3 running workers"
    assert busyness.now - grown == 300


def test_busyness_learns_from_waves() -> None:
    """A worker that is missed soon after it was stopped makes the next stop come later."""
    busyness = town("busyness", cheaper_overload=5, cheaper_busyness_multiplier=2, cheaper_busyness_penalty=2)
    for _ in range(4):
        busyness.run(30, demand=3)
        busyness.run(15, demand=0)
    assert any("increasing cheaper multiplier to 4 (+2)" in line for line in busyness.said)


def test_busyness_between_the_limits_changes_nothing() -> None:
    busyness = town("busyness", cheaper_overload=5, cheaper_busyness_verbose=True)
    assert set(busyness.run(300, demand=0.8)) == {2}
    assert set(busyness.said) == {"[busyness] 5s average busyness is at 40%"}


def test_busyness_emergency() -> None:
    """More waiting clients than the alert: a worker in the same second, and the next, without a window."""
    busyness = town("busyness", cheaper_overload=60, cheaper_busyness_backlog_step=2)
    assert busyness.run(3, demand=7) == [4, 4, 4]  # 50 wait, then 30: 33 is the alert
    assert busyness.said == ["[busyness] 50 client(s) in the listen queue, will spawn 2 emergency worker(s)"]


def test_busyness_queue_that_never_empties() -> None:
    """A short queue is an emergency, too, when it lasts."""
    busyness = town("busyness", cheaper_overload=600, cheaper_busyness_backlog_nonzero=20)
    busyness.waiting = 1
    assert busyness.run(20, demand=3)[-1] == 2
    assert busyness.run(1, demand=3)[-1] == 3


def test_busyness_emergency_workers_leave_earlier() -> None:
    """They are held for their own multiplier."""
    settings = {"cheaper_overload": 10, "cheaper_busyness_multiplier": 50, "cheaper_busyness_backlog_multiplier": 2}
    busyness = town("busyness", **settings)
    busyness.run(1, demand=7)
    assert busyness.workers == 3
    busyness.run(60, demand=0)
    assert busyness.workers == 2


# --- every algorithm --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize(
    "curve",
    [lambda second: 20.0, lambda second: 0.0, lambda second: 8.0 * (second // 30 % 2), lambda second: second / 100],
)
def test_bounds_hold_on_every_curve(name: str, curve: Callable[[int], float]) -> None:
    """Never fewer than cheaper, never more than processes; manual never changes anything."""
    place = town(name)
    for second in range(1000):
        (count,) = place.run(1, curve(second))
        assert 2 <= count <= MOST
        assert name != "manual" or count == 2


# --- the policy -------------------------------------------------------------------------------------------------------


class Fixed:
    """An algorithm that always says the same."""

    def __init__(self, count: int, reason: str = "") -> None:
        self.answer = count, reason

    def decide(self, load: Load) -> tuple[int, str]:
        return self.answer


def cheap_fleet(count: int = 0, *, serving: int = 2, busy: tuple[int, ...] = (), **settings: object) -> Fleet:
    """Five numbers, of which `serving` have a worker; the algorithm wants `count` more."""
    fleet = fleet_of(5, cheaper=CheaperSettings(cheaper=1, cheaper_initial=serving, **settings))  # type: ignore[arg-type]
    fleet.booted = True
    for wid in range(1, serving + 1):
        add_worker(fleet, wid, now=10.0 - wid)
    fleet.algorithm = Fixed(count)
    fleet.load = Load(
        100.0,
        tuple(WorkerLoad(wid, wid in busy) for wid in range(1, serving + 1)),
        spare=5 - serving,
        memory=100,
    )
    return fleet


def test_initial_numbers() -> None:
    """cheaper-initial, at least cheaper, at most processes."""
    for initial, expected in ((0, 2), (1, 2), (3, 3), (9, 5)):
        fleet = fleet_of(5, cheaper=CheaperSettings(cheaper=2, cheaper_initial=initial))
        assert [slot.wid for slot in fleet.active] == list(range(1, expected + 1))
    assert len(fleet_of(5).active) == 5


def test_respawn_starts_only_who_is_wanted() -> None:
    fleet = fleet_of(3, cheaper=CheaperSettings(cheaper=1))
    assert [action.wid for action in respawn(fleet, 0.0)] == [1]  # type: ignore[union-attr]
    fleet.slot(3).cheap = False
    assert [action.wid for action in respawn(fleet, 0.0)] == [1, 3]  # type: ignore[union-attr]


def test_starting_by_the_policy() -> None:
    assert list(cheaper(cheap_fleet(2), 100.0)) == [Want(3), Want(4)]


def test_stopping_by_the_policy() -> None:
    """The oldest of those that are not busy; the busy ones only when all are."""
    assert list(cheaper(cheap_fleet(-1, serving=3), 100.0)) == [Cheapen(3)]
    assert list(cheaper(cheap_fleet(-1, serving=3, busy=(3,)), 100.0)) == [Cheapen(2)]
    assert dispensable(cheap_fleet(serving=3, busy=(1, 2, 3))) == 3


def test_the_reason_is_logged() -> None:
    fleet = cheap_fleet()
    fleet.algorithm = Fixed(1, "why")
    assert list(cheaper(fleet, 100.0)) == [Say("why"), Want(3)]


@pytest.mark.parametrize("state", ["starting", "stopping", "reloading", "paused", "asleep", "not looked"])
def test_when_nobody_is_asked(state: str) -> None:
    fleet = cheap_fleet(1)
    if state == "starting":
        fleet.booted = False
    elif state == "stopping":
        fleet.stop = Stop(0.0)
    elif state == "reloading":
        fleet.begin_reload(ReloadKind.WORKERS)
    elif state == "paused":
        fleet.paused = True
    elif state == "asleep":
        fleet.asleep = True
    else:
        fleet.load = None
    assert list(cheaper(fleet, 100.0)) == []


def test_memory_limits() -> None:
    """Above the soft limit nobody is started; above the hard one somebody goes, but cheaper stay."""
    assert list(cheaper(cheap_fleet(1, cheaper_rss_limit_soft=101), 100.0)) == [Want(3)]
    assert list(cheaper(cheap_fleet(1, cheaper_rss_limit_soft=100), 100.0)) == []
    assert list(cheaper(cheap_fleet(-1, cheaper_rss_limit_soft=100), 100.0)) == [Cheapen(2)]
    assert list(cheaper(cheap_fleet(1, cheaper_rss_limit_hard=100), 100.0)) == [Cheapen(2)]
    assert list(cheaper(cheap_fleet(1, serving=1, cheaper_rss_limit_hard=100), 100.0)) == []


def test_cheap_workers_are_told_once() -> None:
    """Who is on the way in is told when it is there."""
    fleet = cheap_fleet(serving=2)
    worker = fleet.slot(2).workers[0]
    fleet.slot(2).cheap = True
    assert list(dismiss_cheap(fleet, 1.0)) == [Dismiss(worker.serial, signal.SIGHUP, 60.0 + EXTRA_GRACE)]
    fleet.told(worker, signal.SIGHUP, None)
    assert list(dismiss_cheap(fleet, 1.0)) == []
    ordered = add_worker(fleet, 3, Phase.ORDERED)
    assert list(dismiss_cheap(fleet, 1.0)) == []
    fleet.born(ordered, 77, 1.0)
    assert [type(action) for action in dismiss_cheap(fleet, 1.0)] == [Dismiss]


# --- commands ---------------------------------------------------------------------------------------------------------


def tell(fleet: Fleet, command: Command, *arguments: str) -> tuple[bool, str]:
    reply = change_fleet(fleet, Request(command, "test", arguments), 100.0)
    return reply.ok, reply.message


def test_more_and_fewer() -> None:
    fleet = cheap_fleet(serving=2)
    assert tell(fleet, Command.MORE_WORKERS) == (True, "starting worker 3")
    assert tell(fleet, Command.MORE_WORKERS, "5") == (True, "starting workers 4, 5")
    assert tell(fleet, Command.MORE_WORKERS) == (False, "all 5 workers run already (option processes)")
    for wid in (3, 4, 5):
        add_worker(fleet, wid, now=10.0 - wid)
    assert tell(fleet, Command.FEWER_WORKERS, "9") == (True, "stopping workers 5, 4, 3, 2")
    assert tell(fleet, Command.FEWER_WORKERS) == (False, "1 worker must stay")


@pytest.mark.parametrize("argument", ["zero", "0", "-1", "1.5", "²"])
def test_no_number(argument: str) -> None:
    fleet = cheap_fleet()
    for command in (Command.MORE_WORKERS, Command.FEWER_WORKERS):
        assert tell(fleet, command, argument) == (
            False,
            f"how many workers is {argument!r}? a number from 1 is needed",
        )


def test_people_come_before_the_algorithm() -> None:
    """In the cycle of a command the algorithm changes nothing."""
    fleet = cheap_fleet(1)
    tell(fleet, Command.FEWER_WORKERS)
    assert list(cheaper(fleet, 100.0)) == []
    fleet.load = Load(101.0, ())
    assert list(cheaper(fleet, 101.0)) == [Want(2)]


# --- idle -------------------------------------------------------------------------------------------------------------


def test_idle_sleeps_and_wakes() -> None:
    """After the idle time all are let go; the listeners are watched exactly while the server sleeps."""
    fleet = fleet_of(2, cheaper=CheaperSettings(idle=60), ready=True)
    fleet.last_activity = 40.0
    assert list(idle(fleet, 99.9)) == []
    assert list(idle(fleet, 100.0)) == [Sleep("workers have been inactive for more than 60 seconds (60)")]
    fleet.sleep()
    assert list(idle(fleet, 200.0)) == []
    assert len(list(dismiss_cheap(fleet, 100.0))) == 2
    assert list(watch_clients(fleet, 100.0)) == [WatchListeners()]
    fleet.watching = True
    assert list(watch_clients(fleet, 100.0)) == []
    assert tell(fleet, Command.WAKE) == (True, "a client connects: leaving cheap mode")
    assert list(watch_clients(fleet, 100.0)) == [UnwatchListeners()]
    assert len(fleet.active) == 2
    assert list(idle(fleet, 100.0)) == []  # waking is activity


def test_waking_with_cheaper_starts_as_many_as_the_start() -> None:
    fleet = fleet_of(5, cheaper=CheaperSettings(cheaper=1, cheaper_initial=3, idle=10))
    fleet.booted = True
    fleet.sleep()
    tell(fleet, Command.WAKE)
    assert [slot.wid for slot in fleet.active] == [1, 2, 3]


def test_cheap_starts_asleep() -> None:
    fleet = fleet_of(2, cheaper=CheaperSettings(cheap=True))
    assert fleet.asleep
    assert fleet.active == []
    assert list(watch_clients(fleet, 0.0)) == []  # not before the application is loaded
    fleet.booted = True
    assert list(watch_clients(fleet, 0.0)) == [WatchListeners()]


def test_going_cheap_by_command() -> None:
    fleet = fleet_of(2, ready=True)
    assert tell(fleet, Command.GO_CHEAP) == (True, "all workers leave until a client connects")
    assert tell(fleet, Command.GO_CHEAP) == (False, "the server is in cheap mode already")
    fleet.begin_reload(ReloadKind.WORKERS)
    assert tell(fleet, Command.GO_CHEAP)[0] is False


def test_die_on_idle() -> None:
    fleet = fleet_of(1, cheaper=CheaperSettings(idle=5, die_on_idle=True), ready=True)
    assert [type(action) for action in idle(fleet, 6.0)] == [EndServer]


def test_die_on_no_workers() -> None:
    """Only when none is there and none is wanted: a crash is none of this."""
    fleet = fleet_of(1, cheaper=CheaperSettings(die_on_no_workers=True), ready=True)
    (worker,) = fleet.slot(1).workers
    fleet.slot(1).cheap = True
    assert list(die_on_no_workers(fleet, 1.0)) == []
    fleet.gone(worker)
    assert [type(action) for action in die_on_no_workers(fleet, 1.0)] == [EndServer]
    fleet.slot(1).cheap = False
    assert list(die_on_no_workers(fleet, 1.0)) == []


# --- reload -----------------------------------------------------------------------------------------------------------


def test_workers_are_started_while_the_new_application_loads() -> None:
    """That may take long; only while workers are exchanged nobody else decides about them."""
    fleet = cheap_fleet(1)
    fleet.begin_reload(ReloadKind.WHOLE)
    assert fleet.reload is not None
    for stage in Stage:
        fleet.reload.stage = stage
        assert list(cheaper(fleet, 100.0)) == ([Want(3)] if stage in (Stage.CHECKING, Stage.LOADING) else [])


def test_a_reload_orders_successors_only_of_those_who_serve() -> None:
    fleet = cheap_fleet(serving=2)
    fleet.begin_reload(ReloadKind.WORKERS)
    ordered = []
    for _ in range(20):
        for action in tuple(reload(fleet, 100.0 if len(ordered) < 2 else 101.0)):
            match action:
                case OrderWorker(wid, bank):
                    ordered.append(wid)
                    worker = fleet.ordered(wid, bank, 1, 100.0)
                    fleet.born(worker, 500 + wid, 100.0)
                    worker.move(Phase.READY)
                case Dismiss(serial, number, _):
                    leaving = fleet.worker_of_serial(serial)
                    assert leaving is not None
                    fleet.told(leaving, number, None)
                    fleet.gone(leaving)
                case FinishReload():
                    fleet.end_reload(ok=True, message="")
    assert ordered == [1, 2]
    assert fleet.reload is None


def after_reload(fleet: Fleet, processes: int, **settings: object) -> list[int]:
    """Who is to have a worker in the next image, whose settings are these."""
    image = fleet_of(processes, cheaper=CheaperSettings(**settings))  # type: ignore[arg-type]
    restore_fleet(image, fleet_row(fleet))
    return [slot.wid for slot in image.active]


def test_the_next_image_keeps_the_number() -> None:
    """As many as before, within what its settings allow; who is beyond processes is replaced by another number."""
    fleet = cheap_fleet(serving=3)
    assert after_reload(fleet, 5, cheaper=1) == [1, 2, 3]
    assert after_reload(fleet, 8, cheaper=1) == [1, 2, 3]
    assert after_reload(fleet, 5, cheaper=4) == [1, 2, 3, 4]
    assert after_reload(fleet, 2, cheaper=1) == [1, 2]
    assert after_reload(fleet, 4) == [1, 2, 3, 4]  # cheaper was switched off
    for wid, cheap in ((1, True), (2, True), (4, False), (5, False)):
        fleet.slot(wid).cheap = cheap
    assert after_reload(fleet, 5, cheaper=1) == [3, 4, 5]
    assert after_reload(fleet, 4, cheaper=1) == [1, 3, 4]
    assert after_reload(fleet, 2, cheaper=1) == [1, 2]


def test_the_next_image_of_a_fleet_without_cheaper() -> None:
    """Who was stopped by hand stays away; new numbers have a worker."""
    fleet = fleet_of(3, ready=True)
    fleet.slot(2).cheap = True
    assert after_reload(fleet, 3) == [1, 3]
    assert after_reload(fleet, 5) == [1, 3, 4, 5]


def test_the_next_image_of_a_sleeping_server_sleeps() -> None:
    fleet = fleet_of(2, cheaper=CheaperSettings(idle=60), ready=True)
    fleet.sleep()
    image = fleet_of(4, cheaper=CheaperSettings(idle=60))
    restore_fleet(image, fleet_row(fleet))
    assert (image.asleep, image.active, image.booted) == (True, [], True)
    assert list(watch_clients(image, 0.0)) == [WatchListeners()]


def test_who_can_be_started_at_once_is_started_first() -> None:
    """A number both of whose processes still end their requests comes last."""
    fleet = fleet_of(3, cheaper=CheaperSettings(cheaper=1))
    fleet.booted = True
    for _ in range(2):
        add_worker(fleet, 1, Phase.LEAVING)
    fleet.sleep()
    tell(fleet, Command.WAKE)
    assert [slot.wid for slot in fleet.active] == [2]
