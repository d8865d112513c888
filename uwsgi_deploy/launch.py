"""From a framework's command line and configuration to everything the server process is started with. Starts nothing.

The part that `django_integration` and `flask_integration` share; what their frameworks say differently is theirs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from uwsgi_deploy import __version__
from uwsgi_deploy.cli.client import Place, place_in
from uwsgi_deploy.cli.options import arguments_of
from uwsgi_deploy.config.build import build
from uwsgi_deploy.config.facts import collect
from uwsgi_deploy.config.gather import Sources
from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption
from uwsgi_deploy.config.schema import BY_NAME
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.sources.framework import Pair, framework_options
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.handover import Handover
from uwsgi_deploy.net.address import TcpAddress, UnixAddress, parse_address


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework's command: its name, where the project's options were written, and what it assumes without any."""

    command: str
    origin: str
    defaults: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Launch:
    """The server process to be: its arguments, what the framework hands over, and the settings that come of both."""

    arguments: tuple[str, ...]
    handover: Handover
    settings: Settings


def plan(
    framework: Framework, project: Sequence[RawOption], given: Sequence[RawOption], *, replaced: frozenset[str]
) -> Launch:
    """Put together what `given` on the command line and the `project`'s configuration say. Raises ConfigError.

    replaced: options of the project that the command line replaces where it would only add to them.
    """
    if any(option.name == "ini" and option.value == "-" for option in given):
        raise ConfigError(COMMAND_LINE, "only uwsgi-deploy itself can read its options from standard input")
    project = tuple(option for option in project if first_name(option) not in replaced)
    handover = Handover(
        origin=framework.origin,
        options=tuple((option.name, option.value) for option in project),
        defaults=framework.defaults,
        launcher=(sys.executable, *sys.orig_argv[1:]),
    )
    sources = Sources(
        command_line=tuple(given),
        framework=project,
        defaults=framework_options(handover.defaults, origin=framework.command),
        facts=collect(os.environ, version=__version__),
    )
    return Launch(tuple(arguments_of(given)), handover, build(sources).settings)


def whereabouts(framework: Framework, project: Sequence[RawOption]) -> Place:
    """Where the server is that the framework's command starts for this project. Raises ConfigError."""
    return place_in(_settings(framework, project))


def _settings(framework: Framework, project: Sequence[RawOption]) -> Settings:
    sources = Sources(
        framework=tuple(project),
        defaults=framework_options(framework.defaults, origin=framework.command),
        facts=collect(os.environ, version=__version__),
    )
    return build(sources).settings


@dataclass(frozen=True, slots=True)
class Target:
    """Where a project's server is reached: an address as `curl` takes it, and what is spoken there."""

    address: str
    protocol: str


def target(framework: Framework, project: Sequence[RawOption]) -> Target:
    """The first address of the server that the framework's command starts for this project, one for HTTP if there is.

    Raises ConfigError where there is none that the settings alone tell.
    """
    settings = _settings(framework, project)
    found: list[Target] = []
    for name, text, spoken in settings.listening:
        if "https" in name:  # TLS, or a way to it: curl does that
            continue
        where = parse_address(text, name)
        if isinstance(where, UnixAddress) and settings.sockets.abstract_socket:
            found.append(Target(f"@{where.path}", spoken.value))
        elif isinstance(where, UnixAddress) and not where.abstract:
            found.append(Target(os.path.join(settings.application.chdir, text), spoken.value))
        elif isinstance(where, UnixAddress) or (isinstance(where, TcpAddress) and where.port):
            found.append(Target(text, spoken.value))
    if not found:
        raise ConfigError(framework.origin, "no address of the server is known there", hint="give --address")
    return min(found, key=lambda one: one.protocol != "http")


def first_name(option: RawOption) -> str:
    """The option's name where it was written under another one."""
    return BY_NAME[option.name][0].name if option.name in BY_NAME else option.name
