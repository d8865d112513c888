"""The executor's hands for daemons: starts them, reads their pid files, signals them. Decides nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.actions import Action, KillDaemon, LookAtDaemon, StartDaemon, TellDaemon
from uwsgi_deploy.master.daemons import GRACE, Daemon, announce_throttle
from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.process import identity
from uwsgi_deploy.process.capabilities import forget_ambient
from uwsgi_deploy.process.daemon import identity_of, is_alive, pid_of_file, start_daemon, tell, write_pid
from uwsgi_deploy.process.identity import Identity

# A daemon that goes into the background writes its pid file a moment after its command has returned.
LAUNCH_POLL = 1.0
STANDARD_INPUT = 0


def _become(who: Identity, has_capabilities: bool) -> None:
    identity.assume(who)
    if has_capabilities:
        forget_ambient()


class DaemonKeeper:
    """Performs the actions of `policies.daemons` and writes what it did into the rows."""

    def __init__(self, settings: Settings, fleet: Fleet) -> None:
        self._settings, self._fleet = settings, fleet
        self._stdin = STANDARD_INPUT if settings.daemons.daemons_honour_stdin else None

    def steps(self) -> dict[type[Action], Callable[[Any, float], None]]:
        """What performs which action, at an instant."""
        return {
            StartDaemon: lambda action, now: self._start(self._fleet.daemons[action.index], now),
            LookAtDaemon: lambda action, now: self._look(self._fleet.daemons[action.index], now),
            TellDaemon: self._tell,
            KillDaemon: self._kill,
        }

    def _start(self, daemon: Daemon, now: float) -> None:
        spec = daemon.spec
        word = "respawning" if daemon.was_started else "spawning"
        log(f'[uwsgi-daemons] {word} "{spec.command}" (uid: {os.getuid()} gid: {os.getgid()})')
        ends_with_us = daemon.ends_with_server and self._settings.workers.no_orphans
        try:
            pid = start_daemon(
                spec,
                become=partial(_become, identity_of(spec, self._settings.identity), bool(self._settings.identity.cap)),
                environ=self._environ(),
                stdin=self._stdin,
                ends_with_us=ends_with_us,
            )
        except OSError as error:
            log(f'[uwsgi-daemons] cannot fork "{spec.command}": {error.strerror}')
            daemon.born = now
            daemon.gone(now)
            return
        daemon.was_started, daemon.is_old = True, False
        daemon.born, daemon.next_look = now, now + spec.frequency
        if spec.daemonizes:
            daemon.launcher = pid
            return
        daemon.pid = pid
        if spec.is_smart:
            self._write_pid(daemon)

    def _environ(self) -> Mapping[str, str]:
        pairs = (entry.partition("=") for entry in self._settings.application.env)
        return {**os.environ, **{name: value for name, _, value in pairs}}

    def _look(self, daemon: Daemon, now: float) -> None:
        """Compare a smart daemon with its pid file; start it if there is none."""
        spec = daemon.spec
        daemon.next_look = now + (LAUNCH_POLL if daemon.told else spec.frequency)
        found = pid_of_file(spec.pidfile)
        if found:
            self._found(daemon, found)
        elif daemon.pid and is_alive(daemon.pid):
            if not spec.daemonizes:
                self._write_pid(daemon)  # somebody removed the file
        elif daemon.launcher or (spec.daemonizes and daemon.was_started and now - daemon.born < LAUNCH_POLL):
            daemon.next_look = now + LAUNCH_POLL
        else:
            if daemon.was_started and daemon.not_before <= daemon.born:
                daemon.gone(now)  # nobody told us of its end
                announce_throttle(daemon, now)
            if daemon.not_before <= now:
                self._start(daemon, now)
            else:
                daemon.next_look = daemon.not_before

    def _found(self, daemon: Daemon, pid: int) -> None:
        if pid == daemon.pid:
            return
        if daemon.was_started:
            log(
                f'[uwsgi-daemons] found changed pid for "{daemon.spec.command}" '
                f"(old_pid: {daemon.pid or daemon.launcher} new_pid: {pid})"
            )
        else:
            log(f'[uwsgi-daemons] found valid/active pidfile for "{daemon.spec.command}" (pid: {pid})')
        daemon.pid, daemon.was_started = pid, True

    def _write_pid(self, daemon: Daemon) -> None:
        try:
            write_pid(daemon.spec.pidfile, daemon.pid)
        except OSError as error:
            log(f"[uwsgi-daemons] cannot write {daemon.spec.pidfile}: {error.strerror}")

    def _tell(self, action: TellDaemon, now: float) -> None:
        daemon = self._fleet.daemons[action.index]
        daemon.pending = 0
        ends = action.signal != daemon.spec.reload_signal or action.signal == daemon.spec.stop_signal
        if ends:
            log(f"[uwsgi-daemons] stopping daemon (pid: {daemon.pid}): {daemon.spec.command}")
            daemon.told, daemon.deadline = action.signal, now + (self._settings.reload.reload_mercy or GRACE)
            daemon.next_look = now + LAUNCH_POLL
        else:
            log(f"[uwsgi-daemons] reloading daemon (pid: {daemon.pid}): {daemon.spec.command}")
        tell(daemon.pid, action.signal)

    def _kill(self, action: KillDaemon, _now: float) -> None:
        daemon = self._fleet.daemons[action.index]
        if not is_alive(daemon.pid):
            daemon.deadline = None  # nobody tells of the end of a smart daemon that another server has started
            return
        log(f"[uwsgi-daemons] daemon did not die in time, killing (pid: {daemon.pid}): {daemon.spec.command}")
        daemon.deadline = None
        tell(daemon.pid, signal.SIGKILL)
