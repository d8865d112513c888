"""How the command line becomes the server: settings, checked and converted, travel over an exec in an unnamed file.

The parsers, the help texts and click would otherwise stay in the master for its whole life, and every page of memory
counts once per process. `uwsgi_deploy.server` is what the new process runs. A server that reloads has the same command
line run once more, by a child that comes to the same point and then only leaves its settings there (PLAN).
"""

from __future__ import annotations

import dataclasses
import marshal
import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.interpreter import interpreter_options

VARIABLE = "_UWSGI_DEPLOY_SETTINGS"
# The descriptor that a rehearsed start writes its image to instead of serving.
PLAN = "_UWSGI_DEPLOY_PLAN"
# The descriptor that tells a re-executed master what it has.
MANIFEST = "_UWSGI_DEPLOY_MANIFEST"

Undo = tuple[tuple[str, str | None], ...]
"""Environment variables and what they were, None for absent ones."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What to run, where, to read the configuration again. undo: what the command did to its own environment."""

    command: tuple[str, ...]
    directory: str
    undo: Undo = ()


@dataclass(frozen=True, slots=True)
class Image:
    """All that a server process is started with. command, directory, environment: what executes it, where and with
    what. origin: None when its configuration cannot be read again."""

    settings: Settings
    notices: tuple[str, ...] = ()
    origin: Origin | None = None
    command: tuple[str, ...] = ()
    directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """This as bytes; every field of the settings is a plain value."""
        origin = None if self.origin is None else dataclasses.astuple(self.origin)
        settings = dataclasses.asdict(self.settings)
        start = (self.command, self.directory, dict(self.environment))
        return marshal.dumps((settings, self.notices, origin, start))

    @classmethod
    def decode(cls, data: bytes) -> Image:
        """What `encode` made, perhaps by another version: options that this one does not know are left out."""
        sections, notices, origin, start = marshal.loads(data)
        made: dict[str, Any] = {}
        for section in dataclasses.fields(Settings):
            section_class = section.default_factory
            if section_class is dataclasses.MISSING:
                made[section.name] = sections.get(section.name, section.default)
                continue
            known = {option.name for option in dataclasses.fields(section_class)}  # type: ignore[arg-type]
            values = sections.get(section.name, {})
            made[section.name] = section_class(**{name: value for name, value in values.items() if name in known})
        return cls(Settings(**made), notices, None if origin is None else Origin(*origin), *start)


def replace_by_server(settings: Settings, notices: Sequence[str], origin: Origin | None = None) -> None:
    """Become the server process. Returns only where that cannot be: a package that is found through the working
    directory alone is not found by an interpreter that, as it must, leaves the project's directory out of its path."""
    if os.path.dirname(os.path.dirname(os.path.abspath(__file__))) == os.getcwd():
        if PLAN in os.environ:
            raise ConfigError("configuration", "the working directory is the server's own package by now")
        return
    if origin is not None and settings.system.force_cwd:
        origin = dataclasses.replace(origin, directory=os.path.abspath(settings.system.force_cwd))
    image = write_unnamed("uwsgi-deploy-settings", Image(settings, tuple(notices), origin).encode())
    os.set_inheritable(image, True)
    sys.stdout.flush()
    sys.stderr.flush()
    # -P: a module of the project must not take the place of one of ours or of the standard library's.
    options = [option for option in interpreter_options() if option != "-P"]
    command = [sys.executable, *options, "-P", "-m", "uwsgi_deploy.server"]
    os.execve(sys.executable, command, {**os.environ, VARIABLE: str(image)})


def image_of_this_process(environ: MutableMapping[str, str]) -> Image:
    """What `replace_by_server` or a reload left for this process; taken out of the environment, so that no child
    inherits it."""
    data = read_unnamed(int(environ.pop(VARIABLE)))
    command = (sys.executable, *sys.orig_argv[1:])
    environment = {name: value for name, value in environ.items() if name not in (PLAN, MANIFEST)}
    return dataclasses.replace(Image.decode(data), command=command, directory=os.getcwd(), environment=environment)


def origin_of_this_process(launcher: Sequence[str] = (), undo: Undo = ()) -> Origin | None:
    """How the present command can be run again. launcher: the command of a framework that became this one."""
    if not sys.executable:
        return None
    return Origin(tuple(launcher) or (sys.executable, *sys.orig_argv[1:]), _logical_directory(), undo)


def _logical_directory() -> str:
    """The working directory as the user's shell calls it: a link (`current`) may lead to another release next time."""
    physical = os.getcwd()
    logical = os.environ.get("PWD", "")
    try:
        return logical if os.path.isabs(logical) and os.path.samefile(logical, physical) else physical
    except OSError:
        return physical


def write_unnamed(name: str, data: bytes) -> int:
    """The descriptor of a new unnamed file with this content, closed on exec."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    return descriptor


def read_unnamed(descriptor: int) -> bytes:
    """The content of an unnamed file, which is closed."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read()
