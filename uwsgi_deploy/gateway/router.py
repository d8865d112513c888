"""The http router of one process: requests that are complete in, exchanges with servers out, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from errno import EMFILE, ENFILE
from importlib import import_module
from time import time
from typing import TYPE_CHECKING

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.gateway import packet
from uwsgi_deploy.gateway.answer import Wish
from uwsgi_deploy.gateway.backends import Backend
from uwsgi_deploy.gateway.exchange import Exchange
from uwsgi_deploy.gateway.forward import http_request
from uwsgi_deploy.gateway.upstream import Upstream
from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.protocol.responses import DateLine, reason_phrase
from uwsgi_deploy.protocol.routed import GREETING, routed_frame
from uwsgi_deploy.types import Protocol

if TYPE_CHECKING:
    from uwsgi_deploy.gateway.dispatch import Dispatcher
    from uwsgi_deploy.gateway.reactor import GatewayReactor

# Bytes of an answer that are kept for a client however many there are.
_LEAST_KEPT = 65536
# Loaded for http-auto-gzip.
_SELECTION = "uwsgi_deploy.protocol.selection"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says; seconds. workers_wait_for_bodies: own workers call the application only with the
    whole body at hand. quiet: say nothing of servers that cannot be reached."""

    timeout: float
    connect_timeout: float
    auto_gzip: bool
    as_host: bool
    modifier1: int
    modifier2: int
    quiet: bool
    workers_wait_for_bodies: bool


