"""When the master was killed: workers have a moment to finish their requests, then nothing is left of the server.

The kernel tells a worker (`prctl`), which ends by itself. One whose request hangs in C code hears nothing, so the
template, which has nothing else to do any more, kills whoever is still there after that moment.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable

MERCY = 1.5
"""Seconds that a worker without a master may take to end."""


def kill_after_mercy(pids: Iterable[int], *, mercy: float = MERCY) -> None:
    """Wait until the workers `pids` have ended, and kill those that are left after `mercy` seconds.

    A pid that means another process by now is left alone: who belongs to this server is in its group.
    """
    poll, deadline = select.poll(), time.monotonic() + mercy
    left = {}
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)  # from here on nobody else can get this number unnoticed
            if os.getpgid(pid) == os.getpgrp() and pid != os.getpid():
                left[handle] = pid
                poll.register(handle, select.POLLIN)
        except ProcessLookupError:
            continue
    while left and (remaining := deadline - time.monotonic()) > 0:
        for handle, _ in poll.poll(remaining * 1000):
            poll.unregister(handle)
            del left[handle]
    for handle in left:
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            continue
