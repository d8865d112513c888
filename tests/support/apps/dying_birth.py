"""An application whose process kills itself while it imports this module, as long as the file named by DIES exists."""

from __future__ import annotations

import os
import signal

from tests.support.apps.hello import application

__all__ = ["application"]

if os.path.exists(os.environ["DIES"]):
    os.kill(os.getpid(), signal.SIGKILL)
