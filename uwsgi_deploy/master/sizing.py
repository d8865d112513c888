"""How many workers there are: performs the actions about it. Changes rows and what the master watches, no process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.actions import Action, Cheapen, Say, Sleep, UnwatchListeners, Want, WatchListeners
from uwsgi_deploy.master.commands import Command, Request
from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.master.observe import Observer
from uwsgi_deploy.net.listener import Listener


class Sizing:
    """`steps` is what it can do, for the executor's table."""

    def __init__(self, fleet: Fleet, observer: Observer, listeners: Sequence[Listener]) -> None:
        self._fleet, self._observer, self._listeners = fleet, observer, listeners
        self.steps: dict[type[Action], Callable[[Any], None]] = {
            Want: self._want,
            Cheapen: self._cheapen,
            Sleep: self._sleep,
            WatchListeners: self._watch,
            UnwatchListeners: lambda _action: self.unwatch(),
            Say: lambda action: log(action.line),
        }

    def unwatch(self) -> None:
        """Leave clients to the workers."""
        if not self._fleet.watching:
            return
        self._fleet.watching = False
        for listener in self._listeners:
            self._observer.unwatch(listener.socket.fileno())

    def _want(self, action: Want) -> None:
        self._fleet.slot(action.wid).cheap = False

    def _cheapen(self, action: Cheapen) -> None:
        self._fleet.slot(action.wid).cheap = True

    def _sleep(self, action: Sleep) -> None:
        log(action.reason)
        self._fleet.sleep()

    def _watch(self, _action: WatchListeners) -> None:
        log("cheap mode enabled: waiting for socket connection...")
        self._fleet.watching = True
        for listener in self._listeners:
            self._observer.watch(listener.socket.fileno(), _somebody_connects, shared=True)


def _somebody_connects() -> tuple[Request, ...]:
    return (Request(Command.WAKE, "a client"),)
