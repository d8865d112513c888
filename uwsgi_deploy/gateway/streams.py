"""The fastrouter and the rawrouter of one process: what they count and say, and how they are put together."""

from __future__ import annotations

from collections.abc import Callable
from errno import EMFILE, ENFILE
from functools import partial
from time import monotonic, time
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.gateway import fast
from uwsgi_deploy.gateway.backends import Backend, Balancer, KeyedBalancer, backend_of
from uwsgi_deploy.gateway.context import GatewayContext
from uwsgi_deploy.gateway.dispatch import Separate
from uwsgi_deploy.gateway.keys import address_for, is_safe
from uwsgi_deploy.gateway.parts import ROOM, SHARE, Parts
from uwsgi_deploy.gateway.reactor import NO_CODEC, GatewayReactor, never_wait
from uwsgi_deploy.gateway.stream import Stream
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.net.acceptor import Endpoint
from uwsgi_deploy.net.connection import Connection, Limits, State
from uwsgi_deploy.protocol.messages import Codec
from uwsgi_deploy.protocol.responses import DateLine, error_response
from uwsgi_deploy.types import Protocol

# How long the connections of a rawrouter that leaves may be silent. Seconds.
_FAREWELL = 5.0


class StreamRouter:
    """Connects clients with servers. timeout: seconds without a byte. needs_key: whether the key says which server.

    dispatcher is set before the first client.
    """

    dispatcher: Separate
    workers_wait_for_bodies = False

    def __init__(
        self,
        reactor: GatewayReactor,
        *,
        kind: str,
        timeout: float,
        quiet: bool,
        needs_key: bool,
        log: Callable[[str], None],
    ) -> None:
        self.reactor, self.timeout, self.connect_timeout = reactor, timeout, timeout
        self.is_raw = kind == "rawrouter"
        self._kind, self._quiet, self._needs_key, self._log = kind, quiet, needs_key, log
        self._date = DateLine()
        self.requests = self.lost_clients = self.refused = 0
        self.statuses = [0] * 10

    @property
    def patience(self) -> float:
        """How long both sides may be silent."""
        return min(self.timeout, _FAREWELL) if self.is_raw and self.reactor.draining else self.timeout

    def begin(self, connection: Connection) -> None:
        """Find a server for a client who has said enough."""
        self.requests += 1
        environ, rest = connection.environ, connection.inbox
        connection.inbox, connection.keep_alive = b"", False
        host, first, method = "", b"", "-"
        if environ is not None:
            host, first, method = environ[fast.KEY], environ[fast.PACKET], environ[fast.METHOD]
        stream = Stream(self, connection, host=host, first=first + rest, method=method)
        if self._needs_key and not is_safe(host):
            stream.fail(ProtocolError(400, "the key of the request is no name of a server" if host else "no key"))
            return
        self.reactor.hear_client(stream)
        try:
            self.dispatcher.assign(stream)
        except Exception as error:  # a fault of the router's: nobody else is to suffer from it
            stream.failed(error)

    def shortage(self, error: OSError) -> None:
        """See `Owner`. Clients that have not asked anything yet are let go of."""
        if error.errno in (EMFILE, ENFILE):
            self.reactor.let_go()

    def failure(self, error: ProtocolError) -> bytes:
        """An answer that web servers understand, in the place of a server's."""
        return error_response(error, self._date.at(time()))

    # -- what is counted and told --------------------------------------------------------------------------------------

    def note_answer(self, data: bytes) -> None:
        """A server begins to answer with these bytes."""
        if data[:5] == b"HTTP/" and (status := data[9:12]).isdigit():
            self.statuses[int(status) // 100] += 1

    def complain(self, stream: Stream, backend: Backend | None, text: str) -> None:
        """A line in the log about a client whose connection went wrong."""
        connection = stream.connection
        key = f"key: {stream.host} " if stream.host else ""
        where = f" server: {backend.name}" if backend is not None else ""
        self._log(
            f"[uwsgi-{self._kind} {key}client_addr: {connection.remote_addr} "
            f"client_port: {connection.remote_port}{where}] {stream.method}: {text}"
        )

    def server_trouble(self, text: str) -> None:
        """A line in the log about a server that cannot be reached, unless that is to be passed over in silence."""
        if not self._quiet:
            self._log(f"[uwsgi-{self._kind}] {text}")

    def client_gone(self) -> None:
        """A client left, or took nothing any more, while the rest of its answer was sent."""
        self.lost_clients += 1

    def on_refused(self, connection: Connection, error: ProtocolError) -> None:
        """The reactor has answered what is no packet."""
        self.refused += 1
        self.statuses[error.status // 100] += 1
        self._log(
            f"[uwsgi-{self._kind} client_addr: {connection.remote_addr} client_port: {connection.remote_port}] "
            f"request refused with {error}"
        )


class RawReactor(GatewayReactor):
    """Clients need not say anything: the server may be the one who speaks first."""

    def admit(self, fd: int, address: Any, codec: Codec, kind: type[Connection] = Connection) -> None:
        """See `Reactor.admit`."""
        connection = kind(fd, codec, address, send_timeout=self._limits.send_timeout, wait=never_wait)
        connection.state = State.BUSY
        self.connections[fd] = connection
        self.ready.append(connection)


def parts_of(context: GatewayContext) -> Parts:
    """What a process of the fastrouter or the rawrouter is made of."""
    settings = context.settings
    is_raw = context.kind == "rawrouter"
    fastrouter, rawrouter = settings.fastrouter, settings.rawrouter
    timeout = rawrouter.rawrouter_timeout if is_raw else fastrouter.fastrouter_timeout
    (plan,) = (router for router in settings.routers if router.kind == context.kind)
    codec: Codec = NO_CODEC if is_raw else fast.FastCodec()
    reactor = (RawReactor if is_raw else GatewayReactor)(
        [Endpoint(listener.socket, codec) for listener in context.listeners],
        _limits(settings),
        room=ROOM if plan.processes == 1 else SHARE,
        longest_wait=plan.harakiri / 3 if plan.harakiri else -1.0,
        on_refused=lambda connection, error: router.on_refused(connection, error),
        on_gone=lambda _environ: router.client_gone(),
    )
    router = StreamRouter(
        reactor,
        kind=context.kind,
        timeout=timeout,
        quiet=rawrouter.rawrouter_quiet if is_raw else fastrouter.fastrouter_quiet,
        needs_key=bool(fastrouter.fastrouter_use_base or fastrouter.fastrouter_use_pattern)
        and not (is_raw or fastrouter.fastrouter_fallback_on_no_key),
        log=log,
    )
    balancer = _raw_balancer(settings) if is_raw else _fast_balancer(settings)
    for backend in balancer.all():
        backend.look_up(monotonic())
    heard = (reactor.poller, reactor.hear_server, reactor.forget_server)
    reactor.dispatcher = router.dispatcher = Separate(balancer, *heard, router.server_trouble)
    return Parts(reactor, router, balancer, router.dispatcher, keeps_alive=False, harakiri=plan.harakiri)


def _limits(settings: Settings) -> Limits:
    http = settings.http
    return Limits(
        header_timeout=http.header_timeout,
        body_timeout=http.body_timeout,
        keepalive_timeout=http.http_keepalive_timeout,
        send_timeout=http.send_timeout,
        post_buffering=0,  # what follows a packet is passed on as it comes
        limit_post=0,
    )


def _raw_balancer(settings: Settings) -> Balancer:
    raw = settings.rawrouter
    return Balancer(
        [backend_of(text, "rawrouter-to", Protocol.RAW) for text in raw.rawrouter_to],
        [backend_of(text, "rawrouter-fallback", Protocol.RAW) for text in raw.rawrouter_fallback],
        gracetime=raw.rawrouter_gracetime,
    )


def _fast_balancer(settings: Settings) -> Balancer:
    fast = settings.fastrouter
    fallbacks = [backend_of(text, "fastrouter-fallback", Protocol.UWSGI) for text in fast.fastrouter_fallback]
    grace = fast.fastrouter_gracetime
    if fast.fastrouter_use_base or fast.fastrouter_use_pattern:
        return KeyedBalancer(
            partial(address_for, fast.fastrouter_use_base, fast.fastrouter_use_pattern),
            lambda address: Backend(address, Protocol.UWSGI),
            fallbacks,
            gracetime=grace,
            fold=str,
        )
    servers = [backend_of(text, "fastrouter-to", Protocol.UWSGI) for text in fast.fastrouter_to]
    return Balancer(servers, fallbacks, gracetime=grace)
