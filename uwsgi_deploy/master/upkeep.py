"""Commands that ask the server something, pause it or tidy its files. None of them ends or replaces a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

from uwsgi_deploy.logs.setup import log, log_file, reopen_log, rotate_log
from uwsgi_deploy.master.actions import Action, Remind
from uwsgi_deploy.master.commands import Command, Reply, Request
from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.master.resources import Resources
from uwsgi_deploy.master.status import status
from uwsgi_deploy.shared.scoreboard import Field, WorkerState

Perform = Callable[[Action, float], None]


class Answering(Protocol):
    """What `master.on_demand.OnDemand` is to others."""

    def answer(self, request: Request, now: float) -> Reply:
        """See `Answer`; a reply that is not final is followed by another."""

    def look(self, now: float) -> None:
        """Answer what could not be answered at once."""


class Upkeep:
    """`commands` is what it can do, for the master's table."""

    def __init__(self, resources: Resources, fleet: Fleet, perform: Perform) -> None:
        self._resources, self._fleet, self._perform = resources, fleet, perform
        self._on_demand: Answering | None = None
        self.commands: dict[Command, Callable[[Request, float], Reply]] = {
            Command.STATUS: self._status,
            Command.STATISTICS: self._log_statistics,
            Command.INFLIGHT: self._look_into,
            Command.DUMP: self._look_into,
            Command.PAUSE: self._pause,
            Command.RESUME: self._resume,
            Command.TOGGLE_PAUSE: self._toggle,
            Command.REOPEN_LOG: self._reopen_log,
            Command.ROTATE_LOG: self._rotate_log,
            Command.WRITE_PIDFILES: self._write_pidfiles,
        }

    def _status(self, _request: Request, _now: float) -> Reply:
        resources = self._resources
        data = status(resources.settings, self._fleet, resources.scoreboard, resources.all_listeners)
        return Reply(ok=True, message=data["state"], data=data)

    def _log_statistics(self, _request: Request, _now: float) -> Reply:
        scoreboard = self._resources.scoreboard
        for worker in self._fleet.workers():
            record = scoreboard.record_in(worker.wid, worker.bank)
            state = WorkerState(record[Field.STATE]).name.lower()
            log(
                f"worker {worker.wid} (pid: {worker.pid}): {state}, generation {worker.generation}, "
                f"{record[Field.DELTA_REQUESTS]} requests, {scoreboard.requests(worker.wid)} with predecessors"
            )
        return Reply(ok=True, message="the statistics are in the log")

    def _look_into(self, request: Request, now: float) -> Reply:
        if self._on_demand is None:  # loaded with the first question: most masters are never asked
            module = import_module("uwsgi_deploy.master.on_demand")
            self._on_demand = cast(Answering, module.OnDemand(self._resources, self._fleet))
        return self._on_demand.answer(request, now)

    def look(self, now: float) -> None:
        """Answer who still waits for an answer; called in each round of the master."""
        if self._on_demand is not None:
            self._on_demand.look(now)

    # --- a pause ------------------------------------------------------------------------------------------------------

    def _toggle(self, request: Request, now: float) -> Reply:
        return self._resume(request, now) if self._fleet.paused else self._pause(request, now)

    def _pause(self, _request: Request, now: float) -> Reply:
        if self._fleet.stop is not None:
            return Reply(ok=False, message="the server is stopping")
        if self._fleet.paused:
            return Reply(ok=True, message="the server is paused already")
        log("*** PAUSE (press start to resume, if you do not have a joypad send SIGTSTP) ***")
        self._fleet.pause(paused=True)
        self._perform(Remind(), now)
        return Reply(ok=True, message="paused: requests wait until the server is told to resume")

    def _resume(self, request: Request, now: float) -> Reply:
        if self._fleet.stop is not None:
            return Reply(ok=False, message="the server is stopping")
        if not self._fleet.paused:
            return Reply(ok=True, message="the server is not paused")
        received = f"({request.origin} received) " if request.origin.startswith("SIG") else ""
        log(f"*** {received}resuming workers ***")
        self._fleet.pause(paused=False)
        self._perform(Remind(), now)
        return Reply(ok=True, message="resumed")

    # --- files --------------------------------------------------------------------------------------------------------

    def _reopen_log(self, _request: Request, now: float) -> Reply:
        return self._after_log(reopen_log(), now, f"the log {log_file()} is open again")

    def _rotate_log(self, _request: Request, now: float) -> Reply:
        return self._after_log(
            rotate_log(time.time(), self._resources.settings.logs.log_backupname),
            now,
            f"the log {log_file()} was rotated",
        )

    def _after_log(self, problem: str, now: float, success: str) -> Reply:
        if problem:
            log(f"*** {problem} ***")
            return Reply(ok=False, message=problem)
        self._perform(Remind(), now)
        return Reply(ok=True, message=success)

    def _write_pidfiles(self, _request: Request, _now: float) -> Reply:
        problems = self._resources.write_pidfiles()
        for problem in problems:
            log(f"*** {problem} ***")
        if problems:
            return Reply(ok=False, message="; ".join(problems))
        return Reply(ok=True, message="the pid files are written")
