"""A worker whose work is done is replaced before it goes: its successor serves first, one worker at a time.

So recycling costs no capacity, never more than one process too many, and no request. Where memory does not allow two
(`WorkerSlot.cramped`), the worker goes first; the kernel queues new clients meanwhile. While a reload replaces
everybody, it replaces these, too. Pure.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

from uwsgi_deploy.master.actions import Action, Dismiss, OrderWorker, StartTemplate
from uwsgi_deploy.master.fleet import Fleet, Phase, WorkerSlot
from uwsgi_deploy.master.policies.stop import mercy_of

ARRIVING = frozenset({Phase.ORDERED, Phase.STARTING})


def succession(fleet: Fleet, now: float) -> Iterator[Action]:
    """Let those go whose successor serves, and order the next one's."""
    if fleet.stop is not None:
        return
    for slot in fleet.slots:
        yield from _hand_over(fleet, slot)
    if fleet.reload is not None and fleet.reload.promoted:
        return  # a successor that came just before makes room for the one that the reload brings
    if any(worker.phase in ARRIVING for worker in fleet.workers()):
        return
    waiting = [slot for slot in fleet.slots if _wants_successor(slot, now)]
    if not waiting:
        return
    slot = waiting[0]
    if slot.cramped:
        worker = slot.staying[0]
        reason = f"worker {slot.wid} goes before its successor comes: there is not enough memory for both"
        yield Dismiss(worker.serial, signal.SIGHUP, mercy_of(fleet), reason)
    elif fleet.template is not None and slot.free_bank is not None:
        yield OrderWorker(slot.wid, slot.free_bank)
    elif fleet.template is None and fleet.candidate is None and fleet.template_not_before <= now:
        yield StartTemplate()


def _hand_over(fleet: Fleet, slot: WorkerSlot) -> Iterator[Action]:
    staying = slot.staying
    if len(staying) > 1 and staying[-1].phase is Phase.READY:
        for worker in staying[:-1]:
            yield Dismiss(worker.serial, signal.SIGHUP, mercy_of(fleet))


def _wants_successor(slot: WorkerSlot, now: float) -> bool:
    staying = slot.staying
    if slot.cheap or len(staying) != 1 or not staying[0].outlived or slot.not_before > now:
        return False
    return slot.free_bank is not None
