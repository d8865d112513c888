"""Threads, locks and sockets of the operating system, as they were before gevent made the standard library cooperate.

The server's own threads (flusher, lookout, watchdogs) must run while the application's greenlets cannot, so they never
use `threading` or `time.sleep` by name: gevent replaces them there. This module is imported before that, by every
process of the server.
"""

from __future__ import annotations

import _socket
from _thread import allocate_lock, get_ident, start_new_thread
from select import epoll
from socket import socket
from time import sleep

__all__ = ["Bell", "allocate_lock", "epoll", "get_ident", "sleep", "socket", "socket_pair", "start_new_thread"]


def socket_pair() -> tuple[socket, socket]:
    """Two connected sockets; `socket.socketpair` makes gevent's, and an event loop with them, whoever calls it."""
    one, other = _socket.socketpair()
    return socket(fileno=one.detach()), socket(fileno=other.detach())


class Bell:
    """Ends the waits of one thread: what rang before the wait ends it, too. A `threading.Event` for one that waits."""

    __slots__ = ("_lock", "is_rung")

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()
        self.is_rung = False

    def ring(self) -> None:
        """Let the thread go on. From any thread or greenlet; never blocks."""
        self.is_rung = True
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it was rung before, and nobody has heard it yet

    def silence(self) -> None:
        """Forget that it was rung: by the thread that waits, which looks for work once more before it does."""
        self._lock.acquire(blocking=False)
        self.is_rung = False

    def wait(self, seconds: float = -1) -> bool:
        """Block this thread until it rings, at most `seconds` (-1: however long); whether it did."""
        return self._lock.acquire(timeout=seconds)
