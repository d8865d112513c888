"""What the server is started with when Django's command line and the project's settings say it.

The counterpart of flask_integration/launch.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from django_integration import conf
from uwsgi_deploy import launch
from uwsgi_deploy.cli.client import Place
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.launch import Framework, Launch, Target

ORIGIN = "settings.UWSGI"
COMMAND = "runuwsgi"
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", "8000"


def plan(
    settings: Any, given: Sequence[RawOption], *, replaced: frozenset[str], default_address: str, application: str
) -> Launch:
    """See `uwsgi_deploy.launch.plan`. application: what is served unless another one is named."""
    framework = Framework(
        COMMAND,
        ORIGIN,
        (("module", application), *_directory(settings), ("http-socket", default_address)),
    )
    return launch.plan(framework, conf.options(settings), given, replaced=replaced)


def whereabouts(settings: Any) -> Place:
    """See `uwsgi_deploy.launch.whereabouts`."""
    return launch.whereabouts(Framework(COMMAND, ORIGIN, _directory(settings)), conf.options(settings))


def target(settings: Any) -> Target:
    """See `uwsgi_deploy.launch.target`."""
    defaults = (*_directory(settings), ("http-socket", f"{DEFAULT_HOST}:{DEFAULT_PORT}"))
    return launch.target(Framework(COMMAND, ORIGIN, defaults), conf.options(settings))


def _directory(settings: Any) -> tuple[tuple[str, str], ...]:
    return (("chdir", str(conf.project_directory(settings, sys.argv[0]))),)


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
