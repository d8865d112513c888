"""An application whose template is refused every fork, as by a limit of processes, while the file of REFUSED exists."""

from __future__ import annotations

import errno
import os

from tests.support.apps.hello import application
from uwsgi_deploy.process import fork

__all__ = ["application"]

_real = fork.fork


def _refusing() -> int:
    if os.path.exists(os.environ["REFUSED"]):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return _real()


fork.fork = _refusing
