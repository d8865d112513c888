"""A request that outlives its deadline takes its worker with it, but not before the log has the worker's stack.

Each overdue request opens a *case* on its worker: the stacks are asked for, and when they are here (or do not come) the
sentence is carried out. With harakiri-graceful-timeout a first attempt only sends a signal. In a worker with several
cores the others get a moment to finish what they run. A request that ends in the meantime closes its case. Pure: reads
the fleet, returns actions; all of it together stays below a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from uwsgi_deploy.master.actions import (
    Action,
    AskForStacks,
    Execute,
    Isolate,
    PutOffHarakiri,
    Spare,
    WakeAt,
    Warn,
)
from uwsgi_deploy.master.cases import CaseStage, HarakiriCase
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.shared.scoreboard import Running

# How long a worker may take to show its stacks.
STACKS_TIME = 0.3
# How long the other cores of a worker that is to be killed may finish.
SIBLINGS_TIME = 0.5
LOOK_AGAIN = 0.01
# How often a worker is looked at that is left alone because few clients wait (harakiri-queue-threshold).
THRESHOLD_PAUSE = 1.0


def harakiri(fleet: Fleet, now: float) -> Iterator[Action]:
    """The next step of every case, and new cases."""
    if fleet.harakiri.harakiri:
        yield WakeAt(now + fleet.harakiri.harakiri)  # what begins from now on is not overdue before
    for worker in fleet.workers():
        if worker.phase is Phase.ORDERED:
            continue
        if worker.case is None:
            yield from _open(fleet, worker, now)
        else:
            yield from _STEPS[worker.case.stage](fleet, worker, worker.case, now)


def _open(fleet: Fleet, worker: Worker, now: float) -> Iterator[Action]:
    first = min(worker.running, key=_deadline, default=None)
    if first is None or first.deadline == inf:
        return
    if first.deadline > now:
        yield WakeAt(first.deadline)
    elif worker.harakiri_not_before > now:
        yield WakeAt(worker.harakiri_not_before)
    elif _few_wait(fleet):
        yield PutOffHarakiri(worker.serial, now + THRESHOLD_PAUSE)
    else:
        yield AskForStacks(worker.serial, first, now + STACKS_TIME)


def _deadline(running: Running) -> float:
    return running.deadline


def _few_wait(fleet: Fleet) -> bool:
    waiting = fleet.listen_queue
    return waiting is not None and waiting < fleet.harakiri.harakiri_queue_threshold


def _judge(fleet: Fleet, worker: Worker, case: HarakiriCase, now: float) -> Iterator[Action]:
    """The stacks are on their way."""
    if not _still_runs(worker, case):
        yield Spare(worker.serial)
    elif not case.has_stacks and now < case.until:
        yield WakeAt(now + LOOK_AGAIN)
    elif (number := fleet.harakiri.harakiri_graceful_signal) and case.attempt == 1:
        yield Warn(worker.serial, number, now + fleet.harakiri.harakiri_graceful_timeout)
    elif _innocent(worker, now):
        yield Isolate(worker.serial, now + SIBLINGS_TIME)
    else:
        yield Execute(worker.serial)


def _await_grace(_fleet: Fleet, worker: Worker, case: HarakiriCase, now: float) -> Iterator[Action]:
    """The graceful signal was sent. That the request ends is noticed at the latest when the time is over."""
    if not _still_runs(worker, case):
        yield Spare(worker.serial)
    elif now < case.until:
        yield WakeAt(case.until)
    else:
        overdue = next(running for running in worker.running if _is_of(running, case))
        yield AskForStacks(worker.serial, overdue, now + STACKS_TIME)


def _await_siblings(_fleet: Fleet, worker: Worker, case: HarakiriCase, now: float) -> Iterator[Action]:
    """The other cores finish, and begin nothing new."""
    if not _still_runs(worker, case):
        yield Spare(worker.serial)
    elif now < case.until and _innocent(worker, now):
        yield WakeAt(now + LOOK_AGAIN)
    else:
        yield Execute(worker.serial)


def _nothing(_fleet: Fleet, _worker: Worker, _case: HarakiriCase, _now: float) -> Iterator[Action]:
    """It was killed; its end is about to be seen."""
    return iter(())


_STEPS = {
    CaseStage.STACKS_ASKED: _judge,
    CaseStage.WARNED: _await_grace,
    CaseStage.ISOLATED: _await_siblings,
    CaseStage.KILLED: _nothing,
}


def _still_runs(worker: Worker, case: HarakiriCase) -> bool:
    return any(_is_of(running, case) for running in worker.running)


def _is_of(running: Running, case: HarakiriCase) -> bool:
    """The instant of its begin tells a request from its core's next one."""
    return running.core == case.core and running.started == case.started


def _innocent(worker: Worker, now: float) -> bool:
    """Whether the worker also runs requests that are in time."""
    return any(running.deadline > now for running in worker.running)
