"""Kept connections to the workers of this server, for the one router that is all they hear.

A worker names itself on each connection, so it is known who is busy: a request goes to a connection whose worker has a
free core. While there is none it waits here, where the first worker that becomes free takes it, and one connection is
being made in the meantime: it finds workers that are not known yet. When one leads to a worker that is busy, all are,
and the next attempt waits a moment.

When all are busy, a worker that has answered quickly many times in a row is given a few requests ahead of time: it
finds the next one there when it is done, and a process that is woken for each request costs more than a quick request
does. At most so many wait behind one that turns out to be slow; where slow ones are not rare, hardly any are given so.
"""

from __future__ import annotations

from collections import deque
from select import epoll
from time import monotonic

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.gateway.backends import Backend
from uwsgi_deploy.gateway.dispatch import Hear, connect, was_unread
from uwsgi_deploy.gateway.passage import Passage
from uwsgi_deploy.gateway.upstream import Upstream, is_shortage

# Between two looks for workers that are not known, while all that are known are busy. Seconds.
_LOOK_PAUSE = 0.05
_MOST_TRIES = 5
# An answer within this time is quick, in seconds.
_QUICK = 0.002
# Requests that a worker gets ahead of time at most: one for so many quick answers in a row.
_AHEAD, _EARNED_BY = 8, 32
# Connections that are kept for a worker with many cores.
_MOST_KEPT = 64


class _Worker:
    """What is known of one. busy: requests that it has; streak: quick answers in a row; idle: kept connections."""

    __slots__ = ("busy", "idle", "streak")

    def __init__(self) -> None:
        self.busy = self.streak = 0
        self.idle: list[Upstream] = []


class Pool:
    """See the module. cores: requests that a worker runs at the same time."""

    def __init__(self, backend: Backend, poller: epoll, hear: Hear, forget: Hear, *, cores: int) -> None:
        self._backend, self._poller, self._hear, self._forget = backend, poller, hear, forget
        self._cores = cores
        self._most_kept = min(cores, _MOST_KEPT) + _AHEAD
        self._workers: dict[int, _Worker] = {}
        self._waiting: deque[Passage] = deque()
        self._strangers = 0
        self._look_at = 0.0

    @property
    def waiting(self) -> int:
        """See `Dispatcher`."""
        return len(self._waiting)

    def assign(self, exchange: Passage) -> None:
        """See `Dispatcher`."""
        if not self._waiting and (worker := self._free()) is not None:
            self._give(worker, exchange)
            return
        exchange.deadline = exchange.router.reactor.now + exchange.router.connect_timeout
        self._waiting.append(exchange)
        self._look()

    # -- who is free ---------------------------------------------------------------------------------------------------

    def _free(self) -> _Worker | None:
        """A worker with a kept connection and a free core, else one that may get a request ahead of time."""
        eager = None
        cores = self._cores
        for worker in self._workers.values():
            if worker.idle:
                if worker.busy < cores:
                    return worker
                if eager is None and self._has_room(worker):
                    eager = worker
        return eager

    def _has_room(self, worker: _Worker) -> bool:
        return worker.busy < self._cores + min(worker.streak // _EARNED_BY, _AHEAD)

    def _give(self, worker: _Worker, exchange: Passage) -> None:
        upstream = worker.idle.pop()
        upstream.is_ahead = worker.busy >= self._cores
        worker.busy += 1
        upstream.is_reused = True
        upstream.since = monotonic()
        exchange.use(upstream)

    def _look(self) -> None:
        """Find another worker, with the request that has waited longest."""
        now = monotonic()
        if self._strangers or now < self._look_at or not self._waiting:
            return
        try:
            upstream = connect(self._poller, self._backend, now)
        except OSError as error:
            if is_shortage(error):
                self._look_at = now + _LOOK_PAUSE
                self._waiting[0].router.shortage(error)
                return
            self._backend.failures += 1
            self._waiting.popleft().fail(_unreachable(error), retry_after=1)
            return
        self._hear(upstream)
        self._strangers += 1
        upstream.since = now
        self._waiting.popleft().use(upstream)

    # -- what happens to connections -----------------------------------------------------------------------------------

    def greeted(self, upstream: Upstream) -> None:
        """See `Dispatcher`."""
        self._strangers -= 1
        worker = self._workers.get(upstream.pid)
        if worker is None:
            worker = self._workers[upstream.pid] = _Worker()
        upstream.is_ahead = worker.busy >= self._cores
        worker.busy += 1
        if upstream.is_ahead:
            self._look_at = monotonic() + _LOOK_PAUSE
        self._look()

    def leave(self, upstream: Upstream, *, reusable: bool) -> None:
        """See `Dispatcher`."""
        worker = self._workers.get(upstream.pid)
        if worker is None:
            self._strangers -= 1
        else:
            worker.busy -= 1
            worker.streak = worker.streak + 1 if monotonic() - upstream.since < _QUICK else 0
        if worker is not None and reusable and len(worker.idle) < self._most_kept:
            upstream.watch()
            worker.idle.append(upstream)
            while self._waiting and worker.idle and self._has_room(worker):
                self._give(worker, self._waiting.popleft())
        else:
            self._drop(upstream)
        if self._waiting:
            self.sweep()

    def _drop(self, upstream: Upstream) -> None:
        """Close it, and forget a worker of which nothing is left: another process may get its number."""
        worker = self._workers.get(upstream.pid)
        if worker is not None and not worker.busy and not worker.idle:
            del self._workers[upstream.pid]
        self._forget(upstream)
        upstream.close()

    def idle_event(self, upstream: Upstream) -> None:
        """See `Dispatcher`. Its worker has closed it, or talks without being asked."""
        self._workers[upstream.pid].idle.remove(upstream)
        self._drop(upstream)

    def withdraw(self, exchange: Passage) -> None:
        """See `Dispatcher`."""
        if exchange in self._waiting:
            self._waiting.remove(exchange)

    def unreachable(self, exchange: Passage, backend: Backend, error: OSError) -> None:  # noqa: ARG002
        """See `Dispatcher`. A Unix socket connects at once or not at all."""
        exchange.fail(_unreachable(error), retry_after=1)

    def tries_again(self, exchange: Passage, upstream: Upstream, error: OSError | None) -> bool:
        """See `Dispatcher`.

        A request that a worker died of is not for the next one. One that was given to it ahead of time may not have
        been begun: where that does no harm it is sent again, once.
        """
        was_waiting = upstream.is_ahead and exchange.is_idempotent and not exchange.tried
        if not (was_waiting or was_unread(exchange, upstream, error)) or len(exchange.tried) >= _MOST_TRIES:
            return False
        exchange.tried.append(upstream.backend)
        self.assign(exchange)
        return True

    def sweep(self) -> None:
        """See `Dispatcher`."""
        while self._waiting and (worker := self._free()) is not None:
            self._give(worker, self._waiting.popleft())
        self._look()


def _unreachable(error: OSError) -> ProtocolError:
    return ProtocolError(503, f"the workers cannot be reached: {error.strerror}")
