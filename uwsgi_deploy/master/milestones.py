"""What is done once, at the two moments of the first start that others wait for: loaded, and ready.

A reload passes neither: pid files keep their content, and nobody waits on a terminal any more.
"""

from __future__ import annotations

import os

from uwsgi_deploy.config.settings.identity import IdentitySettings
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.vacuum import Vacuum
from uwsgi_deploy.process.daemonize import Foreground
from uwsgi_deploy.process.pidfile import write_pidfile


class Milestones:
    """foreground: the process that waits on the terminal, with daemonize2."""

    def __init__(self, settings: IdentitySettings, vacuum: Vacuum, foreground: Foreground | None) -> None:
        self._settings, self._vacuum, self._foreground = settings, vacuum, foreground
        self._loaded = self._ready = False
        if foreground is not None:
            vacuum.private.extend(foreground.descriptors)

    def loaded(self) -> None:
        """The application is loaded (with lazy-apps: about to be). ConfigError when the pid file cannot be written."""
        if not self._loaded:
            self._loaded = True
            add_pidfile(self._vacuum, self._settings.safe_pidfile, "safe-pidfile")

    def ready(self) -> None:
        """All workers accept. ConfigError when the pid file cannot be written."""
        if self._ready:
            return
        self._ready = True
        add_pidfile(self._vacuum, self._settings.safe_pidfile2, "safe-pidfile2")
        if self._foreground is not None:
            for descriptor in self._foreground.descriptors:
                self._vacuum.private.remove(descriptor)
            self._foreground.succeed()


def add_pidfile(vacuum: Vacuum, path: str, option: str) -> None:
    """Write this process's pid where an option says, if it says so and a former image has not done it."""
    if path and not vacuum.reclaim(path):
        log(f"writing pidfile to {path}")
        vacuum.add_pidfile(write_pidfile(path, os.getpid(), option=option))


def all_ready(fleet: Fleet) -> bool:
    """Whether all that a start wants serve: workers, or a template if there are to be none, and gateways."""
    if not all(slot.is_ready for slot in fleet.gateways if slot.wanted):
        return False
    if not fleet.active:
        return fleet.template is not None or not fleet.size
    return all(
        slot.spawned and slot.workers and all(worker.phase in (Phase.READY, Phase.LEAVING) for worker in slot.workers)
        for slot in fleet.active
    )
