"""Where a server keeps its reports. Apart from `reports.ring`, because every worker looks there once when it starts."""

from __future__ import annotations

import errno
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


def make(place: Place) -> None:
    """Make the directory, and the one above it, where they are not there, for their owner alone. Raises OSError."""
    try:
        _make_one(place.directory, place.owner)
    except FileNotFoundError:
        _make_one(os.path.dirname(place.directory), place.owner)
        _make_one(place.directory, place.owner)


def complaint(settings: Settings, environ: Mapping[str, str]) -> str:
    """Why the directory that harakiri-dir names cannot be used, for the log of the start; empty when it can, and where
    none is named. It is made if need be, before root becomes another user."""
    directory = settings.reports.harakiri_dir
    place = place_of(settings, environ) if directory else None
    if place is None:
        return ""
    try:
        make(place)
        if not os.path.isdir(directory):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        return f"harakiri-dir: reports of late requests cannot be kept in {directory}: {error.strerror}"
    return ""


def _make_one(path: str, owner: int | None) -> None:
    try:
        os.mkdir(path, runtime_dir.DIRECTORY_MODE)
    except FileExistsError:
        return
    os.chmod(path, runtime_dir.DIRECTORY_MODE)  # whatever the umask is
    if owner is not None and owner != os.geteuid():
        os.chown(path, owner, -1, follow_symlinks=False)


def name_of(settings: Settings) -> str:
    """What tells this server's reports from those of the user's other servers, and is the same after a restart."""
    application = settings.application
    named = application.module or application.wsgi_file
    what = (named, application.chdir, *(address for _, address, _ in settings.listening))
    readable = re.sub(r"[^\w.-]", "_", os.path.basename(named))[:40].lstrip(".")
    number = int.from_bytes(repr(what).encode("utf-8", "replace")) % _PRIME
    return f"{readable or 'application'}-{number:08x}"


def has_pending(directory: str) -> bool:
    """Whether there may be reports that the application has not been told of. directory: empty for none."""
    if not directory:
        return False
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
