"""The master's rules, with simulated time: no process, no clock."""

from __future__ import annotations

import signal

import pytest

from uwsgi_deploy.master.actions import (
    CloseListeners,
    Dismiss,
    EndServer,
    Kill,
    KillTemplate,
    OrderWorker,
    StartTemplate,
    StopTemplate,
    WakeAt,
)
from uwsgi_deploy.master.fleet import Fleet, Phase, ReloadKind, Worker
from uwsgi_deploy.master.policies.respawn import (
    FIRST_PAUSE,
    MOST_FAILED_STARTS,
    PAUSE_OF_KILLED,
    failures_after,
    pause_after,
    respawn,
)
from uwsgi_deploy.master.policies.stop import EXTRA_GRACE, IMMEDIATE_GRACE, farewell, mercy, stop
from uwsgi_deploy.master.rows import Template


def fleet_of(processes: int, *, mercy: float = 60.0, template: bool = True) -> Fleet:
    """A fleet without workers, with a loaded template of generation 1."""
    fleet = Fleet(processes, mercy=mercy)
    if template:
        add_template(fleet)
    return fleet


def add_template(fleet: Fleet, *, ready: bool = True) -> Template:
    """The next generation's template."""
    generation = fleet.next_generation()
    template = Template(generation, pid=1000 + generation, ready=ready)
    fleet.templates.append(template)
    return template


def add_worker(fleet: Fleet, wid: int, phase: Phase = Phase.READY, generation: int = 1, now: float = 0.0) -> Worker:
    """A worker in a phase, in a free bank."""
    bank = fleet.slot(wid).free_bank
    assert bank is not None
    worker = fleet.ordered(wid, bank, generation, now)
    if phase is not Phase.ORDERED:
        fleet.born(worker, 100 + worker.serial, now)
    if phase in (Phase.READY, Phase.LEAVING):
        worker.move(Phase.READY)
    if phase is Phase.LEAVING:
        fleet.told(worker, signal.SIGHUP, None)
    return worker


# --- respawn ----------------------------------------------------------------------------------------------------------


def test_template_comes_first() -> None:
    """Without a template nobody can be forked; while one loads, another is not started."""
    fleet = fleet_of(2, template=False)
    assert list(respawn(fleet, 0.0)) == [StartTemplate()]
    template = add_template(fleet, ready=False)
    assert list(respawn(fleet, 0.0)) == []
    template.ready = True
    assert list(respawn(fleet, 0.0)) == [OrderWorker(1, 0), OrderWorker(2, 0)]


def test_lost_template_is_loaded_again() -> None:
    """A template that died is replaced at once, so that the next worker does not wait for an import."""
    fleet = fleet_of(1, template=False)
    add_worker(fleet, 1)
    fleet.booted = True
    assert list(respawn(fleet, 0.0)) == [StartTemplate()]
    fleet.begin_reload(ReloadKind.WHOLE)
    assert list(respawn(fleet, 0.0)) == []  # the reload brings one


def test_reload_of_the_workers_gets_its_template() -> None:
    """It needs one that loads the application; that one died and no worker is missing."""
    fleet = fleet_of(1, template=False)
    add_worker(fleet, 1)
    fleet.booted = True
    fleet.begin_reload(ReloadKind.WORKERS)
    assert list(respawn(fleet, 0.0)) == [StartTemplate()]


def test_template_that_fails_again_and_again_is_loaded_when_needed() -> None:
    """Workers that serve do without a template whose application cannot be loaded any more."""
    fleet = fleet_of(1, template=False)
    worker = add_worker(fleet, 1)
    fleet.booted, fleet.template_failures = True, MOST_FAILED_STARTS
    assert list(respawn(fleet, 0.0)) == []
    fleet.gone(worker)
    assert list(respawn(fleet, 0.0)) == [StartTemplate()]


def test_template_that_failed_waits() -> None:
    """Loading is not tried again before its pause is over."""
    fleet = fleet_of(1, template=False)
    fleet.template_not_before = 5.0
    assert list(respawn(fleet, 4.9)) == []
    assert list(respawn(fleet, 5.0)) == [StartTemplate()]


@pytest.mark.parametrize("phase", [Phase.ORDERED, Phase.STARTING, Phase.READY])
def test_slot_with_a_worker_needs_none(phase: Phase) -> None:
    """Whoever serves or is going to is enough."""
    fleet = fleet_of(1)
    add_worker(fleet, 1, phase)
    assert list(respawn(fleet, 0.0)) == []


def test_successor_of_a_leaving_worker() -> None:
    """A retiring worker is replaced before it is gone, in the other bank; with both banks taken one waits."""
    fleet = fleet_of(1)
    add_worker(fleet, 1, Phase.LEAVING)
    assert list(respawn(fleet, 0.0)) == [OrderWorker(1, 1)]
    add_worker(fleet, 1, Phase.LEAVING)
    assert list(respawn(fleet, 0.0)) == []


def test_pause_is_per_worker() -> None:
    """One that crashes at once does not hold up its siblings."""
    fleet = fleet_of(2)
    fleet.slot(1).not_before = 3.0
    assert list(respawn(fleet, 2.9)) == [OrderWorker(2, 0)]
    assert list(respawn(fleet, 3.0)) == [OrderWorker(1, 0), OrderWorker(2, 0)]


def test_nobody_is_born_while_stopping() -> None:
    """A stopping server starts nothing."""
    fleet = fleet_of(1)
    fleet.begin_stop(0.0)
    assert list(respawn(fleet, 0.0)) == []


