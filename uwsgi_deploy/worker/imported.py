"""Which files this process's code came from, told to whoever watches them (see `watcher`): autoreload's eyes.

The template tells after loading the application, or after failing to, a worker tells what it imports later. A report is
a datagram of (path, modification time of what was imported) pairs; nobody waits for anything, and a watcher that has
gone is no error. Nothing here runs without py-autoreload.
"""

from __future__ import annotations

import marshal
import os
import socket
import sys
from _thread import start_new_thread
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import sleep
from types import ModuleType

MISSING = 0
"""The time of a file that is not there."""

OUTDATED = -1
"""The time of a file that was changed after it was imported: never that of the file now."""

PAIRS_IN_A_DATAGRAM = 100
SOURCE_STAMP = slice(8, 12)  # of the header of a .pyc file (PEP 552)
FLAGS = slice(4, 8)


@dataclass(slots=True)
class Reporter:
    """Tells the files of this process's modules, each once. ignored: modules that are not watched, with theirs."""

    end: socket.socket
    ignored: tuple[str, ...] = ()
    interval: float = 1.0
    started: int = 0  # files with a later modification time (ns) may have been changed after their import
    _seen: set[str] = field(default_factory=set)

    def report_modules(self) -> None:
        """Tell the files of modules that have not been told before."""
        modules = sys.modules.copy()
        new = [(name, module) for name, module in modules.items() if name not in self._seen]
        self._seen.update(name for name, _ in new)
        self._tell(
            (path, stamp_of(path, module, self.started))
            for name, module in new
            if not is_ignored(name, self.ignored) and (path := source_of(module))
        )

    def report_failure(self, error: BaseException) -> None:
        """Tell the files of all modules, and those that an error passed through: they are in no table any more."""
        self.report_modules()
        self._tell((path, mtime(path)) for path in dict.fromkeys(files_of_error(error)))

    def follow(self) -> None:
        """Tell what is imported from now on, from a thread of its own."""
        start_new_thread(self._follow, ())

    def _follow(self) -> None:
        while True:
            sleep(self.interval)
            if len(sys.modules) != len(self._seen):
                self.report_modules()

    def _tell(self, pairs: Iterable[tuple[str, int]]) -> None:
        found = list(pairs)
        for start in range(0, len(found), PAIRS_IN_A_DATAGRAM):
            try:
                self.end.send(marshal.dumps(found[start : start + PAIRS_IN_A_DATAGRAM]))
            except OSError:
                return  # the watcher has gone; another one comes with the next template


def is_ignored(name: str, ignored: Iterable[str]) -> bool:
    """Whether a module is one of `ignored`, or in a package that is."""
    return any(name == other or name.startswith(f"{other}.") for other in ignored)


def source_of(module: ModuleType) -> str:
    """The file of a module's code as an absolute path; "" for one that has none."""
    path = getattr(module, "__file__", None)
    if not isinstance(path, str):
        return ""
    if path.endswith(".pyc"):
        path = path[:-1]  # a module that is shipped without its source is watched when the source appears
    return os.path.abspath(path)


def stamp_of(path: str, module: ModuleType, started: int) -> int:
    """The modification time (ns) of the code that was imported, or OUTDATED where that is known to be another.

    The compiled file says from which state of the source it was made, so a source that was saved while the application
    was being imported is noticed. By the second, which is all that it says.
    """
    now = mtime(path)
    if now <= started:
        return now
    try:
        with open(getattr(module, "__cached__", None) or "", "rb") as file:
            header = file.read(16)
    except (OSError, TypeError):
        return now
    if len(header) < 16 or header[FLAGS] != bytes(4):
        return now  # compiled by a hash of the source instead
    compiled = int.from_bytes(header[SOURCE_STAMP], "little")
    return now if compiled == (now // 1_000_000_000) & 0xFFFFFFFF else OUTDATED


def mtime(path: str) -> int:
    """The modification time (ns) of a file now, MISSING without it."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return MISSING


def files_of_error(error: BaseException | None) -> Iterator[str]:
    """Files whose change may mend an error: those it passed through, the one that does not compile, the one missing."""
    seen = set()
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        trace = error.__traceback__
        while trace is not None:
            yield from _existing(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        if isinstance(error, SyntaxError):
            yield from _existing(error.filename)
        if isinstance(error, ModuleNotFoundError) and error.name:
            yield from _places(error.name)
        waiting += [error.__cause__, error.__context__]


def _existing(name: str | None) -> Iterator[str]:
    if name and not name.startswith("<") and os.path.isfile(name):
        yield os.path.abspath(name)


def _places(name: str) -> Iterator[str]:
    """Where a module would be found if it were there."""
    parent, _, last = name.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", ()) if parent else sys.path
    for folder in folders:
        if os.path.isdir(folder):
            yield os.path.abspath(os.path.join(folder, f"{last}.py"))
            yield os.path.abspath(os.path.join(folder, last, "__init__.py"))
