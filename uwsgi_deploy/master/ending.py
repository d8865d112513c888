"""Commands that end the server, or all of it but the master. The policies see to what follows."""

from __future__ import annotations

from collections.abc import Callable

from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.actions import Action, Remind
from uwsgi_deploy.master.commands import SAME_STOP, Command, Reply, Request
from uwsgi_deploy.master.fleet import Fleet

Perform = Callable[[Action, float], None]


class Ending:
    """`commands` is what it can do, for the master's table."""

    def __init__(self, fleet: Fleet, *, lame_duck: float, perform: Perform) -> None:
        self._fleet, self._lame_duck, self._perform = fleet, lame_duck, perform
        self.commands: dict[Command, Callable[[Request, float], Reply]] = {
            Command.STOP: self._stop,
            Command.STOP_NOW: self._stop,
            Command.DRAIN: self._drain,
        }

    def _stop(self, request: Request, now: float) -> Reply:
        fleet = self._fleet
        immediate = request.command is Command.STOP_NOW
        since = fleet.leaving_since
        if fleet.stop is not None and not fleet.stop.stays:
            since = fleet.stop.since
        if since is None:
            log(_stop_line(request))
            if self._lame_duck and not immediate and self._serves():
                return self._say_farewell(now)
            fleet.begin_stop(now)
            self._end_pause(now)
        elif not immediate and now - since < SAME_STOP.get(request.origin, 0.0):
            return Reply(ok=True, message="the server is stopping already")
        else:
            immediate = True
            if fleet.stop is None or not fleet.stop.immediate:
                log("told to stop again: leaving at once...")
            fleet.begin_stop(now)
        if immediate and fleet.stop is not None:
            fleet.stop.immediate = True
        return Reply(ok=True, message="leaving at once" if immediate else "the server stops when its requests are done")

    def _end_pause(self, now: float) -> None:
        """Clients of the http router wait for workers, which are told to leave only when the router has gone."""
        if self._fleet.paused and self._fleet.has_gateways:
            self._fleet.pause(paused=False)
            self._perform(Remind(), now)

    def _serves(self) -> bool:
        fleet = self._fleet
        return fleet.booted and fleet.stop is None and not fleet.paused

    def _say_farewell(self, now: float) -> Reply:
        """lame-duck: everything stays as it is, except that clients are sent away after each answer."""
        self._fleet.begin_farewell(now, self._lame_duck)
        self._perform(Remind(), now)
        log(f"*** lame duck: serving for {self._lame_duck:g} more seconds, every answer closes its connection ***")
        return Reply(ok=True, message=f"the server serves for {self._lame_duck:g} more seconds and stops then")

    def _drain(self, request: Request, now: float) -> Reply:
        """Stop, but for the master: to see that the last request is done, and to free the port for a successor."""
        stop = self._fleet.stop
        if stop is not None or self._fleet.leaving_since is not None:
            return Reply(ok=stop is not None and stop.stays, message="the server is stopping already")
        log(f"{request.origin}: draining: nobody new is let in, workers leave when their requests are done")
        self._fleet.begin_stop(now, stays=True)
        self._end_pause(now)
        return Reply(ok=True, message="draining: the workers leave when their requests are done, the master stays")


def _stop_line(request: Request) -> str:
    """uWSGI's line for the beginning of a stop."""
    graceful = request.command is Command.STOP
    if request.origin.startswith("SIG"):
        return f"SIG{'INT/SIGTERM received...killing workers' if graceful else 'QUIT received...leaving at once'}..."
    return "graceful shutdown triggered..." if graceful else "immediate shutdown triggered..."
