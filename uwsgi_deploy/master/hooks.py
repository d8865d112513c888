"""Hooks of the phases that the master goes through; those of template and workers run where these live.

Functions of the application that such a hook calls run in a child, so that nothing of the application stays in the
master. The rules for each phase are in docs/hooks.md.
"""

from __future__ import annotations

import os

from uwsgi_deploy.config.hooks import Phase, signal_of, steps
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.commands import Command, Request
from uwsgi_deploy.process import signals
from uwsgi_deploy.process.command import Interrupted
from uwsgi_deploy.process.hooks import HookExit, HookRunner
from uwsgi_deploy.process.identity import change_root
from uwsgi_deploy.process.waiting import wait_for
from uwsgi_deploy.wsgi.loader import prepare_environment

# What start-up waits for before the hooks of root, by the field of the settings.
WAITED_FOR = ("interface", "fs", "file", "dir", "mountpoint")


def runner_of(settings: Settings, *, returns: bool = False) -> HookRunner:
    """The runner for hooks in the master. returns: it goes back to what it was before a reload that failed."""

    def prepare_imports() -> None:
        if settings.application.chdir:
            os.chdir(settings.application.chdir)
        prepare_environment(settings.application)

    return HookRunner(settings, prepare_imports=prepare_imports, log=log, restores=returns)


def before_sockets(settings: Settings, hooks: HookRunner, *, serves_already: bool) -> None:
    """From the waiting to the hooks of root, with the change of the root directory. A ServerError when one fails.

    serves_already: this process went through it before it executed itself. What belongs to the very first start is
    left out, and it stays in its jail.
    """
    if not serves_already:
        _wait_for_host(settings)
        hooks.run(Phase.PRE_JAIL)
    if settings.identity.chroot and not serves_already:
        for line in change_root(settings.identity.chroot):
            log(line)
        hooks.run(Phase.POST_JAIL)
    hooks.run(Phase.IN_JAIL)
    if os.geteuid() == 0:
        hooks.run(Phase.AS_ROOT)
    elif hooks.has(Phase.AS_ROOT):
        log("*** WARNING: the hooks of the phase as-root do not run: the server was not started by root ***")


def _wait_for_host(settings: Settings) -> None:
    """wait-for-interface, -fs, -file, -dir and -mountpoint. A WaitFailed when one does not come."""
    wanted = settings.hooks
    for kind in WAITED_FOR:
        timeout = wanted.wait_for_interface_timeout if kind == "interface" else wanted.wait_for_fs_timeout
        for what in getattr(wanted, f"wait_for_{kind}"):
            wait_for(kind, what, timeout=timeout, log=log)


def wait_for_servers(settings: Settings) -> None:
    """wait-for-socket. A WaitFailed when one does not come."""
    for address in settings.hooks.wait_for_socket:
        wait_for("socket", address, timeout=settings.hooks.wait_for_socket_timeout, log=log)


def at_exit(hooks: HookRunner) -> None:
    """The server has ended: run what was asked for then. What fails is logged."""
    try:
        hooks.run(Phase.AS_USER_ATEXIT)
    except HookExit:
        raise
    except ServerError as error:
        log(str(error))
    except Interrupted:
        log("the hooks at the exit were interrupted")


class MasterHooks:
    """What hook-master-start means for a running master: signals at once, the steps when all workers accept."""

    def __init__(self, settings: Settings) -> None:
        self._runner = runner_of(settings)
        self._bound: dict[int, Command] = {}
        for step in steps(settings.hooks, Phase.MASTER_START):
            if step.action == "unix_signal":
                number, command = signal_of(step)
                self._bound[number] = Command(command)
        signals.heed(self._bound)

    def request_of(self, number: int) -> Request | None:
        """The command that a hook bound to a signal."""
        command = self._bound.get(number)
        return None if command is None else Request(command, signals.name(number))

    def started(self) -> None:
        """Run the steps; HookFailed or HookExit, which ends the server."""
        try:
            self._runner.run(Phase.MASTER_START)
        except Interrupted:
            pass  # the signal that interrupted is about to be read
