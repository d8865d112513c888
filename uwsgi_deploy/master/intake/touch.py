"""Files whose change is a command: `touch-reload = /run/app.reload`, then `touch /run/app.reload`.

Looked at once a second, as uWSGI does: it costs one `stat` a file, works on every file system, and needs no file to be
there. What is touched while the server reloads is followed by another reload.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.commands import Command, Request
from uwsgi_deploy.master.hooks import runner_of
from uwsgi_deploy.master.observe import Observer
from uwsgi_deploy.process.command import Interrupted, start_shell
from uwsgi_deploy.process.hooks import HookExit, HookRunner

INTERVAL = 1.0
KEEPSAKE = "touch"  # the name of what was seen for the master's next image
BYTECODE = "__pycache__"  # changes whenever an application is loaded

State: TypeAlias = object
"""What a path looked like; any other value is a change."""


Effect: TypeAlias = Callable[[], Command | None]
"""What to do about a change; a command is the master's to obey."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a change under one option tells the master, and uWSGI's words for it. look: see `State`."""

    command: Command
    words: str
    look: Callable[[str], State]


@dataclass(slots=True)
class Watch:
    """One path, how it looked last, and what to do and to say when it changes."""

    path: str
    look: Callable[[str], State]
    words: str
    effect: Effect
    state: State

    @property
    def key(self) -> str:
        """By which the master's next image finds what this image has seen."""
        return f"{self.words}: {self.path}"


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
    return state_of_file(path), tuple(
        (name, state_of_file(os.path.join(path, name))) for name in names if name != BYTECODE
    )


BY_OPTION: Mapping[str, Meaning] = {
    "touch_reload": Meaning(Command.RELOAD, "grace them all", state_of_file),
    "touch_workers_reload": Meaning(Command.WORKERS_RELOAD, "workers reload", state_of_file),
    "touch_chain_reload": Meaning(Command.CHAIN_RELOAD, "chain reload", state_of_file),
    "touch_logreopen": Meaning(Command.REOPEN_LOG, "log reopen", state_of_file),
    "touch_logrotate": Meaning(Command.ROTATE_LOG, "log rotation", state_of_file),
    "fs_reload": Meaning(Command.RELOAD, "grace them all", state_of_tree),
    "fs_brutal_reload": Meaning(Command.BRUTAL_RELOAD, "killing them all", state_of_tree),
}
"""Field of the settings to what a change means."""


class TouchFiles:
    """All watched paths, relative ones from the present directory.

    seen: how they looked, for the master's next image; filled here at any time. What it holds at first is from the
    image before: changes since then are changes, so that none is missed in between.
    """

    def __init__(self, watches: Iterable[Watch], seen: dict[str, State] | None = None) -> None:
        self._watches = tuple(watches)
        self._seen = {} if seen is None else seen
        for watch in self._watches:
            watch.state = self._seen.get(watch.key, watch.state)
        self._seen.clear()
        self._seen.update((watch.key, watch.state) for watch in self._watches)

    def attach(self, observer: Observer) -> None:
        """See `observe.Intake`."""
        observer.every(INTERVAL, self.read)

    def read(self) -> Iterator[Request]:
        """What the changes since the last call mean; several that mean the same are one request."""
        told = set()
        for watch in self._watches:
            state = watch.look(watch.path)
            if state == watch.state:
                continue
            watch.state = self._seen[watch.key] = state
            log(f"*** {watch.path} has been touched... {watch.words} !!! ***")
            command = watch.effect()
            if command is not None and command not in told:
                told.add(command)
                yield Request(command, f"touch of {watch.path}")


def touch_files(settings: Settings, seen: dict[str, State] | None = None) -> TouchFiles | None:
    """The files that the settings name, as they look now; None when they name none. seen: see `TouchFiles`."""
    watches = [*_commands(settings), *_actions(settings)]
    return TouchFiles(watches, seen) if watches else None


def _commands(settings: Settings) -> Iterator[Watch]:
    for field, meaning in BY_OPTION.items():
        for path in map(os.path.abspath, filter(None, getattr(settings.watching, field))):
            effect = partial(_obeyed, meaning.command)
            yield Watch(path, meaning.look, meaning.words, effect, meaning.look(path))


def _obeyed(command: Command) -> Command:
    return command


def _actions(settings: Settings) -> Iterator[Watch]:
    """touch-exec and hook-touch: `FILE WHAT`, as `config.checks` has seen to."""
    runner = runner_of(settings)
    for option, effect in (("touch_exec", partial(_execute, settings)), ("hook_touch", partial(_perform, runner))):
        for value in getattr(settings.watching, option):
            name, what = value.split(None, 1)
            path = os.path.abspath(name)
            yield Watch(path, state_of_file, f"running {what}", partial(effect, what), state_of_file(path))


def _execute(settings: Settings, command: str) -> None:
    """Start a command and go on; its end is seen with those of all children."""
    pairs = (entry.partition("=") for entry in settings.application.env)
    environ = {**os.environ, **{name: value for name, _, value in pairs}}
    try:
        start_shell(command, environ=environ)
    except OSError as error:
        log(f"*** touch-exec: cannot run {command}: {error.strerror} ***")


def _perform(runner: HookRunner, action: str) -> Command | None:
    """An action of a hook; as in uWSGI one that fails ends nothing."""
    try:
        runner.run_action(action, "hook-touch")
    except HookExit:
        return Command.STOP
    except ServerError as error:
        log(f"*** {error} ***")
    except Interrupted:
        pass  # the signal that interrupted is about to be read
    return None
