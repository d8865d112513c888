"""Where a server keeps its reports. Apart from `reports.ring`, because every worker looks there once when it starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.settings.reports import OFF, sinks_of
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.process import runtime_dir
from uwsgi_deploy.process.identity import user_number

NAME = "harakiri"
PENDING = ".pending-"
"""In the name of a file that stands for a report which the application has not been told of (`reports.ring`)."""
_PRIME = 0xFFFFFFFB


class Place(NamedTuple):
    """A directory, which may not be there yet, and whose it is to be if root makes it."""

    directory: str
    owner: int | None


def place_of(settings: Settings, environ: Mapping[str, str]) -> Place | None:
    """Where a server with these settings keeps its reports, or would; None when it keeps none.

    Only the private directory of the user's servers may be made.
    """
    reports = settings.reports
    if "ring" not in sinks_of(reports) or reports.harakiri_dir == OFF or not reports.harakiri_keep:
        return None
    owner = _owner(settings)
    if reports.harakiri_dir:
        return Place(reports.harakiri_dir, owner)
    parent = _private(environ, owner)
    return None if parent is None else Place(os.path.join(parent, NAME, name_of(settings)), owner)


def name_of(settings: Settings) -> str:
    """What tells this server's reports from those of the user's other servers, and is the same after a restart."""
    application = settings.application
    named = application.module or application.wsgi_file
    what = (named, application.chdir, *settings.sockets.http_socket, *settings.sockets.socket)
    readable = re.sub(r"[^\w.-]", "_", os.path.basename(named))[:40].lstrip(".")
    number = int.from_bytes(repr(what).encode("utf-8", "replace")) % _PRIME
    return f"{readable or 'application'}-{number:08x}"


def has_pending(directory: str) -> bool:
    """Whether there may be reports that the application has not been told of."""
    try:
        return any(PENDING in name for name in os.listdir(directory))
    except OSError:  # there was never one
        return False


def _owner(settings: Settings) -> int | None:
    """Who the workers are where that is another than this process."""
    if os.geteuid() != 0 or not settings.identity.uid:
        return None
    try:
        return user_number(settings.identity.uid, "uid")
    except ConfigError:  # a jail without its own list of users
        return None


def _private(environ: Mapping[str, str], owner: int | None) -> str | None:
    if owner is None or owner == os.geteuid():
        return runtime_dir.choose(environ)
    runtime_dir.prepare(owner)
    return next((path for path in runtime_dir.places({}, owner) if runtime_dir.is_private(path, owner)), None)
