"""From the command line and the application's configuration to everything the server process is started with.

Starts nothing. The counterpart of django_integration/launch.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flask_integration.conf import ORIGIN
from flask_integration.discovery import APPLICATION
from uwsgi_deploy import __version__
from uwsgi_deploy.cli.options import arguments_of
from uwsgi_deploy.config.build import build
from uwsgi_deploy.config.facts import collect
from uwsgi_deploy.config.gather import Sources
from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption
from uwsgi_deploy.config.schema import BY_NAME
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.sources.framework import framework_options
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.handover import Handover

COMMAND = "flask uwsgi run"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 5000


@dataclass(frozen=True, slots=True)
class Launch:
    """The server process to be: its arguments, what Flask hands over, and the settings that come of both."""

    arguments: tuple[str, ...]
    handover: Handover
    settings: Settings


def plan(project: Sequence[RawOption], given: Sequence[RawOption], *, replaced: frozenset[str]) -> Launch:
    """Put together what `given` on the command line and the `project`'s configuration say. Raises ConfigError.

    replaced: options of the project that the command line replaces where it would only add to them.
    """
    if any(option.name == "ini" and option.value == "-" for option in given):
        raise ConfigError(COMMAND_LINE, "only uwsgi-deploy itself can read its options from standard input")
    project = tuple(option for option in project if first_name(option) not in replaced)
    handover = Handover(
        origin=ORIGIN,
        options=tuple((option.name, option.value) for option in project),
        defaults=(
            ("module", APPLICATION),
            ("chdir", os.getcwd()),
            ("http-socket", f"{DEFAULT_HOST}:{DEFAULT_PORT}"),
        ),
        launcher=(sys.executable, *sys.orig_argv[1:]),
    )
    sources = Sources(
        command_line=tuple(given),
        framework=project,
        defaults=framework_options(handover.defaults, origin=COMMAND),
        facts=collect(os.environ, version=__version__),
    )
    return Launch(tuple(arguments_of(given)), handover, build(sources).settings)


def http_socket(host: str | None, port: int | None, environ: Mapping[str, str]) -> Iterator[RawOption]:
    """`--host` and `--port` as the one option they are; nothing when neither was given."""
    if host is None and port is None:
        return
    host = host or DEFAULT_HOST
    if host.startswith("unix://"):  # `flask run`'s way to say it
        yield RawOption("http-socket", host.removeprefix("unix://"), COMMAND_LINE)
        return
    if port is None:
        port = int(environ["PORT"]) if environ.get("PORT", "").isdigit() else DEFAULT_PORT
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    yield RawOption("http-socket", f"{host}:{port}", COMMAND_LINE)


def first_name(option: RawOption) -> str:
    """The option's name where it was written under another one."""
    return BY_NAME[option.name][0].name if option.name in BY_NAME else option.name
