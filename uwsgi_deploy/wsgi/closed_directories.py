"""Why a module or a file that is there was not found: the server's user may not enter a directory above it.

Only for messages. The usual cause is a server that root starts with `uid`, and code below a home directory.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable


def closed_ones(paths: Iterable[str]) -> list[str]:
    """A clause for each directory that keeps this process from looking into `paths`: who cannot enter what.

    Missing paths are no obstacle, and each obstacle is named once.
    """
    found: dict[str, None] = {}
    for path in paths:
        directory = _obstacle(os.path.abspath(path))
        if directory is not None:
            found[directory] = None
    return [f"user {_name(os.geteuid())} cannot enter {_described(directory)}" for directory in found]


def _obstacle(path: str) -> str | None:
    """The first directory on the way to `path`, or `path` itself, that cannot be entered."""
    steps = [path]
    while steps[-1] != os.path.dirname(steps[-1]):
        steps.append(os.path.dirname(steps[-1]))
    for step in reversed(steps):
        if os.path.isdir(step) and not os.access(step, os.R_OK | os.X_OK if step == path else os.X_OK):
            return step
    return None


def _described(directory: str) -> str:
    try:
        facts = os.stat(directory)
    except OSError:
        return directory
    return f"{directory} (mode {stat.S_IMODE(facts.st_mode):03o}, of {_name(facts.st_uid)})"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
