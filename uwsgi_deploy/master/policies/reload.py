"""New code: load it beside the old, start a new worker, and only when that serves let an old one leave.

One worker at a time, so that never more than one process is too many and a new version that cannot start takes nobody
with it. A brutal reload (uWSGI's SIGTERM) loads first, too, and then replaces all workers at once. Pure.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

from uwsgi_deploy.master.actions import Action, Dismiss, FinishReload, OrderWorker, StartTemplate, StopTemplate
from uwsgi_deploy.master.fleet import Fleet, Phase, WorkerSlot
from uwsgi_deploy.master.policies.stop import IMMEDIATE_GRACE, mercy_of


def reload(fleet: Fleet, now: float) -> Iterator[Action]:
    """The next step of the running reload, if one is running."""
    if fleet.reload is None or fleet.stop is not None:
        return
    if not fleet.reload.promoted:
        if fleet.candidate is None:
            yield StartTemplate()
        return
    if fleet.template is None:
        return  # the template died; `respawn` gets a new one when a slot is empty
    if fleet.reload.brutal:
        yield from _replace_at_once(fleet)
    else:
        yield from _replace_in_turn(fleet, now)


def retire_templates(fleet: Fleet, _now: float) -> Iterator[Action]:
    """A template that has a loaded successor has nothing more to do."""
    newest = fleet.template
    for template in fleet.templates:
        if newest is not None and template.generation < newest.generation and not template.stopping:
            yield StopTemplate(template.generation)


def _replace_at_once(fleet: Fleet) -> Iterator[Action]:
    old = [worker for worker in fleet.workers() if _is_old(fleet, worker.generation) and worker.stays]
    for worker in old:
        if worker.phase is not Phase.ORDERED:
            yield Dismiss(worker.serial, signal.SIGQUIT, IMMEDIATE_GRACE)
    if not old:
        yield FinishReload()


def _replace_in_turn(fleet: Fleet, now: float) -> Iterator[Action]:
    for slot in fleet.slots:
        staying = slot.staying
        if len(staying) > 1 and staying[-1].phase is Phase.READY:
            for worker in staying[:-1]:
                yield Dismiss(worker.serial, signal.SIGHUP, mercy_of(fleet))
    if any(worker.phase in (Phase.ORDERED, Phase.STARTING) for worker in fleet.workers()):
        return  # one at a time: somebody is on the way in
    remaining = [slot for slot in fleet.slots if any(_is_old(fleet, w.generation) for w in slot.staying)]
    if not remaining:
        if all(slot.staying for slot in fleet.slots):
            yield FinishReload()
        return
    yield from _successor(next((slot for slot in remaining if len(slot.staying) == 1), None), now)


def _successor(slot: WorkerSlot | None, now: float) -> Iterator[Action]:
    if slot is not None and slot.free_bank is not None and slot.not_before <= now:
        yield OrderWorker(slot.wid, slot.free_bank)


def _is_old(fleet: Fleet, generation: int) -> bool:
    return fleet.template is not None and generation < fleet.template.generation
