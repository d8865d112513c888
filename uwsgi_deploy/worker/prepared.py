"""What is the same in all workers, made before they are forked: sockets with their codecs, limits, the flusher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from uwsgi_deploy.api.deadlines import set_user_limit
from uwsgi_deploy.config.settings import HookSettings, HttpSettings, Settings
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.net.acceptor import Endpoint
from uwsgi_deploy.net.connection import Limits
from uwsgi_deploy.net.flusher import Flusher
from uwsgi_deploy.net.listener import Listener
from uwsgi_deploy.net.meeting import Meet, meeting
from uwsgi_deploy.protocol.http1 import Http1Codec
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.protocol.uwsgi import Dropped, UwsgiCodec
from uwsgi_deploy.types import Protocol
from uwsgi_deploy.wsgi.environ import Deployment, base_environ
from uwsgi_deploy.wsgi.response import Delivery

if TYPE_CHECKING:
    from uwsgi_deploy.wsgi.routing.front import Routing

# Loaded where rules are set.
_ROUTING = "uwsgi_deploy.wsgi.routing.front"
# Codec and kind of connection of the protocols whose modules only their users load.
LATE = {
    Protocol.PUWSGI: (
        ("uwsgi_deploy.protocol.puwsgi", "PuwsgiCodec"),
        ("uwsgi_deploy.net.connection", "Connection"),
    ),
    Protocol.SCGI_NPH: (
        ("uwsgi_deploy.protocol.scgi", "ScgiCodec"),
        ("uwsgi_deploy.net.connection", "Connection"),
    ),
    Protocol.FASTCGI_NPH: (
        ("uwsgi_deploy.protocol.fastcgi", "FastCgiCodec"),
        ("uwsgi_deploy.net.fastcgi_connection", "FastCgiNphConnection"),
    ),
    Protocol.SCGI: (
        ("uwsgi_deploy.protocol.scgi", "ScgiCodec"),
        ("uwsgi_deploy.net.cgi_connection", "CgiConnection"),
    ),
    Protocol.FASTCGI: (
        ("uwsgi_deploy.protocol.fastcgi", "FastCgiCodec"),
        ("uwsgi_deploy.net.fastcgi_connection", "FastCgiConnection"),
    ),
    Protocol.ROUTED: (
        ("uwsgi_deploy.protocol.routed", "RoutedCodec"),
        ("uwsgi_deploy.net.routed_connection", "RoutedConnection"),
    ),
}
# Loaded for addresses that speak TLS.
_TLS = "uwsgi_deploy.net.tls"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is the same in all workers. Made before they are forked, so that they share the memory of it.

    has_hooks: whether any option about hooks is set; running none would copy 100 KB in each worker.
    routing: the rules of `route` and its kin, if there are any.
    """

    endpoints: tuple[Endpoint, ...]
    limits: Limits
    delivery: Delivery
    has_hooks: bool
    routing: Routing | None = None


def prepare(settings: Settings, listeners: Sequence[Listener]) -> Prepared:
    """Make what workers share; nothing of it is a process's own yet."""
    http = settings.http
    return Prepared(
        endpoints=tuple(_met(_endpoint(listener, settings), listener, settings) for listener in listeners),
        limits=Limits(
            header_timeout=http.header_timeout,
            body_timeout=http.body_timeout,
            keepalive_timeout=http.http_keepalive_timeout,
            send_timeout=http.send_timeout,
            post_buffering=http.post_buffering,
            limit_post=http.limit_post,
        ),
        delivery=Delivery(Flusher(), raise_write_errors=not http.disable_write_exception),
        has_hooks=settings.hooks != HookSettings(),
        routing=import_module(_ROUTING).routing_of(settings, set_user_limit, log) if settings.routes else None,
    )


def _met(endpoint: Endpoint, listener: Listener, settings: Settings) -> Endpoint:
    """The endpoint with what its codec has to know of whoever connects, where anybody is trusted.

    The router has seen to it for what comes through it.
    """
    if listener.protocol is Protocol.ROUTED:
        return endpoint
    met = [meet for meet in (_allow(endpoint, settings), _meet(listener, settings)) if meet is not None]
    if len(met) < 2:
        return endpoint._replace(meet=met[0]) if met else endpoint
    allow, forward = met
    return endpoint._replace(meet=lambda codec, address: forward(allow(codec, address), address))


def _allow(endpoint: Endpoint, settings: Settings) -> Meet | None:
    """How the codec of a uwsgi socket learns whether variables of its peer are obeyed. Loaded when anybody's are."""
    values = settings.packets.uwsgi_allow_from
    if not values or not isinstance(endpoint.codec, UwsgiCodec):
        return None
    allowed = import_module("uwsgi_deploy.protocol.obeyed")
    meet: Meet = allowed.Allowed(_trust(values), endpoint.codec).meet
    return meet


def _trust(values: Sequence[str]) -> Any:
    words, rules = import_module("uwsgi_deploy.config.trusted"), import_module("uwsgi_deploy.protocol.forwarded")
    trusted = words.trusted_in(values)
    return rules.Trust(trusted.networks, unix=trusted.unix, anyone=trusted.anyone)


def _meet(listener: Listener, settings: Settings) -> Meet | None:
    """See `net.meeting`."""
    is_http = listener.protocol is Protocol.HTTP
    return meeting(settings.proxies, is_introduced=settings.proxies.enable_proxy_protocol and is_http)


def _endpoint(listener: Listener, settings: Settings) -> Endpoint:
    limits = settings.http
    deployment = Deployment(
        multithread=settings.cores > 1,
        multiprocess=settings.workers.processes > 1,
        file_wrapper=not limits.wsgi_disable_file_wrapper,
    )
    base = base_environ(listener.server_name, listener.server_port, deployment)
    if listener.tls is not None:
        if listener.protocol is Protocol.HTTP:  # a web server says itself what its client speaks
            base |= {"HTTPS": "on", "wsgi.url_scheme": "https"}
        try:
            plain = _plain(listener, base, limits)
            return plain._replace(kind=import_module(_TLS).kind_for(listener.tls, log))
        except ValueError as error:
            raise ServerError(f"TLS on {listener.name}: {error}") from None
    return _plain(listener, base, limits)


def _plain(listener: Listener, base: Environ, limits: HttpSettings) -> Endpoint:
    if listener.protocol is Protocol.UWSGI:
        return Endpoint(listener.socket, UwsgiCodec(base, max_head=limits.buffer_size, special=Dropped(log)))
    if listener.protocol in LATE:
        codec, kind = (getattr(import_module(module), name) for module, name in LATE[listener.protocol])
        more = {"special": Dropped(log)} if listener.protocol is Protocol.PUWSGI else {}
        return Endpoint(listener.socket, codec(base, max_head=limits.buffer_size, **more), kind)
    codec = Http1Codec(
        base, max_head=limits.buffer_size, max_line=limits.max_request_line, max_fields=limits.max_request_headers
    )
    return Endpoint(listener.socket, codec)
