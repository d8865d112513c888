"""Who is recycled, and in which order it is replaced, in simulated time."""

from __future__ import annotations

import signal

import pytest

from tests.unit.master.support import add_worker, fleet_of
from uwsgi_deploy.config.settings import RecyclingSettings
from uwsgi_deploy.master.actions import Dismiss, OrderWorker, Recycle, StartTemplate, WakeAt
from uwsgi_deploy.master.fleet import Phase
from uwsgi_deploy.master.fleet_commands import recycle_workers
from uwsgi_deploy.master.policies.lifetime import lifetime
from uwsgi_deploy.master.policies.memory import memory
from uwsgi_deploy.master.policies.reload import reload
from uwsgi_deploy.master.policies.respawn import respawn
from uwsgi_deploy.master.policies.stop import EXTRA_GRACE, IMMEDIATE_GRACE
from uwsgi_deploy.master.policies.succession import succession
from uwsgi_deploy.master.reload_rows import ReloadKind, Stage
from uwsgi_deploy.process.memory import Usage

GRACE = 60.0 + EXTRA_GRACE
MEBIBYTE = 1 << 20


# --- succession -------------------------------------------------------------------------------------------------------


def test_nobody_is_replaced_without_a_reason() -> None:
    assert list(succession(fleet_of(2, ready=True), 5.0)) == []


def test_a_successor_comes_before_the_worker_goes() -> None:
    """Ordered, awaited, and only when it serves is the former one told to leave."""
    fleet = fleet_of(1, ready=True)
    (old,) = fleet.slot(1).workers
    old.outlived = True
    assert list(succession(fleet, 5.0)) == [OrderWorker(1, 1)]
    new = add_worker(fleet, 1, Phase.ORDERED)
    assert list(succession(fleet, 5.0)) == []
    fleet.born(new, 500, 5.0)
    assert list(succession(fleet, 5.1)) == []
    new.move(Phase.READY)
    assert list(succession(fleet, 5.2)) == [Dismiss(old.serial, signal.SIGHUP, GRACE)]
    fleet.told(old, signal.SIGHUP, None)
    assert list(succession(fleet, 5.3)) == []


def test_one_at_a_time() -> None:
    """When all workers are done at once they are replaced one after the other."""
    fleet = fleet_of(3, ready=True)
    for worker in fleet.workers():
        worker.outlived = True
    assert list(succession(fleet, 5.0)) == [OrderWorker(1, 1)]
    new = add_worker(fleet, 1, Phase.STARTING)
    assert list(succession(fleet, 5.0)) == []
    new.move(Phase.READY)
    assert list(succession(fleet, 5.0)) == [Dismiss(1, signal.SIGHUP, GRACE), OrderWorker(2, 1)]


def test_a_reload_finds_a_successor_that_has_just_come() -> None:
    """Two old workers of one number, both serving: the former makes room for the one that the reload brings."""
    fleet = fleet_of(1, ready=True)
    former, successor = fleet.slot(1).workers[0], add_worker(fleet, 1)
    former.outlived = successor.outlived = True
    fleet.begin_reload(ReloadKind.WORKERS)
    assert list(reload(fleet, 5.0)) == []
    assert list(succession(fleet, 5.0)) == [Dismiss(former.serial, signal.SIGHUP, GRACE)]
    fleet.told(former, signal.SIGHUP, None)
    fleet.gone(former)
    assert list(reload(fleet, 5.0)) == [OrderWorker(1, 0)]
    assert list(succession(fleet, 5.0)) == []


def test_a_successor_that_failed_is_tried_again_later() -> None:
    """The worker serves on, although its time is over."""
    fleet = fleet_of(1, ready=True)
    fleet.slot(1).workers[0].outlived = True
    fleet.slot(1).not_before = 7.0
    assert list(succession(fleet, 6.9)) == []
    assert list(succession(fleet, 7.0)) == [OrderWorker(1, 1)]


def test_a_bank_must_be_free() -> None:
    """While the last but one still finishes its requests there is no third process."""
    fleet = fleet_of(1)
    add_worker(fleet, 1, Phase.LEAVING)
    add_worker(fleet, 1).outlived = True
    assert list(succession(fleet, 5.0)) == []


def test_a_lost_template_is_loaded_for_a_successor() -> None:
    fleet = fleet_of(1, ready=True)
    fleet.templates.clear()
    fleet.slot(1).workers[0].outlived = True
    assert list(succession(fleet, 5.0)) == [StartTemplate()]
    fleet.template_not_before = 9.0
    assert list(succession(fleet, 5.0)) == []


def test_a_reload_replaces_everybody_anyway() -> None:
    """As long as its application is not loaded, though, recycling goes on."""
    fleet = fleet_of(1, ready=True)
    fleet.slot(1).workers[0].outlived = True
    fleet.begin_reload(ReloadKind.WHOLE)
    assert fleet.reload is not None
    assert list(succession(fleet, 5.0)) == [OrderWorker(1, 1)]
    fleet.reload.stage = Stage.ROLLING
    assert list(succession(fleet, 5.0)) == []


def test_without_memory_for_two_the_old_one_goes_first() -> None:
    """Its successor is ordered when it has gone, not before."""
    fleet = fleet_of(1, ready=True)
    slot = fleet.slot(1)
    (old,) = slot.workers
    old.outlived = slot.cramped = True
    (action,) = succession(fleet, 5.0)
    assert isinstance(action, Dismiss)
    assert (action.serial, action.signal, action.grace) == (old.serial, signal.SIGHUP, GRACE)
    assert "not enough memory" in action.reason
    fleet.told(old, signal.SIGHUP, None)
    assert list(respawn(fleet, 5.0)) == []
    fleet.gone(old)
    assert not slot.cramped
    assert list(respawn(fleet, 5.0)) == [OrderWorker(1, 0)]


