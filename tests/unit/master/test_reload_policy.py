"""How something new comes in, step by step, and how it is turned back. Pure: fleets, instants, actions."""

from __future__ import annotations

import signal

import pytest

from tests.unit.master.test_policies import add_template, add_worker, fleet_of
from uwsgi_deploy.master.actions import (
    Action,
    ChainVictim,
    CheckConfiguration,
    Dismiss,
    FinishReload,
    GiveUpReload,
    OrderWorker,
    ReplaceMaster,
    StartTemplate,
    StopTemplate,
    WakeAt,
)
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.policies.reload import PROBATION, STEPS, reload, retire_templates
from uwsgi_deploy.master.policies.respawn import respawn
from uwsgi_deploy.master.policies.stop import EXTRA_GRACE, IMMEDIATE_GRACE
from uwsgi_deploy.master.reload_rows import Reload, ReloadKind, Stage
from uwsgi_deploy.master.rows import Checker

GRACE = 60.0 + EXTRA_GRACE


def serving(processes: int) -> Fleet:
    """A fleet whose workers are all ready."""
    fleet = fleet_of(processes)
    for wid in range(1, processes + 1):
        add_worker(fleet, wid)
    fleet.booted = True
    return fleet


def begun(fleet: Fleet, kind: ReloadKind, stage: Stage | None = None) -> Reload:
    """A reload of this kind, in this stage."""
    fleet.begin_reload(kind)
    assert fleet.reload is not None
    if stage is not None:
        fleet.reload.stage = stage
    return fleet.reload


def promote(fleet: Fleet) -> None:
    """The newest template is loaded and all shall be of its generation."""
    assert fleet.reload is not None
    template = add_template(fleet)
    fleet.reload.stage, fleet.reload.target = Stage.ROLLING, template.generation


def actions(fleet: Fleet, now: float = 0.0) -> list[Action]:
    return list(reload(fleet, now))


# --- the way in -------------------------------------------------------------------------------------------------------


def test_every_stage_has_a_step() -> None:
    assert set(STEPS) == set(Stage)


def test_whole_reload_checks_replaces_loads() -> None:
    """Configuration first, once; then the master; then the application."""
    fleet = serving(1)
    fleet.can_execute = True
    running = begun(fleet, ReloadKind.WHOLE)
    assert actions(fleet) == [CheckConfiguration()]
    fleet.checker = Checker(7, 120.0)
    assert actions(fleet) == []
    fleet.checker, running.stage = None, Stage.REPLACING
    assert actions(fleet) == [ReplaceMaster()]
    running.stage = Stage.LOADING
    assert actions(fleet) == [StartTemplate()]
    add_template(fleet, ready=False)
    assert actions(fleet) == []


def test_server_from_python_keeps_its_settings() -> None:
    """Without a command line to run again, the application is all that is new."""
    fleet = serving(1)
    begun(fleet, ReloadKind.WHOLE)
    assert actions(fleet) == [StartTemplate()]


def test_master_is_not_replaced_while_a_worker_has_no_pid() -> None:
    """A moment later it has one, or was never born."""
    fleet = serving(1)
    begun(fleet, ReloadKind.WHOLE, Stage.REPLACING)
    worker = add_worker(fleet, 1, Phase.ORDERED)
    assert actions(fleet) == []
    fleet.born(worker, 99, 0.0)
    assert actions(fleet) == [ReplaceMaster()]


@pytest.mark.parametrize("kind", [ReloadKind.CHAIN, ReloadKind.WORKERS, ReloadKind.BRUTAL_WORKERS])
def test_reload_of_workers_loads_nothing_itself(kind: ReloadKind) -> None:
    """The same template, unless workers load the application themselves (lazy-apps)."""
    fleet = serving(1)
    begun(fleet, kind)
    found = actions(fleet)
    assert not {CheckConfiguration(), ReplaceMaster(), StartTemplate()} & set(found)
    assert found


def test_reload_waits_for_the_start() -> None:
    """Asked for while the server starts, it begins when all workers are ready."""
    fleet = fleet_of(1)
    begun(fleet, ReloadKind.WHOLE)
    assert actions(fleet) == []
    add_worker(fleet, 1)
    fleet.boot()
    assert actions(fleet) == [StartTemplate()]
    assert fleet.reload is not None
    assert (fleet.reload.beyond, fleet.reload.after) == (1, 1)


def test_reload_ends_with_a_stop() -> None:
    """A stopping server loads nothing."""
    fleet = serving(1)
    begun(fleet, ReloadKind.WHOLE)
    fleet.begin_stop(0.0)
    assert actions(fleet) == []


