"""When the master was killed: workers have a moment to finish their requests, then nothing is left of the server.

The kernel tells a worker (`prctl`), which ends by itself. One whose request hangs in C code hears nothing, so the
template, which has nothing else to do any more, kills whoever is still there after that moment.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable
from select import POLLHUP, POLLIN, poll  # bound before gevent replaces it
from time import monotonic

from uwsgi_deploy.native import sleep

MERCY = 1.2
"""Seconds that a worker without a master may take to end."""
_LONGEST_DEATH = 0.5
_POLL = 0.001


def has_died(parent: int, channel: socket.socket) -> bool:
    """Whether the process `parent`, which had the other end of the channel, is gone.

    A process that dies closes its descriptors a moment before its children get another parent. One that lives may have
    closed its half of the channel, but not the whole.
    """
    deadline = monotonic() + _LONGEST_DEATH
    while os.getppid() == parent:
        if not _is_hung_up(channel) or monotonic() > deadline:
            return False
        sleep(_POLL)
    return True


def _is_hung_up(channel: socket.socket) -> bool:
    poller = poll()
    poller.register(channel, 0)
    return any(event & POLLHUP for _, event in poller.poll(0))


def kill_after_mercy(pids: Iterable[int], *, mercy: float = MERCY) -> None:
    """Wait until the workers `pids` have ended, and kill those that are left after `mercy` seconds.

    A pid that means another process by now is left alone: who belongs to this server is in its group.
    """
    poller, deadline = poll(), monotonic() + mercy
    left = {}
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)  # from here on nobody else can get this number unnoticed
            if os.getpgid(pid) == os.getpgrp() and pid != os.getpid():
                left[handle] = pid
                poller.register(handle, POLLIN)
        except ProcessLookupError:
            continue
    while left and (remaining := deadline - monotonic()) > 0:
        for handle, _ in poller.poll(remaining * 1000):
            poller.unregister(handle)
            del left[handle]
    for handle in left:
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            continue
