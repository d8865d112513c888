"""A reactor for engines that have an event loop of their own: the loop watches its descriptor and calls for a round."""

from __future__ import annotations

from typing import Any

from uwsgi_deploy.net.reactor import Reactor

# New clients in a round: where other workers take some, and where none does.
_SHARE, _ALL = 4, 1 << 20


class WatchedReactor(Reactor):
    """`poll` never waits. Between two rounds the loop waits for `fileno`, and `rest` has been called."""

    is_watched = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # What siblings see: not whether it waits, as other engines' processes do, but whether it has a free core. A
        # worker that has none must not take a client because one that has looked busy for a moment.
        self._room_flag, self._idle_flag = self._idle_flag, bytearray(1)

    @property
    def appetite(self) -> int:
        """New clients to accept in a round at most. Greenlets are many: who has brothers leaves some to them."""
        return _SHARE if self._acceptor.has_siblings else _ALL

    def fileno(self) -> int:
        """A descriptor that is readable when `poll` has something to do."""
        return self._epoll.fileno()

    def rest(self, *, is_idle: bool) -> None:
        """A round is over. From now on whoever gives something to do makes `fileno` readable.

        is_idle: this process has a free core, for the others that share its listeners to know.
        """
        self._polling = True
        self._room_flag[0] = is_idle and not self.draining
        if self._returned or self._drain_wanted or (self.ready and is_idle):
            self.wake()

    def has_room(self) -> None:
        """The first core is free again."""
        self._room_flag[0] = not self.draining

    @property
    def needs_ticks(self) -> bool:
        """Whether somebody has a deadline: a round is due from time to time, even when nothing happens."""
        return bool(self.connections) or self._acceptor.has_deadline or self.draining
