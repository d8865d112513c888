"""A worker's pause: new clients wait in the listen queue, complete requests here, and nobody is lost."""

from __future__ import annotations

from collections import deque

from uwsgi_deploy.net.acceptor import Acceptor
from uwsgi_deploy.net.connection import Connection


class Pause:
    """The reactor's, for its leader, in what it calls while it polls or before the first round.

    ready: where the reactor puts complete requests. waiting: those that came in the pause; None when there is none.
    """

    def __init__(self, ready: deque[Connection], acceptor: Acceptor) -> None:
        self._ready, self._acceptor = ready, acceptor
        self._given_up = False
        self.waiting: deque[Connection] | None = None

    def begin(self) -> None:
        """Serve nobody until `end`. Who leaves makes no pause."""
        if self.waiting is None and not self._given_up:
            self.waiting = deque()
            self._acceptor.hold()

    def end(self) -> None:
        """Serve again, those first who waited."""
        if self.waiting is not None:
            self._ready.extendleft(reversed(self.waiting))
            self.waiting = None
            self._acceptor.unhold()

    def give_up(self) -> None:
        """End it, for good: the worker leaves, and who waits is answered."""
        self._given_up = True
        self.end()

    def hold_back(self) -> None:
        """Take what has become ready meanwhile."""
        assert self.waiting is not None
        while self._ready:
            try:
                self.waiting.append(self._ready.popleft())
            except IndexError:
                return  # a core that came back took the last one
