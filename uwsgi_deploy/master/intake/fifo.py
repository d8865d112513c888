"""The master FIFO: one byte is one command, as uWSGI has it (`echo r > app.fifo`).

Several paths are slots 0 to 9, of which one is active and exists; the bytes `0` to `9` choose another. A slot that is
not active is not touched, because it may be the active FIFO of another instance: that is how instances hand over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from uwsgi_deploy.errors import BindError
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.commands import Command, Request
from uwsgi_deploy.master.observe import Observer

MODE = 0o600
ORIGIN = "master FIFO"

BY_BYTE: Mapping[str, Command] = {
    "+": Command.MORE_WORKERS,
    "-": Command.FEWER_WORKERS,
    "c": Command.CHAIN_RELOAD,
    "C": Command.GO_CHEAP,
    # uWSGI's "re-fork" starts a new image beside the old one; a reload here runs the newly installed server, too.
    "f": Command.RELOAD,
    "l": Command.REOPEN_LOG,
    "L": Command.ROTATE_LOG,
    "p": Command.TOGGLE_PAUSE,
    "P": Command.WRITE_PIDFILES,
    "q": Command.STOP,
    "Q": Command.STOP_NOW,
    "r": Command.RELOAD,
    "R": Command.BRUTAL_RELOAD,
    "s": Command.STATISTICS,
    "w": Command.WORKERS_RELOAD,
    "W": Command.BRUTAL_WORKERS_RELOAD,
}

WITHOUT_EFFECT: Mapping[str, str] = {
    "B": "no Emperor started this server, nobody can send reinforcements",
    "E": "this server is no Emperor, there are no vassals to look for",
    "S": "this server has no subscriptions to block",
}
"""Bytes that uWSGI knows and that mean nothing to this server, with the reason."""


Row: TypeAlias = tuple[str, int, tuple[tuple[str, int, int], ...]]
"""The active path, its descriptor, and (path, device, inode) of every FIFO that was made."""


class MasterFifo:
    """The slots `paths`; the first one exists from the beginning. BindError when it cannot be made.

    former: what a former image of this process has open: it goes on with that, whichever slot it is.
    """

    def __init__(self, paths: Sequence[str], *, former: Row | None = None) -> None:
        self._paths = tuple(os.path.abspath(path) for path in paths)
        self._created: dict[str, tuple[int, int]] = {}
        self._observer: Observer | None = None
        self.adopted = former is not None
        if former is None:
            self.path = self._paths[0]
            self._descriptor = self._open(self.path)
        else:
            self.path, self._descriptor, created = former
            self._created = {path: (device, inode) for path, device, inode in created}

    def name_slots(self, paths: Sequence[str]) -> bool:
        """Have these slots from now on, if the active one is among them."""
        slots = tuple(os.path.abspath(path) for path in paths)
        if self.path not in slots:
            return False
        self._paths = slots
        return True

    def to_row(self) -> Row:
        """See `Row`."""
        return self.path, self._descriptor, tuple((path, *identity) for path, identity in self._created.items())

    @property
    def is_present(self) -> bool:
        """Whether the active FIFO is still at its place."""
        try:
            return _identity(self.path) == self._created.get(self.path)
        except OSError:
            return False

    def attach(self, observer: Observer) -> None:
        """See `observe.Intake`."""
        self._observer = observer
        observer.watch(self._descriptor, self.read)

    def read(self) -> Iterator[Request]:
        """The commands that were written since the last call."""
        try:
            data = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return
        for byte in data.decode("latin-1"):
            if byte in BY_BYTE:
                yield Request(BY_BYTE[byte], ORIGIN)
            elif byte in WITHOUT_EFFECT:
                log(f"{ORIGIN}: '{byte}' has no effect: {WITHOUT_EFFECT[byte]}")
            elif byte.isascii() and byte.isdigit():
                self._activate(int(byte))
            elif not byte.isspace():
                log(f"{ORIGIN}: nobody knows the command {byte!r}; it is ignored")

    def remove(self) -> Iterator[str]:
        """Unlink the FIFOs that were made here and still are the same ones; lines for the log."""
        for path, inode in self._created.items():
            try:
                if _identity(path) == inode:
                    os.unlink(path)
                    yield f"VACUUM: master fifo {path} removed."
            except FileNotFoundError:
                continue
            except OSError as error:
                yield f"VACUUM WARNING: master fifo {path} cannot be removed: {error.strerror}"

    def close(self) -> None:
        """Stop reading; the file stays."""
        if self._descriptor < 0:
            return
        if self._observer is not None:
            self._observer.unwatch(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1

    def _activate(self, slot: int) -> None:
        if slot >= len(self._paths):
            log(f"{ORIGIN}: there is no slot {slot}, this server has {len(self._paths)}")
            return
        path = self._paths[slot]
        try:
            # Also when it is this one already: the other instance may have made the file anew meanwhile.
            opened = self._open(path)
        except BindError as error:
            log(f"{ORIGIN}: slot {slot} cannot be used: {error}")
            return
        former, self._descriptor, self.path = self._descriptor, opened, path
        if self._observer is not None:
            self._observer.unwatch(former)
            self._observer.watch(opened, self.read)
        os.close(former)
        log(f"active master fifo is now {path}")

    def _open(self, path: str) -> int:
        try:
            _clear(path)
            os.mkfifo(path, MODE)
            os.chmod(path, MODE)  # whatever the umask is
            # For writing, too: without any writer a FIFO is always readable, at its end.
            opened = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise BindError(path, f"the master FIFO cannot be made: {error.strerror}") from None
        self._created[path] = _identity(path)
        return opened


def _clear(path: str) -> None:
    """A FIFO that is there is replaced, as in uWSGI; nothing else is."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISFIFO(mode):
        raise BindError(path, "the path of the master FIFO exists and is no FIFO", hint="choose another path")
    os.unlink(path)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
