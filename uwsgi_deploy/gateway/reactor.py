"""The reactor of a gateway: clients as in workers, and servers in the same epoll.

A client whose request is complete belongs to an exchange until its answer is over; what epoll says of it, or of the
connection to a server, goes to that exchange. Events are hints: a descriptor may have got a new owner since.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLRDHUP, epoll
from time import monotonic
from typing import TYPE_CHECKING, Any

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.net.acceptor import Endpoint
from uwsgi_deploy.net.connection import Connection, Limits, State
from uwsgi_deploy.net.reactor import Reactor

if TYPE_CHECKING:
    from uwsgi_deploy.gateway.dispatch import Dispatcher
    from uwsgi_deploy.gateway.passage import Passage
    from uwsgi_deploy.gateway.upstream import Upstream

_GONE = EPOLLRDHUP | EPOLLHUP | EPOLLERR
_TICK = 1.0
_SHORT_TICK = 0.05

HEAD, _, BUSY, _, _, _ = State


class GatewayReactor(Reactor):
    """See the module. longest_wait: seconds after which `poll` returns even when nothing happens; -1: never."""

    dispatcher: Dispatcher

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        limits: Limits,
        *,
        room: int,
        longest_wait: float,
        on_refused: Callable[[Connection, ProtocolError], None],
        on_gone: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__(
            endpoints,
            limits,
            cores=room,
            accept_at_once=1,
            wait=never_wait,
            on_refused=on_refused,
            on_gone=on_gone,
        )
        self.upstreams: dict[int, Upstream] = {}
        self.exchanges: dict[int, Passage] = {}
        self.has_waiting = False
        self._longest_wait = longest_wait
        self._again: list[Passage] = []

    @property
    def poller(self) -> epoll:
        """Where connections to servers register themselves."""
        return self._epoll

    # -- owners --------------------------------------------------------------------------------------------------------

    def hear_client(self, exchange: Passage) -> None:
        """Its client's connection is the exchange's until it is released."""
        connection = exchange.connection
        self.exchanges[connection.fd] = exchange
        self._register(connection)

    def hear_server(self, upstream: Upstream) -> None:
        """A connection to a server was made, or is being made."""
        self.upstreams[upstream.fd] = upstream

    def forget_server(self, upstream: Upstream) -> None:
        """It is about to be closed."""
        self.upstreams.pop(upstream.fd, None)

    def let_go(self) -> None:
        """Close the connections of clients that have nothing under way: their descriptors are needed."""
        self._close_idle()

    def look_again(self, exchange: Passage) -> None:
        """The exchange has more to do, once the others had their turn."""
        if exchange not in self._again:
            self._again.append(exchange)

    # -- the round -----------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """See `Reactor.poll`; here connections to servers are heard as well."""
        if self._drain_wanted:
            self._start_draining(backlog=self._drain_backlog)
        events = self._epoll.poll(self._patience())
        now = self.now = monotonic()
        connections, upstreams = self.connections, self.upstreams
        others = None
        for fd, mask in events:
            upstream = upstreams.get(fd)
            if upstream is not None:
                exchange = upstream.exchange
                if exchange is not None:
                    try:
                        exchange.upstream_event(mask)
                    except Exception as error:  # a fault of the router's: nobody else is to suffer from it
                        exchange.failed(error)
                else:
                    self.dispatcher.idle_event(upstream)
                continue
            connection = connections.get(fd)
            if connection is None:
                others = [*others, fd] if others else [fd]
            elif connection.state is HEAD:
                if mask & _GONE:
                    self._peer_left(connection, mask)
                elif mask & EPOLLIN or connection.outbox:
                    self._read_head(connection)
            elif connection.state is BUSY:
                self._client_event(connection, mask)
            else:
                self._event(connection, mask)
        if self._again:
            self._go_on()
        if self._returned:
            self._take_back()
        if now >= self._next_sweep:
            self._sweep(now)
        if others:
            for fd in others:
                if action := self._watched.get(fd):
                    action()
                else:
                    self._acceptor.on_event(fd, now=self.now, room=self.free_cores - len(self.ready))

    def _patience(self) -> float:
        """How long to wait for events, in seconds."""
        if self._returned or self.ready or self._drain_wanted or self._again:
            return 0.0
        if self.draining or self.has_waiting:
            return _SHORT_TICK if self.connections or self._acceptor.has_deadline else 0.0
        if self.connections or self._acceptor.has_deadline:
            return _TICK if self._longest_wait < 0 else min(_TICK, self._longest_wait)
        return self._longest_wait

    def _client_event(self, connection: Connection, mask: int) -> None:
        if mask & _GONE:
            connection.eof = True
        if mask & (EPOLLIN | _GONE):
            connection.readable = True
        if exchange := self.exchanges.get(connection.fd):
            try:
                exchange.client_event(mask)
            except Exception as error:  # as above
                exchange.failed(error)

    def _go_on(self) -> None:
        again, self._again = self._again, []
        for exchange in again:
            if not exchange.is_over:
                exchange.client_event(0)

    def _sweep(self, now: float) -> None:
        super()._sweep(now)
        for exchange in [one for one in list(self.exchanges.values()) if one.deadline < now]:
            if not exchange.is_over:
                exchange.too_late()

    # -- leaving -------------------------------------------------------------------------------------------------------

    def _start_draining(self, *, backlog: bool) -> None:
        """See `Reactor`. Conversations may last for hours: each is told."""
        super()._start_draining(backlog=backlog)
        for exchange in list(self.exchanges.values()):
            exchange.router_leaves()

    def adopt(self, fd: int, whole: bytes) -> None:
        """Answer a connection that was accepted elsewhere, and end it: `whole` is all that it gets."""
        connection = Connection(fd, NO_CODEC, None, send_timeout=self._limits.send_timeout, wait=never_wait)
        connection.state, connection.environ = BUSY, {}
        self.connections[fd] = connection
        try:
            connection.send(whole)
        except OSError:
            self.abort(connection)
            return
        self.release(connection)


class _NoCodec:
    """Of connections on which nothing is read."""

    def decode(self, _data: bytes) -> None:
        """See `Codec`."""


NO_CODEC = _NoCodec()


def never_wait(_fd: int, _events: int, _timeout: float) -> bool:
    """Nobody here may wait for a single descriptor."""
    raise BlockingIOError(os.strerror(11))
