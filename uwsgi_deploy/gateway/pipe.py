"""What follows a 101: bytes both ways, until both sides have ended (RFC 9110 §7.8). Owned by its `Exchange`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from uwsgi_deploy.errors import ClientGone
from uwsgi_deploy.gateway.upstream import READ_SIZE, Upstream

if TYPE_CHECKING:
    from uwsgi_deploy.gateway.exchange import Exchange

# Bytes kept for either side before the other one has to wait.
_HIGH_WATER = 262144
_READS_IN_A_ROW = 16
# How long a side that has ended is waited for by the other one.
_FAREWELL = 5.0


class Pipe:
    """See the module. Reading stops where the other side does not keep up, and goes on when it does."""

    __slots__ = ("_client_ended", "_exchange", "_server_ended", "_shut", "_upstream")

    def __init__(self, exchange: Exchange, upstream: Upstream) -> None:
        self._exchange, self._upstream = exchange, upstream
        self._client_ended = self._server_ended = False
        self._shut: set[str] = set()

    def begin(self, first: bytes) -> None:
        """Send `first` to the client; the connection is a pipe from now on. Raises ClientGone."""
        connection = self._exchange.connection
        connection.send(first)
        if connection.inbox:
            data, connection.inbox = connection.inbox, b""
            self._upstream.outbox.append(data)
        self._run()

    def client_event(self) -> None:
        """Something happened on the client's connection."""
        self._run()

    def server_event(self) -> None:
        """Something happened on the server's connection."""
        self._run()

    def end_input(self) -> None:
        """The server finds the end of input, as if the client had ended its side: the router leaves."""
        self._client_ended = True
        self._run()

    def _run(self) -> None:
        """Move what can be moved."""
        exchange = self._exchange
        exchange.deadline = exchange.router.reactor.now + exchange.router.timeout
        try:
            self._to_server()
            self._to_client()
        except (ClientGone, OSError):
            self.close()
            return
        if self._client_ended and self._server_ended and not (self._upstream.outbox or exchange.connection.outbox):
            self.close()
        elif self._client_ended or self._server_ended:
            exchange.deadline = exchange.router.reactor.now + _FAREWELL

    def _to_server(self) -> None:
        connection, upstream = self._exchange.connection, self._upstream
        for _ in range(_READS_IN_A_ROW):
            if upstream.outbox:
                self._flush()
            if self._client_ended or (upstream.outbox and upstream.unsent > _HIGH_WATER):
                break
            try:
                data = connection.read(connection.fd, READ_SIZE)
            except BlockingIOError:
                break
            if not data:
                self._client_ended = True
                break
            upstream.outbox.append(data)
        else:
            self._exchange.router.look_again(self._exchange)
        if upstream.outbox:
            self._flush()
        if self._client_ended and not upstream.outbox and not self._server_ended and "server" not in self._shut:
            self._shut.add("server")
            upstream.end_output()

    def _flush(self) -> None:
        self._upstream.backend.sent += self._upstream.flush()

    def _to_client(self) -> None:
        connection, upstream = self._exchange.connection, self._upstream
        if connection.outbox:
            connection.send_more()
        for _ in range(_READS_IN_A_ROW):
            if self._server_ended or (connection.outbox and connection.in_memory > _HIGH_WATER):
                break
            try:
                data = os.read(upstream.fd, READ_SIZE)
            except BlockingIOError:
                break
            except ConnectionError:
                data = b""
            if not data:
                self._server_ended = True
                break
            upstream.backend.received += len(data)
            connection.send(data)
        else:
            self._exchange.router.look_again(self._exchange)
        if self._server_ended and not connection.outbox and "client" not in self._shut:
            self._shut.add("client")
            upstream.drop_output()
            connection.shut_down()

    def close(self) -> None:
        """It is over, for both sides."""
        self._exchange.pipe_closed()
