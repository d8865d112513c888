"""An application whose template kills itself around a fork, when the file named by DIE_AT says where.

`before`: before the next fork. `between`: after it and before its reply. `middle`: the process in between does, after
its own fork.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.apps.hello import application

__all__ = ["application"]

TEMPLATE = os.getpid()
ORDER = Path(os.environ["DIE_AT"])


def die(place: str) -> None:
    """Die at a place, once."""
    try:
        found = ORDER.read_text()
    except FileNotFoundError:
        return
    if found == place:
        ORDER.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def before() -> None:
    """Runs in whoever forks."""
    if os.getpid() == TEMPLATE:
        die("before")


def after() -> None:
    """Runs in whoever has forked."""
    die("between" if os.getpid() == TEMPLATE else "middle")


os.register_at_fork(before=before, after_in_parent=after)
