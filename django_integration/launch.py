"""From the command line and the project's settings to everything the server process is started with. Starts nothing.

The counterpart of flask_integration/launch.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django_integration import conf
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

ORIGIN = "settings.UWSGI"
COMMAND = "runuwsgi"


@dataclass(frozen=True, slots=True)
class Launch:
    """The server process to be: its arguments, what Django hands over, and the settings that come of both."""

    arguments: tuple[str, ...]
    handover: Handover
    settings: Settings


def plan(settings: Any, given: Sequence[RawOption], *, replaced: frozenset[str], default_address: str) -> Launch:
    """Put together what `given` on the command line and the project's settings say. Raises ConfigError.

    replaced: options of the settings that the command line replaces where it would only add to them.
    """
    if any(option.name == "ini" and option.value == "-" for option in given):
        raise ConfigError(COMMAND_LINE, "only uwsgi-deploy itself can read its options from standard input")
    project = tuple(option for option in conf.options(settings) if first_name(option) not in replaced)
    handover = Handover(
        origin=ORIGIN,
        options=tuple((option.name, option.value) for option in project),
        defaults=(
            ("module", conf.application(settings)),
            ("chdir", str(conf.project_directory(settings, sys.argv[0]))),
            ("http-socket", default_address),
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


def first_name(option: RawOption) -> str:
    """The option's name where it was written under another one."""
    return BY_NAME[option.name][0].name if option.name in BY_NAME else option.name


def forget_time_zone() -> None:
    """Undo what Django did to TZ when it read TIME_ZONE: the server's log tells the machine's time, as started.

    The application's processes set it again when they load the settings.
    """
    with open("/proc/self/environ", "rb") as environ:
        started_with = dict(line.split(b"=", 1) for line in environ.read().split(b"\0") if b"=" in line)
    if zone := started_with.get(b"TZ"):
        os.environ["TZ"] = os.fsdecode(zone)
    else:
        os.environ.pop("TZ", None)
