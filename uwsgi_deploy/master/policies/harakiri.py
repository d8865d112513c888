"""What the master does about a request that its own worker could not end (the hard stage of harakiri).

At a request's deadline the worker itself raises in it, and goes on trying for harakiri-graceful-timeout seconds; the
master only sends the graceful signal, if there is one, and has a worker interrupt itself whose interpreter is held.
What still runs at the *hard instant* opens a *case* on its worker:

- The worker has answered the client (`RequestPhase.ANSWERED`) and its interpreter is free: it is isolated. A successor
  is started, its other requests go on under their own limits, and when they are over it is killed.
- It did not answer within `UNANSWERED_TIME`, or its interpreter is held (its pulse is old): its stacks are asked for,
  and when they are here (or do not come) the master answers. Where siblings can run the worker is isolated, else it is
  killed with them, and they are answered, too.

A request that ends in the meantime closes its case. Pure: reads the fleet, returns actions. A client waits for the hard
instant and less than a second more.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from uwsgi_deploy.config.routes import routes_of
from uwsgi_deploy.config.settings import HarakiriSettings
from uwsgi_deploy.master.actions import (
    Action,
    AskForStacks,
    AwaitSiblings,
    Execute,
    Isolate,
    Nudge,
    PutOffHarakiri,
    Spare,
    WakeAt,
    Warn,
)
from uwsgi_deploy.master.cases import CaseStage, HarakiriCase
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.shared.scoreboard import RequestPhase, Running

# How long after the hard instant a worker may take to answer, and how old its pulse may be. It beats ten times a
# second; a busy machine makes it stumble.
UNANSWERED_TIME = 0.5
PULSE_TIME = 0.5
# How often a worker whose interpreter is held is told to interrupt itself.
NUDGE_PACE = 0.5
# How long a worker may take to show its stacks; what it has not taken of the time to answer is added.
STACKS_TIME = 0.3
LOOK_AGAIN = 0.01
# How often an isolated worker is looked at, and how long it may send what clients have not taken, and write its report,
# when it has nothing more to run.
ISOLATED_PACE = 0.1
PARTING_TIME = 2.0
# How often a worker is looked at that is left alone because few clients wait (harakiri-queue-threshold).
THRESHOLD_PAUSE = 1.0

_ANSWERED = int(RequestPhase.ANSWERED)


def harakiri(fleet: Fleet, now: float) -> Iterator[Action]:
    """The next step of every case, and new cases."""
    limits = (worker.shortest for worker in fleet.workers())
    shortest = min(fleet.shortest_limit, min(limits, default=inf))
    if shortest != inf:
        # What begins from now on is nothing of ours before. A worker whose application sets a shorter one says so.
        yield WakeAt(now + shortest + (0.0 if _signal_of(fleet) else _first_look(fleet)))
    for worker in fleet.workers():
        if worker.phase is not Phase.ORDERED and worker.running:
            yield from _look(fleet, worker, now)
        elif worker.case is not None and worker.case.stage is not CaseStage.KILLED:
            yield Spare(worker.serial)


def _look(fleet: Fleet, worker: Worker, now: float) -> Iterator[Action]:
    case = worker.case
    if case is None:
        yield from _open(fleet, worker, now)
    elif case.stage is CaseStage.KILLED:
        return  # its end is about to be seen
    elif not any(is_of(running, case) for running in worker.running):
        yield Spare(worker.serial)
    else:
        yield from _STEPS[case.stage](fleet, worker, case, now)


def _open(fleet: Fleet, worker: Worker, now: float) -> Iterator[Action]:
    unjudged = [running for running in worker.running if not is_judged(worker, running)]
    if len(unjudged) < len(worker.running):  # a former image of the master was at it
        yield Isolate(worker.serial, now + PARTING_TIME)
        return
    first = min(unjudged, key=_deadline)
    if first.deadline == inf:
        return
    due = first.deadline if _signal_of(fleet) else hard_instant(fleet, first)
    if due > now:
        yield from _observe(fleet, worker, first, now)
        yield WakeAt(due)
    elif worker.harakiri_not_before > now:
        yield WakeAt(worker.harakiri_not_before)
    elif _few_wait(fleet):
        yield PutOffHarakiri(worker.serial, now + THRESHOLD_PAUSE)
    elif hard_instant(fleet, first) > now:
        yield AskForStacks(worker.serial, first, now + STACKS_TIME, warns=True)
    else:
        yield from _act(fleet, worker, first, now)


def _observe(fleet: Fleet, worker: Worker, first: Running, now: float) -> Iterator[Action]:
    """Until the hard instant a request is its worker's affair, unless somebody holds the interpreter."""
    look = first.deadline + _first_look(fleet)
    if now >= look and is_held(worker, first.deadline, now) and now >= worker.next_nudge:
        yield Nudge(worker.serial, now + NUDGE_PACE)
    yield WakeAt(look if now < look else now + NUDGE_PACE)


def _first_look(fleet: Fleet) -> float:
    """How long after its deadline the master first looks at a request."""
    return min(fleet.harakiri.harakiri_graceful_timeout, PULSE_TIME + LOOK_AGAIN)