def test_nobody_is_replaced_while_stopping() -> None:
    fleet = fleet_of(1, ready=True)
    fleet.slot(1).workers[0].outlived = True
    fleet.begin_stop(5.0)
    assert list(succession(fleet, 5.0)) == []


# --- lifetime ---------------------------------------------------------------------------------------------------------


def test_lifetime_off() -> None:
    assert list(lifetime(fleet_of(2, ready=True), 1e9)) == []


def test_lifetime_with_delta() -> None:
    """Each next worker lives a delta longer; the master looks again when the next one is due."""
    fleet = fleet_of(2, recycling=RecyclingSettings(max_worker_lifetime=100, max_worker_lifetime_delta=20), ready=True)
    first, second = fleet.workers()
    assert list(lifetime(fleet, 99.9)) == [WakeAt(100.0), WakeAt(120.0)]
    line = "worker 1 lifetime reached, it was running for 100 second(s)"
    assert list(lifetime(fleet, 100.0)) == [Recycle(first.serial, line), WakeAt(120.0)]
    first.outlived = True
    line = "worker 2 lifetime reached, it was running for 121 second(s)"
    assert list(lifetime(fleet, 121.5)) == [Recycle(second.serial, line)]


def test_a_fleet_over_a_simulated_hour() -> None:
    """Four workers of ten minutes: each is replaced five or six times, never two processes too many."""
    settings = RecyclingSettings(max_worker_lifetime=600)
    fleet = fleet_of(4, recycling=settings, ready=True)
    born = dict.fromkeys((1, 2, 3, 4), 1)
    most = 0
    for second in range(3600):
        now = float(second)
        for worker in list(fleet.workers()):
            if worker.phase is Phase.STARTING:
                worker.move(Phase.READY)
            elif worker.phase is Phase.LEAVING:
                fleet.gone(worker)
        for action in [*lifetime(fleet, now), *succession(fleet, now)]:
            match action:
                case Recycle(serial):
                    worker = fleet.worker_of_serial(serial)  # type: ignore[assignment]
                    worker.outlived = True
                case OrderWorker(wid):
                    add_worker(fleet, wid, Phase.STARTING, now=now)
                    born[wid] += 1
                case Dismiss(serial, number):
                    worker = fleet.worker_of_serial(serial)  # type: ignore[assignment]
                    fleet.told(worker, number, None)
        serving = {worker.wid for worker in fleet.workers() if worker.phase is Phase.READY}
        assert serving == {1, 2, 3, 4}
        most = max(most, sum(1 for _ in fleet.workers()))
    assert set(born.values()) <= {6, 7}
    assert most <= 6  # the one that arrives, and the one that leaves


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "usage", "named"),
    [
        (RecyclingSettings(evil_reload_on_rss=100), Usage(500 * MEBIBYTE, 100 * MEBIBYTE), "RSS: 104857600"),
        (RecyclingSettings(evil_reload_on_as=400), Usage(500 * MEBIBYTE, 10 * MEBIBYTE), "ADDRESS SPACE: 524288000"),
        (
            RecyclingSettings(evil_reload_on_as=400, evil_reload_on_rss=5),
            Usage(500 * MEBIBYTE, 10 * MEBIBYTE),
            "ADDRESS SPACE: 524288000",
        ),
    ],
)
def test_evil_reload(settings: RecyclingSettings, usage: Usage, named: str) -> None:
    """Killed at once, and once; the line names worker, size and pid."""
    fleet = fleet_of(2, recycling=settings, ready=True)
    worker = fleet.slot(2).workers[0]
    assert list(memory(fleet, 1.0)) == []
    worker.usage = usage
    line = f"*** EVIL RELOAD ON WORKER 2 {named} (pid: {worker.pid}) ***"
    assert list(memory(fleet, 1.0)) == [Dismiss(worker.serial, signal.SIGKILL, IMMEDIATE_GRACE, line)]
    fleet.told(worker, signal.SIGKILL, 2.0)
    assert list(memory(fleet, 1.0)) == []
    assert list(respawn(fleet, 1.0)) == [OrderWorker(2, 1)]


def test_below_the_evil_limit() -> None:
    fleet = fleet_of(1, recycling=RecyclingSettings(evil_reload_on_rss=100), ready=True)
    fleet.slot(1).workers[0].usage = Usage(1 << 40, 100 * MEBIBYTE - 1)
    assert list(memory(fleet, 1.0)) == []


# --- by command -------------------------------------------------------------------------------------------------------


def test_recycle_command() -> None:
    """Named workers, or all; an unknown number changes nothing and is said so."""
    fleet = fleet_of(3, ready=True)
    reply = recycle_workers(fleet, ("2",))
    assert (reply.ok, reply.message) == (True, "replacing worker 2")
    assert [worker.outlived for worker in fleet.workers()] == [False, True, False]
    reply = recycle_workers(fleet, ("1", "9"))
    assert (reply.ok, reply.message) == (False, "there is no worker 9: workers are numbered 1 to 3")
    assert recycle_workers(fleet, ()).message == "replacing workers 1, 2, 3"
    fleet.begin_stop(1.0)
    assert not recycle_workers(fleet, ()).ok
