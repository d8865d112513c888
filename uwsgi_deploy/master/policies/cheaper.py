"""The number of workers follows the load: what an algorithm asks for, within the limits of memory. Pure.

A worker number that has no process because none is wanted is `cheap` (`WorkerSlot.cheap`); `respawn` starts the process
of one that is not cheap any more. Workers are told to leave as in a reload: they end what they have begun.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

from uwsgi_deploy.master.actions import Action, Cheapen, Dismiss, Say, Want
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.load import Load
from uwsgi_deploy.master.policies.stop import mercy_of

CYCLE = 1.0


def cheaper(fleet: Fleet, _now: float) -> Iterator[Action]:
    """Ask the algorithm, once for every look at the load."""
    load, algorithm = fleet.load, fleet.algorithm
    if load is None or algorithm is None or not fleet.is_settled or fleet.asleep:
        return
    count, reason = algorithm.decide(load)
    if load.now - fleet.adjusted < CYCLE:
        count, reason = 0, ""  # somebody has just said how many there are to be
    count = _within_memory(fleet, load, count)
    if reason:
        yield Say(reason)
    if count > 0:
        for slot in fleet.spare[:count]:
            yield Want(slot.wid)
    elif count < 0 and (wid := dispensable(fleet)) is not None:
        yield Cheapen(wid)


def dismiss_cheap(fleet: Fleet, _now: float) -> Iterator[Action]:
    """Tell workers to leave whose number is cheap."""
    if fleet.stop is not None:
        return
    for slot in fleet.slots:
        for worker in slot.staying if slot.cheap else ():
            if worker.phase is not Phase.ORDERED:
                yield Dismiss(worker.serial, signal.SIGHUP, mercy_of(fleet))


def dispensable(fleet: Fleet) -> int | None:
    """The worker to stop: of those that run no request the oldest, if all do the oldest of all."""
    busy = {worker.wid for worker in fleet.load.workers if worker.busy} if fleet.load is not None else set()
    candidates = [slot for slot in fleet.active if slot.staying]
    candidates.sort(key=lambda slot: (slot.wid in busy, slot.staying[0].born))
    return candidates[0].wid if candidates else None


def _within_memory(fleet: Fleet, load: Load, count: int) -> int:
    """Beyond the soft limit nobody is started, beyond the hard one somebody is stopped."""
    settings = fleet.cheaper
    if settings.cheaper_rss_limit_hard and load.memory >= settings.cheaper_rss_limit_hard:
        return -1 if load.active > settings.cheaper else min(count, 0)
    if settings.cheaper_rss_limit_soft and load.memory >= settings.cheaper_rss_limit_soft:
        return min(count, 0)
    return count