def _act(fleet: Fleet, worker: Worker, overdue: Running, now: float) -> Iterator[Action]:
    """The hard instant of a request has passed."""
    hard = hard_instant(fleet, overdue)
    held = is_held(worker, overdue.deadline, now)
    if overdue.phase == _ANSWERED and not held:
        yield Isolate(worker.serial, now + PARTING_TIME)
    elif held or now - hard >= UNANSWERED_TIME:
        yield AskForStacks(worker.serial, overdue, max(now, hard + UNANSWERED_TIME) + STACKS_TIME)
    else:
        stumbles = max(worker.pulse, overdue.deadline) + PULSE_TIME
        yield WakeAt(max(now + LOOK_AGAIN, min(hard + UNANSWERED_TIME, stumbles)))


def _judge(fleet: Fleet, worker: Worker, case: HarakiriCase, now: float) -> Iterator[Action]:
    """The stacks are on their way."""
    if not case.has_stacks and now < case.until:
        yield WakeAt(now + LOOK_AGAIN)
    elif case.warns:
        yield Warn(worker.serial, fleet.harakiri.harakiri_graceful_signal, _hard_instant_of(fleet, case))
    elif is_held(worker, case.deadline, now) or not _innocent(fleet, worker, now):
        yield Execute(worker.serial)
    else:
        yield Isolate(worker.serial, now + PARTING_TIME)


def _await_grace(fleet: Fleet, worker: Worker, case: HarakiriCase, now: float) -> Iterator[Action]:
    """The graceful signal was sent. That the request ends is noticed at the latest when the time is over."""
    if now < case.until:
        yield WakeAt(case.until)
    else:
        yield from _act(fleet, worker, next(r for r in worker.running if is_of(r, case)), now)


def _await_siblings(fleet: Fleet, worker: Worker, case: HarakiriCase, now: float) -> Iterator[Action]:
    """The other cores finish, and begin nothing new; each has all of its own time."""
    overdue = [running for running in overdue_of(fleet, worker, now) if not is_judged(worker, running)]
    if is_held(worker, case.deadline, now):
        yield AskForStacks(worker.serial, next(r for r in worker.running if is_of(r, case)), now + STACKS_TIME)
    elif overdue:
        yield from _act(fleet, worker, min(overdue, key=_deadline), now)
    elif _innocent(fleet, worker, now) and not _stands_in_the_way(fleet, worker):
        yield AwaitSiblings(worker.serial, now + PARTING_TIME)
        yield WakeAt(now + ISOLATED_PACE)
    elif now < case.until:
        yield WakeAt(min(case.until, now + ISOLATED_PACE))
    else:
        yield Execute(worker.serial)


_STEPS = {
    CaseStage.STACKS_ASKED: _judge,
    CaseStage.WARNED: _await_grace,
    CaseStage.ISOLATED: _await_siblings,
}


def shortest_limit(settings: HarakiriSettings) -> float:
    """The least that the settings let any request run, in seconds; inf for no limit."""
    routes = routes_of(settings.harakiri_routes)
    return min(settings.harakiri or inf, routes.shortest, *routes.names.values())


# --- questions --------------------------------------------------------------------------------------------------------


def _deadline(running: Running) -> float:
    return running.deadline


def _signal_of(fleet: Fleet) -> int:
    return fleet.harakiri.harakiri_graceful_signal


def hard_instant(fleet: Fleet, running: Running) -> float:
    """When a request is the master's affair."""
    return running.deadline + fleet.harakiri.harakiri_graceful_timeout


def _hard_instant_of(fleet: Fleet, case: HarakiriCase) -> float:
    return case.deadline + fleet.harakiri.harakiri_graceful_timeout


def overdue_of(fleet: Fleet, worker: Worker, now: float) -> list[Running]:
    """The requests of a worker whose hard instant has passed."""
    return [running for running in worker.running if hard_instant(fleet, running) <= now]


def is_held(worker: Worker, overdue_since: float, now: float) -> bool:
    """Whether somebody holds the interpreter of a worker; its pulse began when a request was overdue."""
    return now - max(worker.pulse, overdue_since) > PULSE_TIME


def is_of(running: Running, case: HarakiriCase) -> bool:
    """Whether it is the case's request: the instant of its begin tells it from its core's next one."""
    return running.core == case.core and running.started == case.started


def is_judged(worker: Worker, running: Running) -> bool:
    """Whether a request was reported and answered."""
    return (running.core, running.started) in worker.judged


def _few_wait(fleet: Fleet) -> bool:
    waiting = fleet.listen_queue
    return waiting is not None and waiting < fleet.harakiri.harakiri_queue_threshold


def _innocent(fleet: Fleet, worker: Worker, now: float) -> bool:
    """Whether the worker also runs requests whose time is not over."""
    return any(hard_instant(fleet, running) > now for running in worker.running)


def _stands_in_the_way(fleet: Fleet, worker: Worker) -> bool:
    """Whether a worker takes the place of one that could serve: its successor is leaving, too, and there are two."""
    slot = fleet.slot(worker.wid)
    return not slot.staying and slot.free_bank is None and slot.workers[0] is worker
