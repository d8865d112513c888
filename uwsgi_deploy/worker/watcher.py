"""The watcher: a process of py-autoreload that tells the master when a file changes that the application was made of.

It learns the files from the processes that import them (`imported`) and looks at them every few moments; with
watchfiles it is woken at once, and looks then. It outlives templates and images of the master, knows nothing of the
application, and ends when the master does or wants no more of it.
"""

from __future__ import annotations

import marshal
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.process import prctl
from uwsgi_deploy.worker.imported import mtime

# Editors and version control write several files: wait until nothing more changes, but not for ever (seconds).
SETTLE = 0.1
LONGEST_SETTLE = 2.0
RECEIVE_BYTES = 1 << 18
# While watchfiles waits nobody takes reports: look at least this often (milliseconds).
REPORTS_PAUSE = 250
SEPARATOR = b"\n"

WITHOUT_WATCHFILES = (
    "watchfiles is not installed: changes are looked for every {interval:g} s (pip install 'uwsgi-deploy[watch]' to be "
    "told of them at once)"
)


@dataclass(slots=True)
class Watched:
    """The files, and how they looked when they were imported or last told."""

    stamps: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, stamp: int) -> None:
        """Watch a file; one that is watched already stays as it is."""
        self.stamps.setdefault(path, stamp)

    def changed(self) -> list[str]:
        """Files that look different now, each told once."""
        found = []
        for path, stamp in self.stamps.items():
            now = mtime(path)
            if now != stamp:
                self.stamps[path] = now
                found.append(path)
        return found

    def folders(self) -> frozenset[str]:
        """Existing directories that the files are, or would be, in."""
        return frozenset(folder for path in self.stamps if os.path.isdir(folder := os.path.dirname(path)))


@dataclass(frozen=True, slots=True)
class WatcherContext:
    """What a watcher is told at its birth. reports: datagrams of `imported`. master: paths go there, one a line."""

    reports: socket.socket
    master: socket.socket
    master_pid: int
    interval: float
    at_once: bool


class MasterGone(Exception):
    """Nobody is there to be told."""


def run_watcher(context: WatcherContext) -> int:
    """The life of a watcher process; returns its exit code."""
    prctl.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != context.master_pid:
        return 0
    context.reports.setblocking(False)
    watched = Watched()
    pauses = _pauses_of(context, watched)
    try:
        while True:
            next(pauses)
            _receive(context, watched)
            if changed := _settled(watched):
                context.master.sendall(b"".join(os.fsencode(path) + SEPARATOR for path in changed))
    except (MasterGone, ConnectionError):
        return 0


def _pauses_of(context: WatcherContext, watched: Watched) -> Iterator[None]:
    """Yield whenever it is time to look."""
    if context.at_once:
        try:
            from watchfiles import watch
        except ImportError:
            log(WITHOUT_WATCHFILES.format(interval=context.interval))
        else:
            return _until_told(context, watched, watch)
    return _for_a_while(context)


def _for_a_while(context: WatcherContext) -> Iterator[None]:
    while True:
        select.select([context.reports, context.master], [], [], context.interval)
        yield


def _until_told(context: WatcherContext, watched: Watched, watch: Callable[..., Iterator[set[Any]]]) -> Iterator[None]:
    """Wait with watchfiles; it only shortens the pauses, so a file system that tells of nothing does no harm."""
    patient = _for_a_while(context)
    while not watched.folders():
        yield next(patient)
    while True:
        folders, due = watched.folders(), 0.0  # files may have changed before they were watched
        try:
            for told in watch(
                *folders,
                recursive=False,
                watch_filter=None,
                debounce=50,
                step=10,
                rust_timeout=REPORTS_PAUSE,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                _receive(context, watched)
                if told or time.monotonic() >= due:
                    due = time.monotonic() + context.interval
                    yield
                if watched.folders() != folders:
                    break
        except OSError as error:  # a limit of the system, or a directory that has just gone
            log(f"*** WARNING: watchfiles cannot watch: {error}; looking every {context.interval:g} s ***")
            yield next(patient)


def _receive(context: WatcherContext, watched: Watched) -> None:
    """Take all reports; MasterGone when the master has ended or has closed its end."""
    while True:
        ready, _, _ = select.select([context.reports, context.master], [], [], 0)
        if context.master in ready and not context.master.recv(1):
            raise MasterGone
        if context.reports not in ready:
            return
        for path, stamp in marshal.loads(context.reports.recv(RECEIVE_BYTES)):
            watched.add(path, stamp)


def _settled(watched: Watched) -> list[str]:
    """What has changed, when the last change is a moment ago."""
    changed = watched.changed()
    if not changed:
        return changed
    deadline = time.monotonic() + LONGEST_SETTLE
    while time.monotonic() < deadline:
        time.sleep(SETTLE)
        more = watched.changed()
        if not more:
            break
        changed += more
    return list(dict.fromkeys(changed))
