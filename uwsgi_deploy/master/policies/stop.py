"""The end: nobody new, then everybody out; who does not go in time is killed. Pure: reads the fleet, returns actions.

Mercy also holds for single workers that are replaced (reload, max-requests), so it is a policy of its own.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

from uwsgi_deploy.master.actions import (
    Action,
    CloseListeners,
    Dismiss,
    EndServer,
    Kill,
    KillChecker,
    KillTemplate,
    StopTemplate,
    WakeAt,
)
from uwsgi_deploy.master.fleet import Fleet, Phase

# How long a worker may take to leave at once before it is killed.
IMMEDIATE_GRACE = 1.0
# Beyond its own mercy, which it knows: time to run exit handlers rather than be killed in them.
EXTRA_GRACE = 1.0


def stop(fleet: Fleet, now: float) -> Iterator[Action]:
    """Close the sockets, end the templates, and when these are gone the workers; before all of them the gateways, whose
    clients need workers (`policies.gateways`).

    So no process holds a listening socket when the last worker has emptied and closed it: whoever connected by then was
    let in, whoever comes later is refused, and nobody is accepted by the kernel only to be cut off.
    """
    if fleet.stop is None:
        return
    yield CloseListeners()
    if fleet.checker is not None:
        yield KillChecker()
    if fleet.is_draining:
        return
    for template in fleet.templates:
        if not template.stopping:
            yield StopTemplate(template.generation)
    if fleet.templates and not fleet.stop.immediate:
        return
    number = signal.SIGQUIT if fleet.stop.immediate else signal.SIGTERM
    grace = IMMEDIATE_GRACE if fleet.stop.immediate else _rest_of_mercy(fleet, now - fleet.stop.since)
    for worker in fleet.workers():
        if worker.phase is not Phase.ORDERED and worker.told not in (number, signal.SIGQUIT):
            yield Dismiss(worker.serial, number, grace)


def _rest_of_mercy(fleet: Fleet, passed: float) -> float | None:
    """What gateways have taken of the time to end politely is gone; there is a moment to leave in at least."""
    mercy = mercy_of(fleet)
    return mercy if mercy is None or not fleet.gateways else max(mercy - passed, IMMEDIATE_GRACE)


def farewell(fleet: Fleet, now: float) -> Iterator[Action]:
    """lame-duck: a server that was told to stop does so when those who send it clients had time to notice."""
    if fleet.leaving_since is None or fleet.stop is not None:
        return
    if now >= fleet.leaves_at:
        yield EndServer("the time to say goodbye is over...")
    else:
        yield WakeAt(fleet.leaves_at)


def mercy(fleet: Fleet, now: float) -> Iterator[Action]:
    """Kill what was told to end and is still there after its time."""
    for worker in fleet.workers():
        if worker.deadline is not None and worker.deadline <= now:
            yield Kill(worker.serial)
    for template in fleet.templates:
        if template.deadline is not None and template.deadline <= now:
            yield KillTemplate(template.generation)
    if fleet.checker is not None and fleet.checker.deadline is not None and fleet.checker.deadline <= now:
        yield KillChecker()


def mercy_of(fleet: Fleet) -> float | None:
    """Seconds a worker has to end politely; None when worker-reload-mercy is 0, which means no limit."""
    return fleet.mercy + EXTRA_GRACE if fleet.mercy else None
