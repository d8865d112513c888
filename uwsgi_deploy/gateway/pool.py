"""Kept connections to the workers of this server, for the one router that is all they hear.

A worker names itself on each connection, so it is known who is busy: a request goes to a connection whose worker has a
free core. While there is none it waits here, where the first worker that becomes free takes it, and one connection is
being made in the meantime: it finds workers that are not known yet. When one leads to a worker that is busy, all are,
and the next attempt waits a moment.

While a worker answers quickly it is given a few requests ahead of time, when all are busy: it finds the next one there
when it is done, and a process that is woken for each request costs more than a quick request does. At most so many wait
behind one that turns out to be slow.
"""

from __future__ import annotations

from collections import deque
from select import epoll
from time import monotonic

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.gateway.backends import Backend
from uwsgi_deploy.gateway.dispatch import Hear, connect, was_unread
from uwsgi_deploy.gateway.exchange import Exchange
from uwsgi_deploy.gateway.upstream import Upstream, is_shortage

# Between two looks for workers that are not known, while all that are known are busy. Seconds.
_LOOK_PAUSE = 0.05
_MOST_TRIES = 5
# An answer within this time is quick, in seconds; and requests that a worker which answers so gets ahead of time.
_QUICK = 0.002
_AHEAD = 4
# Connections that are kept for a worker with many cores.
_MOST_KEPT = 64


class Pool:
    """See the module. cores: requests that a worker runs at the same time."""

    def __init__(self, backend: Backend, poller: epoll, hear: Hear, forget: Hear, *, cores: int) -> None:
        self._backend, self._poller, self._hear, self._forget = backend, poller, hear, forget
        self._cores = cores
        self._idle: list[Upstream] = []
        self._kept: dict[int, int] = {}
        self._busy: dict[int, int] = {}
        self._quick: dict[int, bool] = {}
        self._waiting: deque[Exchange] = deque()
        self._strangers = 0
        self._look_at = 0.0

    @property
    def waiting(self) -> int:
        """See `Dispatcher`."""
        return len(self._waiting)

    def assign(self, exchange: Exchange) -> None:
        """See `Dispatcher`."""
        if not self._waiting and (upstream := self._free()) is not None:
            self._give(upstream, exchange)
            return
        exchange.deadline = exchange.router.reactor.now + exchange.router.connect_timeout
        self._waiting.append(exchange)
        self._look()

    def _free(self) -> Upstream | None:
        """A kept connection whose worker has a free core, that of the worker that was busy last."""
        idle, busy = self._idle, self._busy
        for at in range(len(idle) - 1, -1, -1):
            if busy.get(idle[at].pid, 0) < self._cores:
                upstream = idle.pop(at)
                self._kept[upstream.pid] -= 1
                return upstream
        for at in range(len(idle) - 1, -1, -1):
            pid = idle[at].pid
            if self._quick.get(pid) and busy[pid] < self._cores + _AHEAD:
                upstream = idle.pop(at)
                self._kept[pid] -= 1
                return upstream
        return None

    def _has_room(self, pid: int) -> bool:
        busy = self._busy[pid]
        return busy < self._cores or (self._quick[pid] and busy < self._cores + _AHEAD)

    def _give(self, upstream: Upstream, exchange: Exchange) -> None:
        self._busy[upstream.pid] = self._busy.get(upstream.pid, 0) + 1
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
            exchange = self._waiting.popleft()
            self._backend.failures += 1
            exchange.fail(ProtocolError(503, f"the workers cannot be reached: {error.strerror}"), retry_after=1)
            return
        self._hear(upstream)
        self._strangers += 1
        upstream.since = now
        self._waiting.popleft().use(upstream)

    def greeted(self, upstream: Upstream) -> None:
        """See `Dispatcher`."""
        pid = upstream.pid
        self._strangers -= 1
        busy = self._busy[pid] = self._busy.get(pid, 0) + 1
        if busy > self._cores:
            self._look_at = monotonic() + _LOOK_PAUSE
        self._look()

    def leave(self, upstream: Upstream, *, reusable: bool) -> None:
        """See `Dispatcher`."""
        pid = upstream.pid
        if not pid:
            self._strangers -= 1
        else:
            self._busy[pid] -= 1
            self._quick[pid] = monotonic() - upstream.since < _QUICK
        if reusable and pid and self._kept.get(pid, 0) < min(self._cores, _MOST_KEPT) + _AHEAD:
            if self._waiting and self._has_room(pid):
                self._give(upstream, self._waiting.popleft())
                return
            upstream.watch()
            self._idle.append(upstream)
            self._kept[pid] = self._kept.get(pid, 0) + 1
        else:
            self._forget(upstream)
            upstream.close()
        if self._waiting:
            self.sweep()

    def withdraw(self, exchange: Exchange) -> None:
        """See `Dispatcher`."""
        if exchange in self._waiting:
            self._waiting.remove(exchange)

    def unreachable(self, exchange: Exchange, backend: Backend, error: OSError) -> None:  # noqa: ARG002
        """See `Dispatcher`. A Unix socket connects at once or not at all."""
        exchange.fail(ProtocolError(503, f"the workers cannot be reached: {error.strerror}"), retry_after=1)

    def tries_again(self, exchange: Exchange, upstream: Upstream, error: OSError | None) -> bool:
        """See `Dispatcher`. A request that a worker died of is not for the next one."""
        if not was_unread(exchange, upstream, error) or len(exchange.tried) >= _MOST_TRIES:
            return False
        exchange.tried.append(upstream.backend)
        self.assign(exchange)
        return True

    def idle_event(self, upstream: Upstream) -> None:
        """See `Dispatcher`. Its worker has closed it, or talks without being asked."""
        self._idle.remove(upstream)
        pid = upstream.pid
        self._kept[pid] -= 1
        if not self._kept[pid] and not self._busy[pid]:
            del self._kept[pid], self._busy[pid], self._quick[pid]
        self._forget(upstream)
        upstream.close()

    def sweep(self) -> None:
        """See `Dispatcher`."""
        while self._waiting and (upstream := self._free()) is not None:
            self._give(upstream, self._waiting.popleft())
        self._look()

    def close(self) -> None:
        """Close the connections that carry nothing."""
        for upstream in self._idle:
            self._forget(upstream)
            upstream.close()
        self._idle.clear()
        self._kept.clear()
