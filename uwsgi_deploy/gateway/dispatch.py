"""How a request finds a connection to a server: one of its own (`Separate`), or one that is kept (`gateway.pool`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from select import epoll
from time import monotonic
from typing import Protocol

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.gateway.backends import Backend, Balancer
from uwsgi_deploy.gateway.passage import Passage
from uwsgi_deploy.gateway.upstream import Upstream, is_shortage

# Servers that are asked for one request at most.
_MOST_TRIES = 4
_RETRY_AFTER = 5
# Requests that still cannot be passed on, after which the rest of those that wait are not tried this time.
_MOST_IN_VAIN = 8

# Told of a connection that was made, before anything can happen on it.
Hear = Callable[[Upstream], None]


class Dispatcher(Protocol):
    """See the module."""

    @property
    def waiting(self) -> int:
        """Requests that no server has time for."""

    def assign(self, exchange: Passage) -> None:
        """Give the request a connection, now or later, or fail it."""

    def leave(self, upstream: Upstream, *, reusable: bool) -> None:
        """Its request is over. reusable: the server would take another one."""

    def withdraw(self, exchange: Passage) -> None:
        """It does not wait for a connection any more."""

    def greeted(self, upstream: Upstream) -> None:
        """It is known which worker is at the other end."""

    def unreachable(self, exchange: Passage, backend: Backend, error: OSError) -> None:
        """The connection that was being made for it failed."""

    def tries_again(self, exchange: Passage, upstream: Upstream, error: OSError | None) -> bool:
        """The connection broke before an answer: whether the request has been given to another one."""

    def idle_event(self, upstream: Upstream) -> None:
        """Something happened on a connection that carries no request."""

    def sweep(self) -> None:
        """Called from time to time."""


class Separate:
    """A connection for each request, to the server that the balancer chooses."""

    def __init__(
        self, balancer: Balancer, poller: epoll, hear: Hear, forget: Hear, complain: Callable[[str], None]
    ) -> None:
        self._balancer, self._poller, self._hear, self._forget = balancer, poller, hear, forget
        self._complain = complain
        self._waiting: deque[Passage] = deque()

    @property
    def waiting(self) -> int:
        """See `Dispatcher`."""
        return len(self._waiting)

    def assign(self, exchange: Passage) -> None:
        """See `Dispatcher`."""
        self._assign(exchange, None)

    def _assign(self, exchange: Passage, error: OSError | None) -> None:
        while True:
            now = monotonic()
            tried = exchange.tried
            backend = None
            if len(tried) < _MOST_TRIES:
                backend = self._balancer.choose(exchange.host, tried, now)
            if backend is None:
                _nobody(exchange, error)
                return
            tried.append(backend)
            try:
                upstream = connect(self._poller, backend, now)
            except OSError as failure:
                if is_shortage(failure):
                    tried.remove(backend)
                    exchange.deadline = now + exchange.router.connect_timeout
                    exchange.router.shortage(failure)
                    self._waiting.append(exchange)
                    return
                error = failure
                self._failed(backend, failure, now)
                continue
            self._hear(upstream)
            exchange.use(upstream)
            return

    def _failed(self, backend: Backend, error: OSError, now: float) -> None:
        self._balancer.unreachable(backend, now)
        self._complain(f"cannot connect to {backend.name}: {error.strerror or error}")

    def leave(self, upstream: Upstream, *, reusable: bool) -> None:  # noqa: ARG002
        """See `Dispatcher`."""
        self._forget(upstream)
        upstream.close()
        self.sweep()

    def withdraw(self, exchange: Passage) -> None:
        """See `Dispatcher`."""
        if exchange in self._waiting:
            self._waiting.remove(exchange)

    def greeted(self, upstream: Upstream) -> None:
        """See `Dispatcher`."""

    def unreachable(self, exchange: Passage, backend: Backend, error: OSError) -> None:
        """See `Dispatcher`."""
        self._failed(backend, error, monotonic())
        self._assign(exchange, error)

    def tries_again(self, exchange: Passage, upstream: Upstream, error: OSError | None) -> bool:
        """See `Dispatcher`. Another server is asked only when it does no harm that the first may have acted on it."""
        if not was_unread(exchange, upstream, error):
            if not exchange.is_idempotent or upstream.backend.is_local:
                return False
            if self._balancer.choose(exchange.host, exchange.tried, monotonic()) is None:
                return False
        elif upstream.backend.is_local and len(exchange.tried) < _MOST_TRIES:
            exchange.tried.append(upstream.backend)
            self._again(exchange)
            return True
        self._assign(exchange, error)
        return True

    def _again(self, exchange: Passage) -> None:
        """Once more to this server's own workers, of whom another one accepts."""
        tried, exchange.tried = exchange.tried, []
        self._assign(exchange, None)
        exchange.tried += tried

    def idle_event(self, upstream: Upstream) -> None:
        """See `Dispatcher`."""

    def sweep(self) -> None:
        """See `Dispatcher`."""
        in_vain = 0
        for _ in range(len(self._waiting)):
            if not self._waiting or in_vain == _MOST_IN_VAIN:
                return
            exchange = self._waiting.popleft()
            before, deadline = len(self._waiting), exchange.deadline
            self.assign(exchange)
            if len(self._waiting) > before:
                exchange.deadline = deadline
                in_vain += 1


def connect(poller: epoll, backend: Backend, now: float) -> Upstream:
    """Begin a connection. Raises OSError."""
    return Upstream(poller, backend, backend.target(now))


def was_unread(exchange: Passage, upstream: Upstream, error: OSError | None) -> bool:
    """Whether the worker of this server certainly did not act on the request.

    A Unix socket that is closed with unread bytes in it resets the connection, and one that was closed before all was
    sent does not take the rest: the worker has not had the whole request, without which its application is not called.
    """
    if error is None or not upstream.backend.is_local:
        return False
    return isinstance(error, (ConnectionResetError, BrokenPipeError)) and exchange.router.workers_wait_for_bodies


def _nobody(exchange: Passage, error: OSError | None) -> None:
    if isinstance(error, TimeoutError):
        timeout = exchange.router.connect_timeout
        exchange.fail(ProtocolError(504, f"no connection to a server within {timeout:g} s"))
    else:
        detail = "no server can be reached" if error is None else f"no server can be reached: {error.strerror or error}"
        exchange.fail(ProtocolError(503, detail), retry_after=_RETRY_AFTER)
