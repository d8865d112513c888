"""Something new: prepare it beside the old, start a new worker, and only when that serves let an old one leave.

One worker at a time, so that never more than one process is too many and a new version that cannot start takes nobody
with it. A brutal reload (uWSGI's SIGTERM) prepares first, too, and then replaces all workers at once. Until the last
old worker is told to leave the old template lives: a reload that fails half-way is turned back from there. Pure.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping

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
from uwsgi_deploy.master.fleet import Fleet, Phase, WorkerSlot
from uwsgi_deploy.master.policies.stop import IMMEDIATE_GRACE, mercy_of
from uwsgi_deploy.master.reload_rows import ReloadKind, Stage

# How long (seconds) the last new worker must have served before the reload counts as complete: one that dies of its
# first breath is noticed while there is a way back. Nobody waits for it but who asked how the reload went.
PROBATION = 0.25
# How often a chain reload says for whom it waits (uWSGI: once a second).
CHAIN_NEWS = 1.0


def reload(fleet: Fleet, now: float) -> Iterator[Action]:
    """The next step of the running reload, if one is running."""
    running = fleet.reload
    if running is None or fleet.stop is not None or not fleet.booted:
        return
    if running.failure:
        yield GiveUpReload(running.failure)
    else:
        yield from STEPS[running.stage](fleet, now)


def retire_templates(fleet: Fleet, _now: float) -> Iterator[Action]:
    """When no reload runs, only the newest template has something to do."""
    newest = fleet.template
    if newest is None or fleet.reload is not None:
        return
    for template in fleet.templates:
        if (template.generation < newest.generation or not fleet.size) and not template.stopping:
            yield StopTemplate(template.generation)


def _check(fleet: Fleet, _now: float) -> Iterator[Action]:
    if fleet.checker is None:
        yield CheckConfiguration()


def _empty(fleet: Fleet, _now: float) -> Iterator[Action]:
    """A restart: everybody goes when their requests are done; clients wait in the listen queues, which stay open."""
    for template in fleet.templates:
        if not template.stopping:
            yield StopTemplate(template.generation)
    for worker in fleet.workers():
        if worker.stays and worker.phase is not Phase.ORDERED:
            yield Dismiss(worker.serial, signal.SIGHUP, mercy_of(fleet))
    if not fleet.templates and not any(fleet.workers()):
        yield ReplaceMaster()


def _replace_master(fleet: Fleet, _now: float) -> Iterator[Action]:
    # A worker that was only ordered has no pid yet; a moment later it has one, or will never exist.
    if not any(worker.phase is Phase.ORDERED for worker in fleet.workers()):
        yield ReplaceMaster()


def _load(fleet: Fleet, now: float) -> Iterator[Action]:
    if fleet.candidate is None and fleet.template_not_before <= now:
        yield StartTemplate()


def _roll(fleet: Fleet, now: float) -> Iterator[Action]:
    if fleet.exchanges_gateways and any(slot.wanted and not slot.is_new for slot in fleet.gateways):
        return  # the router first: it can still be turned back without touching a worker
    if (fleet.template is None and fleet.size) or fleet.reload is None:
        return  # the template died; `respawn` gets a new one when a slot is empty
    if fleet.reload.brutal:
        yield from _replace_at_once(fleet, now)
    else:
        yield from _replace_in_turn(fleet, now)


STEPS: Mapping[Stage, Callable[[Fleet, float], Iterator[Action]]] = {
    Stage.CHECKING: _check,
    Stage.EMPTYING: _empty,
    Stage.REPLACING: _replace_master,
    Stage.LOADING: _load,
    Stage.ROLLING: _roll,
}


def _replace_at_once(fleet: Fleet, now: float) -> Iterator[Action]:
    old = [worker for worker in fleet.workers() if worker.stays and fleet.is_old(worker)]
    for worker in old:
        if worker.phase is not Phase.ORDERED:
            yield Dismiss(worker.serial, signal.SIGQUIT, IMMEDIATE_GRACE)
    if not old:
        yield from _finish(fleet, now)


def _finish(fleet: Fleet, now: float) -> Iterator[Action]:
    """Everybody is new: that is all, if they live."""
    serving = [[w for w in slot.staying if w.phase is Phase.READY] for slot in fleet.active]
    if not all(serving):
        return
    proven = max((worker.born for workers in serving for worker in workers), default=now - PROBATION) + PROBATION
    yield FinishReload() if proven <= now else WakeAt(proven)


def _replace_in_turn(fleet: Fleet, now: float) -> Iterator[Action]:
    for slot in fleet.slots:
        if any(worker.phase is Phase.READY and not fleet.is_old(worker) for worker in slot.staying):
            for worker in slot.staying:
                if fleet.is_old(worker) and worker.phase is not Phase.ORDERED:
                    yield Dismiss(worker.serial, signal.SIGHUP, mercy_of(fleet))
    if any(worker.phase in (Phase.ORDERED, Phase.STARTING) for worker in fleet.workers()):
        yield from _chain_news(fleet, now)
        return  # one at a time: somebody is on the way in
    old = [slot for slot in fleet.slots if any(fleet.is_old(worker) for worker in slot.staying)]
    remaining = [slot for slot in old if slot.wanted and not slot.cheap]
    if remaining:
        yield from _successor(fleet, next((slot for slot in remaining if len(slot.staying) == 1), None), now)
        return
    for slot in old:  # the server has fewer workers now
        for worker in slot.staying:
            yield Dismiss(worker.serial, signal.SIGHUP, mercy_of(fleet))
    yield from _finish(fleet, now)


def _successor(fleet: Fleet, slot: WorkerSlot | None, now: float) -> Iterator[Action]:
    if slot is None or slot.free_bank is None or slot.not_before > now:
        return
    running = fleet.reload
    if running is not None and running.kind is ReloadKind.CHAIN and running.victim != slot.wid:
        yield ChainVictim(slot.wid, waiting=False)
    yield OrderWorker(slot.wid, slot.free_bank)


def _chain_news(fleet: Fleet, now: float) -> Iterator[Action]:
    running = fleet.reload
    if running is None or running.kind is not ReloadKind.CHAIN or not running.victim:
        return
    if now - running.told_at >= CHAIN_NEWS:
        yield ChainVictim(running.victim, waiting=True)
        yield WakeAt(now + CHAIN_NEWS)
    else:
        yield WakeAt(running.told_at + CHAIN_NEWS)