class Router:
    """See the module. dispatcher is set before the first request."""

    dispatcher: Dispatcher

    def __init__(self, reactor: GatewayReactor, rules: Rules, log: Callable[[str], None]) -> None:
        self.reactor, self._rules, self._log = reactor, rules, log
        self.timeout, self.connect_timeout = rules.timeout, rules.connect_timeout
        self.workers_wait_for_bodies = rules.workers_wait_for_bodies
        # Which of the codings on offer the client wants; None where nothing is compressed.
        self.preferred_codings: Callable[[str, tuple[str, ...]], tuple[str, ...]] | None = None
        if rules.auto_gzip:
            self.preferred_codings = import_module(_SELECTION).preferred_codings
        self.packer = packet.Packer(as_host=rules.as_host)
        self.date = DateLine()
        self.requests = self.lost_clients = self.refused = 0
        self.statuses = [0] * 10

    def begin(self, connection: Connection) -> None:
        """Forward a request that is complete."""
        reactor, environ = self.reactor, connection.environ
        assert environ is not None
        self.requests += 1
        if environ["REMOTE_ADDR"] is None:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = connection.remote_addr, connection.remote_port
        try:
            exchange = Exchange(self, connection)
        except ProtocolError as error:
            reactor.refuse(connection, error)
            return
        reactor.hear_client(exchange)
        try:
            self.dispatcher.assign(exchange)
        except Exception as error:  # a fault of the router's: nobody else is to suffer from it
            exchange.failed(error)

    def head_for(self, exchange: Exchange, backend: Backend) -> bytes:
        """The head of the request, as this server speaks. Raises ProtocolError."""
        rules = self._rules
        if backend.speaks is Protocol.ROUTED:
            return routed_frame(*exchange.blocks, modifier1=rules.modifier1, modifier2=rules.modifier2)
        if backend.speaks is Protocol.UWSGI:
            return packet.uwsgi_packet(*exchange.blocks, modifier1=rules.modifier1, modifier2=rules.modifier2)
        environ = exchange.connection.environ
        assert environ is not None
        return http_request(environ, is_upgrade=exchange.is_upgrade)

    def shortage(self, error: OSError) -> None:
        """A connection to a server cannot be made for the moment: clients that only might come back are let go of."""
        if error.errno in (EMFILE, ENFILE):
            self.reactor.let_go()

    # -- for exchanges -------------------------------------------------------------------------------------------------

    def greeted(self, upstream: Upstream, data: bytes) -> bytes:
        """The first bytes of a worker name it; returns what follows them."""
        part = data[: upstream.greeting]
        for byte in part:  # little endian; four bytes, which come in one piece but for a miracle
            upstream.pid |= byte << 8 * (GREETING.size - upstream.greeting)
            upstream.greeting -= 1
        if not upstream.greeting:
            self.dispatcher.greeted(upstream)
        return data[len(part) :]

    def leave(self, upstream: Upstream, *, reusable: bool) -> None:
        """A request is done with its connection to a server."""
        self.dispatcher.leave(upstream, reusable=reusable and not upstream.greeting)

    def forget(self, exchange: Exchange) -> None:
        """It is over."""
        self.reactor.exchanges.pop(exchange.connection.fd, None)

    def withdraw(self, exchange: Exchange) -> None:
        """It does not wait for a server any more."""
        if exchange.upstream is None:
            self.dispatcher.withdraw(exchange)

    def unreachable(self, exchange: Exchange, backend: Backend, error: OSError) -> None:
        """The connection that was being made for it failed."""
        self.dispatcher.unreachable(exchange, backend, error)

    def tries_again(self, exchange: Exchange, upstream: Upstream, error: OSError | None) -> bool:
        """Whether a request whose connection broke before an answer has been given to another one."""
        return self.dispatcher.tries_again(exchange, upstream, error)

    def look_again(self, exchange: Exchange) -> None:
        """It has more to do, after the others."""
        self.reactor.look_again(exchange)

    def high_water(self, most: int, together: int) -> int:
        """Bytes of an answer that may be kept for a slow client: `most`, or its share of what is left of `together`."""
        reactor = self.reactor
        share = max(together - reactor.unsent, 0) // max(len(reactor.exchanges), 1)
        return max(min(most, share), _LEAST_KEPT)

    def failure(self, error: ProtocolError, wish: Wish, retry_after: int) -> bytes:
        """An answer in the place of a server's."""
        reason = reason_phrase(error.status)
        body = f"{error.status} {reason}: {error.detail}.\n".encode("latin-1", "replace")
        lines = [
            b"HTTP/1.1 %d %b\r\n" % (error.status, reason.encode("ascii")),
            self.date.at(time()),
            b"Content-Type: text/plain; charset=utf-8\r\n",
            b"Content-Length: %d\r\n" % len(body),
        ]
        if retry_after:
            lines.append(b"Retry-After: %d\r\n" % retry_after)
        if not wish.keeps:
            lines.append(b"Connection: close\r\n")
        elif not wish.chunking:
            lines.append(b"Connection: keep-alive\r\n")
        lines += [b"\r\n", b"" if wish.is_head else body]
        return b"".join(lines)

    # -- what is counted and told --------------------------------------------------------------------------------------

    def count(self, status: int) -> None:
        """A client has been given this status."""
        self.statuses[status // 100] += 1

    def complain(self, exchange: Exchange, backend: Backend | None, text: str) -> None:
        """A line in the log about a request that went wrong."""
        connection = exchange.connection
        where = f" server: {backend.name}" if backend is not None else ""
        self._log(
            f"[uwsgi-http key: {exchange.host} client_addr: {connection.remote_addr} "
            f"client_port: {connection.remote_port}{where}] {exchange.method}: {text}"
        )

    def server_trouble(self, text: str) -> None:
        """A line in the log about a server that cannot be reached, unless http-quiet."""
        if not self._rules.quiet:
            self._log(f"[uwsgi-http] {text}")

    def client_gone(self) -> None:
        """A client left, or took nothing any more, while the rest of its answer was sent."""
        self.lost_clients += 1

    def on_refused(self, connection: Connection, error: ProtocolError) -> None:
        """The reactor has answered a request that is wrong."""
        self.refused += 1
        self.count(error.status)
        self._log(
            f"[uwsgi-http client_addr: {connection.remote_addr} client_port: {connection.remote_port}] "
            f"request refused with {error}"
        )