def test_back_off_over_simulated_time() -> None:
    """First at once, then 0.1 s, doubled up to 5 s; a life of ten seconds makes it new."""
    failures, pauses = 0, []
    for _ in range(9):
        failures = failures_after(failures, lifetime=0.5)
        pauses.append(pause_after(failures))
    assert pauses == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert pause_after(10_000) == 5.0
    assert failures_after(failures, lifetime=10.0) == 0
    assert pause_after(0) == 0.0


def test_worker_that_served_is_replaced_soon() -> None:
    """Requests that kill workers do not keep the service down; they still count against a new version."""
    assert failures_after(2, lifetime=0.5, served=True) == 3
    assert failures_after(MOST_FAILED_STARTS - 1, lifetime=0.5, served=True) == MOST_FAILED_STARTS - 1
    assert pause_after(10_000, served=True) == FIRST_PAUSE


def test_killed_worker_is_no_failed_start() -> None:
    """SIGKILL comes from outside; only who had not served yet may have been killed for what a start needs."""
    assert failures_after(3, lifetime=0.5, served=True, killed=True) == 0
    assert failures_after(3, lifetime=0.5, served=False, killed=True) == 4
    assert pause_after(10_000, killed=True) == PAUSE_OF_KILLED


# --- stop and mercy ---------------------------------------------------------------------------------------------------


def test_stop_in_order() -> None:
    """Sockets first, then templates, then workers; a second look asks for nothing twice."""
    fleet = fleet_of(2, mercy=30.0)
    first, second = add_worker(fleet, 1), add_worker(fleet, 2)
    assert list(stop(fleet, 0.0)) == []
    fleet.begin_stop(0.0)
    grace = 30.0 + EXTRA_GRACE
    assert list(stop(fleet, 0.0)) == [
        CloseListeners(),
        StopTemplate(1),
    ]
    fleet.templates[0].stopping = True
    assert list(stop(fleet, 0.0)) == [CloseListeners()]
    fleet.templates.clear()
    assert list(stop(fleet, 0.0)) == [
        CloseListeners(),
        Dismiss(first.serial, signal.SIGTERM, grace),
        Dismiss(second.serial, signal.SIGTERM, grace),
    ]
    for worker in (first, second):
        fleet.told(worker, signal.SIGTERM, grace)
    assert list(stop(fleet, 1.0)) == [CloseListeners()]


def test_stop_at_once() -> None:
    """An immediate stop overtakes a graceful one."""
    fleet = fleet_of(1)
    worker = add_worker(fleet, 1)
    fleet.begin_stop(0.0)
    fleet.told(worker, signal.SIGTERM, 61.0)
    assert fleet.stop is not None
    fleet.stop.immediate = True
    assert Dismiss(worker.serial, signal.SIGQUIT, IMMEDIATE_GRACE) in list(stop(fleet, 1.0))
    fleet.told(worker, signal.SIGQUIT, 2.0)
    assert not [action for action in stop(fleet, 1.0) if isinstance(action, Dismiss)]


def test_worker_that_leaves_already_is_told_to_stop() -> None:
    """A worker that retires for a reload hears of the stop, too."""
    fleet = fleet_of(1, template=False)
    worker = add_worker(fleet, 1)
    fleet.told(worker, signal.SIGHUP, 61.0)
    fleet.begin_stop(0.0)
    assert Dismiss(worker.serial, signal.SIGTERM, 61.0) in list(stop(fleet, 1.0))


def test_worker_that_is_only_ordered_is_told_when_it_is_born() -> None:
    """Nobody can be told who has no pid yet."""
    fleet = fleet_of(1, template=False)
    worker = add_worker(fleet, 1, Phase.ORDERED)
    fleet.begin_stop(0.0)
    assert not [action for action in stop(fleet, 0.0) if isinstance(action, Dismiss)]
    fleet.born(worker, 77, 0.1)
    assert [action for action in stop(fleet, 0.1) if isinstance(action, Dismiss)]


def test_mercy_ends() -> None:
    """At its deadline, not before, a worker or template is killed."""
    fleet = fleet_of(1)
    worker = add_worker(fleet, 1)
    assert list(mercy(fleet, 1e9)) == []
    fleet.told(worker, signal.SIGTERM, 61.0)
    fleet.templates[0].deadline = 2.0
    assert list(mercy(fleet, 1.9)) == []
    assert list(mercy(fleet, 2.0)) == [KillTemplate(1)]
    fleet.templates[0].deadline = None
    assert list(mercy(fleet, 61.0)) == [Kill(worker.serial)]


def test_mercy_of_zero_is_endless() -> None:
    """worker-reload-mercy = 0 means that nobody is killed for taking long."""
    fleet = fleet_of(1, mercy=0.0, template=False)
    worker = add_worker(fleet, 1)
    fleet.begin_stop(0.0)
    assert Dismiss(worker.serial, signal.SIGTERM, None) in list(stop(fleet, 0.0))


# --- lame-duck --------------------------------------------------------------------------------------------------------


def test_farewell_ends_when_its_time_is_over() -> None:
    """Until then the policy only asks to be asked again; a stop that has begun meanwhile is left alone."""
    fleet = fleet_of(1)
    assert list(farewell(fleet, 0.0)) == []
    fleet.begin_farewell(5.0, 10.0)
    assert list(farewell(fleet, 14.9)) == [WakeAt(15.0)]
    assert [type(action) for action in farewell(fleet, 15.0)] == [EndServer]
    fleet.begin_stop(15.0)
    assert list(farewell(fleet, 15.1)) == []


def test_workers_that_die_in_the_farewell_are_replaced() -> None:
    fleet = fleet_of(1)
    fleet.begin_farewell(0.0, 10.0)
    assert any(isinstance(action, OrderWorker) for action in respawn(fleet, 1.0))
