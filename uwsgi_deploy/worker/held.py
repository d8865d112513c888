"""Responses that are whole and go out together, after the quick requests that were ready at the same time.

A system call between two requests of a framework throws its code out of the processor's caches, and a client that is
woken for each answer costs an interrupt each. So while more requests wait and all are quick, whole small responses are
held for a moment. Whoever comes first sends them: the core when it is through or a millisecond has passed, or the
lookout when a request turns out not to be quick (see `engines.threads`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from uwsgi_deploy.errors import ClientGone
from uwsgi_deploy.net.connection import Connection


class HeldResponses:
    """`release` gives a connection back to the reactor; `gone` ends one whose client left. Any thread may flush."""

    __slots__ = ("_gone", "_release", "_waiting", "hold")

    def __init__(self, release: Callable[[Connection], None], gone: Callable[[Connection], None]) -> None:
        self._release, self._gone = release, gone
        self._waiting: deque[Connection] = deque()
        self.hold = self._waiting.append

    def flush(self) -> None:
        """Send all that is held; each connection by one thread only, the one that takes it out."""
        waiting = self._waiting
        while waiting:
            try:
                connection = waiting.popleft()
            except IndexError:  # another thread flushes, too
                return
            try:
                connection.send_held()
            except ClientGone:
                self._gone(connection)
            else:
                self._release(connection)
