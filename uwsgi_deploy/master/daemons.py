"""The master's rows about daemons: programs beside the application. The table; `policies.daemons` decides.

Rows travel over a re-execution of the master (`to_rows`, `adopt_daemons`): a daemon is known by its option's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from uwsgi_deploy.config.daemons import DaemonSpec, daemon_specs
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.intake.touch import state_of_file
from uwsgi_deploy.master.observe import Exit

GRACE = 3.0  # seconds to end in, where reload-mercy says nothing
TOUCH_INTERVAL = 1.0
KEEPSAKE = "daemons"  # the name of the rows for the next image of the master
FIRST_THROTTLE = 1.0


# Fields of a row that the next image of the master goes on from.
KEPT = ("pid", "launcher", "born", "failures", "not_before", "told", "deadline", "next_look", "was_started", "is_old")


@dataclass(slots=True)
class Daemon:
    """One daemon. Instants are monotonic seconds.

    pid: its process, 0 without one. launcher: the command of a daemon that goes into the background, while it runs.
    failures: ends soon after the start, in a row. told: the last signal that was meant to end it; deadline: when it is
    killed. next_look: when the pid file is read again. pending: a signal to send, as soon as possible. leaving: it is
    not in the settings any more. is_old: it was started before the reload that runs.
    """

    spec: DaemonSpec
    pid: int = 0
    launcher: int = 0
    born: float = 0.0
    failures: int = 0
    not_before: float = 0.0
    told: int = 0
    deadline: float | None = None
    next_look: float = 0.0
    pending: int = 0
    leaving: bool = False
    was_started: bool = False
    is_old: bool = False

    @property
    def ends_with_server(self) -> bool:
        """Whether it is to end when the server stops."""
        return not self.spec.is_smart

    def restart(self) -> None:
        """New code is in: a daemon of the old code gets its reload signal, or is ended and started again."""
        if self.pid and self.is_old and not self.spec.is_smart:
            self.pending = self.spec.reload_signal or self.spec.stop_signal

    def gone(self, now: float) -> None:
        """Its process has ended. Soon after its start: it waits before the next one, longer each time."""
        lived = now - self.born
        expected = self.told != 0
        self.pid, self.told, self.deadline, self.pending = 0, 0, None, 0
        self.failures = 0 if expected or lived >= self.spec.frequency else self.failures + 1
        pause = FIRST_THROTTLE * 2.0 ** (self.failures - 1) if self.failures else 0.0
        self.not_before = self.next_look = now + min(pause, self.spec.longest_throttle)


def rows_of(settings: Settings) -> list[Daemon]:
    """A row for each daemon of the settings."""
    return [Daemon(spec) for spec in daemon_specs(settings.daemons)]


def bury(daemon: Daemon, ended: Exit, now: float) -> bool:
    """A process of the daemon's ended; True if the server is to stop for that."""
    spec = daemon.spec
    if ended.pid == daemon.launcher:
        daemon.launcher, daemon.next_look = 0, now  # it has gone into the background, or failed
        if ended.code or ended.signal:
            log(f'[uwsgi-daemons] "{spec.command}" failed, {ended.describe()}')
        return False
    expected = daemon.told != 0
    pid = daemon.pid
    daemon.gone(now)
    if expected:
        log(f'[uwsgi-daemons] "{spec.command}" (pid: {pid}) ended, {ended.describe()}')
        return False
    if spec.control:
        log(f'[uwsgi-daemons] control daemon "{spec.command}" (pid: {pid}) ended, {ended.describe()}: the server stops')
        return True
    log(f'[uwsgi-daemons] "{spec.command}" (pid: {pid}) ended, {ended.describe()}')
    announce_throttle(daemon, now)
    return False


def announce_throttle(daemon: Daemon, now: float) -> None:
    """Say so if the next start has to wait."""
    if daemon.not_before > now:
        log(f'[uwsgi-daemons] throttling "{daemon.spec.command}" for {daemon.not_before - now:.0f} seconds')


# --- over a re-execution of the master --------------------------------------------------------------------------------


def to_rows(daemons: Iterable[Daemon]) -> list[dict[str, Any]]:
    """Plain values that `adopt_daemons` understands."""
    return [
        {
            "key": daemon.spec.key,
            "spec": {name: getattr(daemon.spec, name) for name in DaemonSpec.__slots__},
            **{name: getattr(daemon, name) for name in KEPT},
        }
        for daemon in daemons
    ]


def adopt_daemons(daemons: list[Daemon], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the former image's rows into the present ones; those of no present daemon are added as `leaving`."""
    free = list(daemons)
    for row in rows:
        daemon = next((daemon for daemon in free if daemon.spec.key == row["key"]), None)
        if daemon is None:
            if not row["pid"]:
                continue
            daemon = Daemon(DaemonSpec(**row["spec"]), leaving=True)
            daemons.append(daemon)
        else:
            free.remove(daemon)
        for name in KEPT:
            setattr(daemon, name, row[name])


# --- files whose change restarts a daemon -----------------------------------------------------------------------------


class TouchedDaemons:
    """Looks at the files of `touch` keys once a second."""

    def __init__(self, daemons: Iterable[Daemon]) -> None:
        self._watched = [(daemon, path) for daemon in daemons for path in daemon.spec.touch]
        self._states = [state_of_file(path) for _, path in self._watched]

    def __bool__(self) -> bool:
        return bool(self._watched)

    def read(self) -> tuple[()]:
        """Mark the daemons whose files changed; asks the master for nothing."""
        for index, (daemon, path) in enumerate(self._watched):
            state = state_of_file(path)
            if state != self._states[index]:
                self._states[index] = state
                log(f'[uwsgi-daemons] {path} was touched: restarting "{daemon.spec.command}"')
                if daemon.pid:
                    daemon.pending = daemon.spec.stop_signal
        return ()