def test_restart_empties_the_server_first() -> None:
    """Nobody new comes while the old ones leave, and nothing new is loaded before the last one has gone."""
    fleet = serving(2)
    fleet.can_execute = True
    add_template(fleet)
    running = begun(fleet, ReloadKind.RESTART)
    assert actions(fleet) == [CheckConfiguration()]
    assert running.checked is Stage.EMPTYING
    running.stage = Stage.EMPTYING
    first, second = fleet.workers()
    found = actions(fleet)
    assert {StopTemplate(template.generation) for template in fleet.templates} <= set(found)
    assert Dismiss(first.serial, signal.SIGHUP, GRACE) in found
    assert Dismiss(second.serial, signal.SIGHUP, GRACE) in found
    for template in list(fleet.templates):
        template.stopping = True
        fleet.templates.remove(template)
    for worker in (first, second):
        fleet.told(worker, signal.SIGHUP, None)
    fleet.gone(first)
    assert actions(fleet) == list(respawn(fleet, 0.0)) == []
    fleet.gone(second)
    assert actions(fleet) == [ReplaceMaster()]
    assert list(respawn(fleet, 0.0)) == []


def test_restart_without_a_command_line_empties_the_server_at_once() -> None:
    fleet = serving(1)
    assert begun(fleet, ReloadKind.RESTART).stage is Stage.EMPTYING


def test_restart_waits_for_the_start() -> None:
    """A server that starts goes on starting."""
    fleet = fleet_of(1)
    begun(fleet, ReloadKind.RESTART)
    assert actions(fleet) == []
    assert list(respawn(fleet, 0.0)) != []


def test_of_what_waits_the_one_that_brings_more_counts() -> None:
    fleet = serving(1)
    running = begun(fleet, ReloadKind.WHOLE)
    for kind, counts in (
        (ReloadKind.CHAIN, ReloadKind.CHAIN),
        (ReloadKind.WORKERS, ReloadKind.WORKERS),
        (ReloadKind.BRUTAL, ReloadKind.BRUTAL),
        (ReloadKind.WHOLE, ReloadKind.BRUTAL),
        (ReloadKind.RESTART, ReloadKind.RESTART),
        (ReloadKind.BRUTAL, ReloadKind.RESTART),
    ):
        fleet.begin_reload(kind)
        assert running.again_kind is counts


def test_a_sleeping_server_reloads_too() -> None:
    """Nobody serves in cheap mode, so there is nobody to wait for."""
    fleet = serving(1)
    fleet.gone(next(iter(fleet.workers())))
    fleet.sleep()
    begun(fleet, ReloadKind.WHOLE)
    promote(fleet)
    assert actions(fleet) == [FinishReload()]


# --- one after the other ----------------------------------------------------------------------------------------------


def test_workers_are_replaced_in_turn() -> None:
    """A new worker is ready before an old one is told to leave; then it is the next one's turn."""
    fleet = serving(2)
    old = list(fleet.workers())
    begun(fleet, ReloadKind.WHOLE)
    promote(fleet)
    for wid in (1, 2):
        assert actions(fleet) == [OrderWorker(wid, 1)]
        new = add_worker(fleet, wid, Phase.STARTING, generation=2)
        assert actions(fleet) == []
        new.move(Phase.READY)
        assert actions(fleet)[0] == Dismiss(old[wid - 1].serial, signal.SIGHUP, GRACE)
        fleet.told(old[wid - 1], signal.SIGHUP, GRACE)
    assert actions(fleet) == [WakeAt(PROBATION)]
    assert actions(fleet, PROBATION) == [FinishReload()]


def test_reload_waits_for_a_bank() -> None:
    """A slot whose predecessor still finishes requests has no room; the reload waits for it and is not over."""
    fleet = fleet_of(1)
    fleet.booted = True
    add_worker(fleet, 1, Phase.LEAVING)
    add_worker(fleet, 1)
    begun(fleet, ReloadKind.WHOLE)
    promote(fleet)
    assert actions(fleet) == []


def test_brutal_reload_replaces_all_at_once() -> None:
    """Loaded first, then everybody old goes; `respawn` fills the slots."""
    fleet = serving(2)
    old = list(fleet.workers())
    begun(fleet, ReloadKind.BRUTAL)
    promote(fleet)
    assert actions(fleet) == [Dismiss(w.serial, signal.SIGQUIT, IMMEDIATE_GRACE) for w in old]
    for worker in old:
        fleet.told(worker, signal.SIGQUIT, 1.0)
    assert list(respawn(fleet, 0.0)) == [OrderWorker(1, 1), OrderWorker(2, 1)]
    for wid in (1, 2):
        assert actions(fleet, PROBATION) == []
        add_worker(fleet, wid, generation=2)
    assert actions(fleet, PROBATION) == [FinishReload()]


def test_chain_says_where_it_is() -> None:
    """Each next victim is named, and whoever takes longer than a second is, too, once a second."""
    fleet = serving(2)
    running = begun(fleet, ReloadKind.CHAIN)
    assert actions(fleet, 5.0) == [ChainVictim(1, waiting=False), OrderWorker(1, 1)]
    running.victim, running.told_at = 1, 5.0
    add_worker(fleet, 1, Phase.STARTING)
    assert actions(fleet, 5.5) == [WakeAt(6.0)]
    assert actions(fleet, 6.0) == [ChainVictim(1, waiting=True), WakeAt(7.0)]


