"""Files whose change is a command: `touch-reload = /run/app.reload`, then `touch /run/app.reload`.

Looked at once a second, as uWSGI does: it costs one `stat` a file, works on every file system, and needs no file to be
there. What is touched while the server reloads is part of what the reload brings in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from uwsgi_deploy.config.settings.watching import WatchingSettings
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.commands import Command, Request
from uwsgi_deploy.master.observe import Observer

INTERVAL = 1.0

State: TypeAlias = object
"""What a path looked like; any other value is a change."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a change under one option tells the master, and uWSGI's words for it. look: see `State`."""

    command: Command
    words: str
    look: Callable[[str], State]


@dataclass(slots=True)
class Watch:
    """One path, what it means, and how it looked last."""

    path: str
    meaning: Meaning
    state: State


def state_of_file(path: str) -> State:
    """Another modification time, or another file under the name (a symbolic link to the next release); None without."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_dev, found.st_ino


def state_of_tree(path: str) -> State:
    """The same for a file, and for a directory also what is directly in it."""
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError:
        return state_of_file(path)
    return state_of_file(path), tuple((name, state_of_file(os.path.join(path, name))) for name in names)


BY_OPTION: Mapping[str, Meaning] = {
    "touch_reload": Meaning(Command.RELOAD, "grace them all", state_of_file),
    "touch_workers_reload": Meaning(Command.WORKERS_RELOAD, "workers reload", state_of_file),
    "touch_chain_reload": Meaning(Command.CHAIN_RELOAD, "chain reload", state_of_file),
    "fs_reload": Meaning(Command.RELOAD, "grace them all", state_of_tree),
    "fs_brutal_reload": Meaning(Command.BRUTAL_RELOAD, "killing them all", state_of_tree),
}
"""Field of the settings to what a change means."""


class TouchFiles:
    """All watched paths, relative ones from the present directory."""

    def __init__(self, watches: Iterable[Watch]) -> None:
        self._watches = tuple(watches)

    def attach(self, observer: Observer) -> None:
        """See `observe.Intake`."""
        observer.every(INTERVAL, self.read)

    def read(self) -> Iterator[Request]:
        """What the changes since the last call mean; several that mean the same are one request."""
        told = set()
        for watch in self._watches:
            state = watch.meaning.look(watch.path)
            if state == watch.state:
                continue
            watch.state = state
            log(f"*** {watch.path} has been touched... {watch.meaning.words} !!! ***")
            if watch.meaning.command not in told:
                told.add(watch.meaning.command)
                yield Request(watch.meaning.command, f"touch of {watch.path}")


def touch_files(settings: WatchingSettings) -> TouchFiles | None:
    """The files that the settings name, as they look now; None when they name none."""
    watches = [
        Watch(path, meaning, meaning.look(path))
        for field, meaning in BY_OPTION.items()
        for path in map(os.path.abspath, filter(None, getattr(settings, field)))
    ]
    return TouchFiles(watches) if watches else None
