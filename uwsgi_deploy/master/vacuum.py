"""What the server made in the file system and has open, and its removal at the end: each thing once, if it is ours."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.net.listener import Listener, close_listeners, remove_unix_sockets
from uwsgi_deploy.process.pidfile import PidFile


class Opened(Protocol):
    """Something in the file system that the server made and that it removes at its end. adopted: made by the former
    image of this process."""

    adopted: bool

    def remove(self) -> Iterable[str]:
        """Unlink what is still ours; lines for the log."""

    def close(self) -> None:
        """Close descriptors."""


class Vacuum:
    """What the server created. `private` is, at any time, which descriptors only the master may hold.

    former_pidfiles: what the master's former image wrote; whoever asks for one of those paths gets it (`reclaim`).
    """

    def __init__(self, former_pidfiles: Iterable[PidFile] = ()) -> None:
        self._creator = os.getpid()
        self._former = {pidfile.path: pidfile for pidfile in former_pidfiles}
        self._reclaimed: set[str] = set()
        self.private: list[int] = []
        self.pidfiles: list[PidFile] = []
        self._listeners: tuple[Listener, ...] = ()
        self._intakes: list[Opened] = []

    def add_pidfile(self, pidfile: PidFile) -> None:
        """A pid file was written."""
        self.pidfiles.append(pidfile)
        self.private.append(pidfile.descriptor)

    def reclaim(self, path: str) -> bool:
        """Keep the pid file of the former image at this path; False if there is none."""
        pidfile = self._former.pop(os.path.abspath(path), None)
        if pidfile is None:
            return False
        self.add_pidfile(pidfile)
        self._reclaimed.add(pidfile.path)
        return True

    @property
    def unclaimed_pidfiles(self) -> tuple[PidFile, ...]:
        """What the former image wrote and nobody wants any more."""
        return tuple(self._former.values())

    def write_pidfiles(self) -> list[str]:
        """Write this process's pid again where it was written before, in files that were removed or changed, too.

        Returns what went wrong.
        """
        problems = []
        for index, pidfile in enumerate(self.pidfiles):
            try:
                self.pidfiles[index] = pidfile.renew()
            except ConfigError as error:
                problems.append(str(error))
        return problems

    def add_listeners(self, listeners: tuple[Listener, ...]) -> None:
        """Sockets were bound."""
        self._listeners += listeners

    def add_intake(self, intake: Opened) -> None:
        """A way in for commands was opened."""
        self._intakes.append(intake)

    def undo(self) -> None:
        """This image cannot serve: remove what it made, and leave what was the former image's for it to take back."""
        self.pidfiles = [pidfile for pidfile in self.pidfiles if pidfile.path not in self._reclaimed]
        self._listeners = tuple(listener for listener in self._listeners if not listener.adopted)
        self._intakes = [intake for intake in self._intakes if not intake.adopted]
        self.clean()

    def clean(self) -> None:
        """Remove files that are still ours, close everything; nothing in a process that the application forked."""
        if os.getpid() != self._creator:
            return
        for pidfile in self.pidfiles:
            _log_lines(pidfile.remove())
        _log_lines(remove_unix_sockets(self._listeners))
        for intake in self._intakes:
            _log_lines(intake.remove())
        self.close()

    def close(self) -> None:
        """Close everything and leave the files."""
        for pidfile in self.pidfiles:
            pidfile.close()
        close_listeners(self._listeners)
        for intake in self._intakes:
            intake.close()
        self.pidfiles.clear()
        self._intakes.clear()
        self.private.clear()
        self._listeners = ()


def _log_lines(lines: Iterable[str]) -> None:
    for line in lines:
        log(line)