def test_same_generation_is_told_by_age() -> None:
    """In a reload of workers, those that were there when it began are old, though the template is the same."""
    fleet = serving(1)
    (old,) = fleet.workers()
    begun(fleet, ReloadKind.WORKERS)
    new = add_worker(fleet, 1, Phase.READY)
    assert actions(fleet)[0] == Dismiss(old.serial, signal.SIGHUP, GRACE)
    fleet.told(old, signal.SIGHUP, GRACE)
    assert not fleet.is_old(new)
    assert actions(fleet, PROBATION) == [FinishReload()]


# --- another number of workers ----------------------------------------------------------------------------------------


def test_more_workers_come_from_the_new_template() -> None:
    """The old template does not know the new numbers; the new one fills them."""
    fleet = serving(1)
    fleet.templates[0].processes = 1
    fleet.resize(2)
    begun(fleet, ReloadKind.WHOLE, Stage.LOADING)
    assert list(respawn(fleet, 0.0)) == []
    promote(fleet)
    assert list(respawn(fleet, 0.0)) == [OrderWorker(2, 0)]


def test_fewer_workers() -> None:
    """The last ones leave without a successor when the others are replaced, and their slots go with them."""
    fleet = serving(2)
    first, second = fleet.workers()
    fleet.resize(1)
    begun(fleet, ReloadKind.WHOLE)
    promote(fleet)
    assert actions(fleet) == [OrderWorker(1, 1)]
    add_worker(fleet, 1, generation=2)
    fleet.told(first, signal.SIGHUP, GRACE)
    assert actions(fleet, PROBATION) == [Dismiss(second.serial, signal.SIGHUP, GRACE), FinishReload()]
    fleet.told(second, signal.SIGHUP, GRACE)
    fleet.gone(second)
    assert [slot.wid for slot in fleet.slots] == [1]
    assert list(respawn(fleet, 0.0)) == []


# --- failures ---------------------------------------------------------------------------------------------------------


def test_failure_ends_it() -> None:
    """Whoever finds out writes why; the next step is the last."""
    fleet = serving(1)
    running = begun(fleet, ReloadKind.WHOLE, Stage.LOADING)
    running.failure = "no"
    assert actions(fleet) == [GiveUpReload("no")]
    assert fleet.give_up_reload("no") is running
    assert fleet.reload is None
    assert not fleet.returns


def test_half_done_is_turned_back() -> None:
    """New workers are replaced by old ones, from the template that is still there."""
    fleet = serving(2)
    first, second = fleet.workers()
    begun(fleet, ReloadKind.WHOLE)
    promote(fleet)
    new = add_worker(fleet, 1, generation=2)
    fleet.told(first, signal.SIGHUP, GRACE)
    fleet.gone(first)
    fleet.give_up_reload("worker 2 ends at once")
    assert fleet.returns
    fleet.template_of_generation(2).stopping = True  # type: ignore[union-attr]
    assert actions(fleet) == [OrderWorker(1, 0)]
    back = add_worker(fleet, 1, generation=1)
    assert actions(fleet)[0] == Dismiss(new.serial, signal.SIGHUP, GRACE)
    fleet.told(new, signal.SIGHUP, GRACE)
    assert (fleet.is_old(back), fleet.is_old(second)) == (False, False)
    assert actions(fleet, PROBATION) == [FinishReload()]
    fleet.end_reload(ok=True, message="")
    assert [outcome.ok for outcome in fleet.outcomes] == [False]


def test_outcomes_are_told_by_number() -> None:
    """Running, waiting, over, unknown."""
    fleet = serving(1)
    first = fleet.begin_reload(ReloadKind.WHOLE)
    second = fleet.begin_reload(ReloadKind.WORKERS)
    assert second == fleet.begin_reload(ReloadKind.BRUTAL) == first + 1
    assert fleet.state_of_reload(first) is fleet.state_of_reload(second) is None
    with pytest.raises(LookupError):
        fleet.state_of_reload(second + 1)
    with pytest.raises(LookupError):
        fleet.state_of_reload(0)
    fleet.end_reload(ok=False, message="broken")
    outcome = fleet.state_of_reload(first)
    assert outcome is not None
    assert (outcome.ok, outcome.message) == (False, "broken")
    assert fleet.reload is not None
    assert (fleet.reload.id, fleet.reload.kind) == (second, ReloadKind.BRUTAL)


def test_outcomes_do_not_pile_up() -> None:
    fleet = serving(1)
    for _ in range(30):
        fleet.begin_reload(ReloadKind.WORKERS)
        fleet.end_reload(ok=True, message="")
    assert len(fleet.outcomes) == 20
    assert fleet.outcomes[-1].id == 30


def test_old_templates_stay_until_the_reload_is_over() -> None:
    """They are the way back; then they go."""
    fleet = serving(1)
    begun(fleet, ReloadKind.WHOLE)
    promote(fleet)
    assert list(retire_templates(fleet, 0.0)) == []
    fleet.end_reload(ok=True, message="")
    assert list(retire_templates(fleet, 0.0)) == [StopTemplate(1)]
    fleet.templates[0].stopping = True
    assert list(retire_templates(fleet, 0.0)) == []
