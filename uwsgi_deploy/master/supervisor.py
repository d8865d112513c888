"""Tell the service manager (systemd) how the server is doing: starting, ready, reloading, stopping, alive.

The words follow from the fleet; nothing is sent that was said already. What the manager wants of us comes by signal, as
from everybody else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum

from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.process.notify import Notifier


class Condition(Enum):
    """What the server is doing, as a service manager distinguishes it."""

    STARTING = "starting"
    READY = "ready"
    RELOADING = "reloading"
    STOPPING = "stopping"


def condition(fleet: Fleet) -> Condition:
    """What the fleet is doing."""
    if fleet.stop is not None and not fleet.stop.stays:
        return Condition.STOPPING
    if fleet.stop is not None:
        return Condition.READY  # drained: a manager that heard of an end would kill what stays
    if fleet.leaving_since is not None:
        return Condition.STOPPING
    if not fleet.booted:
        return Condition.STARTING
    return Condition.RELOADING if fleet.reload is not None else Condition.READY


def status(fleet: Fleet) -> str:
    """One line for people, as `systemctl status` shows it."""
    state = condition(fleet)
    workers = list(fleet.workers())
    if fleet.stop is not None and fleet.stop.stays:
        return f"drained, {len(workers)} workers left"
    if state is Condition.STARTING:
        return "loading the application" if fleet.template is None else "starting the workers"
    if fleet.leaving_since is not None and fleet.stop is None:
        return "serving for a while before the stop (lame duck)"
    if state is Condition.STOPPING:
        return f"stopping, {len(workers)} processes left"
    ready = sum(worker.phase is Phase.READY for worker in workers)
    serving = f"{ready} worker serves" if ready == 1 else f"{ready} workers serve"
    return f"{serving} (reloading)" if state is Condition.RELOADING else serving


def announcement(state: Condition, now: float) -> tuple[str, ...]:
    """What a new condition is called; `now` is CLOCK_MONOTONIC in seconds, which Type=notify-reload wants to see."""
    if state is Condition.READY:
        return ("READY=1", f"MAINPID={os.getpid()}")
    if state is Condition.RELOADING:
        return ("RELOADING=1", f"MONOTONIC_USEC={int(now * 1e6)}")
    if state is Condition.STOPPING:
        return ("STOPPING=1",)
    return ()


class Supervisor:
    """What the manager was told last, and when it has to hear from us again."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._told: Condition | None = None
        self._status = ""
        # Half of what it expects, as sd_watchdog_enabled(3) recommends.
        self._interval = None if notifier.watchdog is None else notifier.watchdog / 2
        self._next = 0.0

    def tell(self, fleet: Fleet, now: float) -> None:
        """Say what is new. With a watchdog the fleet's alarm makes sure that the next sign of life is in time."""
        lines = tuple(self._news(fleet, now))
        if lines:
            self._notifier.send(*lines)
        if self._interval is not None:
            fleet.alarm = self._next if fleet.alarm is None else min(fleet.alarm, self._next)

    def _news(self, fleet: Fleet, now: float) -> Iterator[str]:
        state, line = condition(fleet), status(fleet)
        if state is not self._told:
            self._told = state
            yield from announcement(state, now)
        if line != self._status:
            self._status = line
            yield f"STATUS={line}"
        if self._interval is not None and now >= self._next:
            self._next = now + self._interval
            yield "WATCHDOG=1"
