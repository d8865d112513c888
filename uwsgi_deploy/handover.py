"""How a framework's command becomes the server: its settings travel in one environment variable over an exec.

The new process starts from a clean interpreter, so that the master never holds the framework in memory. Called by
`django_integration` and `flask_integration` on one side, by `cli.main` on the other.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from uwsgi_deploy.config.sources.framework import Pair
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.interpreter import interpreter_options

VARIABLE = "_UWSGI_DEPLOY_HANDOVER"


@dataclass(frozen=True, slots=True)
class Handover:
    """What a framework says about the server that it starts.

    origin: where the options were written, as messages name it (`settings.UWSGI`).
    options: the user's options as (name, text) pairs; stronger than files, weaker than environment and command line.
    defaults: options of the command itself, weaker than everything but the built-in defaults.
    launcher: the command line that started the framework's command; the server runs it again to read the configuration
    again. undo: what that command did to its environment, as variables and what they were before.
    """

    origin: str
    options: tuple[Pair, ...] = ()
    defaults: tuple[Pair, ...] = ()
    launcher: tuple[str, ...] = ()
    undo: tuple[Pair, ...] = ()

    def to_environment(self) -> dict[str, str]:
        """The variable that carries this to the server."""
        fields = {
            "origin": self.origin,
            "options": self.options,
            "defaults": self.defaults,
            "launcher": self.launcher,
            "undo": self.undo,
        }
        return {VARIABLE: json.dumps(fields)}

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Handover | None:
        """Take the handover out of the environment, so that no child inherits it; None when there is none."""
        text = environ.pop(VARIABLE, None)
        if text is None:
            return None
        try:
            fields = json.loads(text)
            return cls(
                origin=str(fields["origin"]),
                options=tuple(_pairs(fields["options"])),
                defaults=tuple(_pairs(fields["defaults"])),
                launcher=tuple(map(str, fields["launcher"])),
                undo=tuple(_pairs(fields.get("undo", ()))),
            )
        except (ValueError, KeyError, TypeError) as error:
            origin = f"environment {VARIABLE}"
            raise ConfigError(origin, f"is damaged: {error!r}", hint="start the command again") from error


def _pairs(pairs: Sequence[Sequence[str | None]]) -> Iterator[Pair]:
    for name, value in pairs:
        yield str(name), None if value is None else str(value)


def _changes_of_environment() -> Iterator[Pair]:
    """What this process has set or removed since it was started."""
    with open("/proc/self/environ", "rb") as environ:
        lines = [os.fsdecode(line).partition("=") for line in environ.read().split(b"\0") if b"=" in line]
    before = {name: value for name, _, value in lines}
    for name in dict.fromkeys((*before, *os.environ)):
        if before.get(name) != os.environ.get(name):
            yield name, before.get(name)


def replace_process(arguments: Sequence[str], framework: Handover) -> NoReturn:
    """Become `python -m uwsgi_deploy ARGUMENTS`. Does not return; raises ConfigError when the exec fails."""
    command = [sys.executable, *interpreter_options(), "-m", "uwsgi_deploy", *arguments]
    framework = replace(framework, undo=tuple(_changes_of_environment()))
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(sys.executable, command, {**os.environ, **framework.to_environment()})
    except OSError as error:
        raise ConfigError(framework.origin, f"cannot start the server ({sys.executable}): {error.strerror}") from error
