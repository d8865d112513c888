"""Commands that ask the server something or tidy it, and decide about no process's life."""

from __future__ import annotations

from collections.abc import Callable

from uwsgi_deploy.master.commands import Command, Reply, Request
from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.master.resources import Resources
from uwsgi_deploy.master.status import status


class Upkeep:
    """`commands` is what it can do, for the master's table."""

    def __init__(self, resources: Resources, fleet: Fleet) -> None:
        self._resources, self._fleet = resources, fleet
        self.commands: dict[Command, Callable[[Request, float], Reply]] = {
            Command.STATUS: self._status,
        }

    def _status(self, _request: Request, _now: float) -> Reply:
        resources = self._resources
        data = status(resources.settings, self._fleet, resources.scoreboard, resources.listeners)
        return Reply(ok=True, message=data["state"], data=data)
