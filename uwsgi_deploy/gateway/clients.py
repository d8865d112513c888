"""What the router's clients speak, listener by listener: codecs with the limits and the variables of the settings."""

from __future__ import annotations

import re
from importlib import import_module

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import Aside
from uwsgi_deploy.gateway.packet import RouterCodec
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.net.acceptor import Endpoint
from uwsgi_deploy.net.connection import Connection, Limits
from uwsgi_deploy.net.listener import Listener
from uwsgi_deploy.net.meeting import Meet, meeting
from uwsgi_deploy.protocol.messages import Codec, Environ, RequestHead

_TLS = "uwsgi_deploy.net.tls"
_AUTHORITY = re.compile(r"[A-Za-z]+://[^/?]*")
_STUD, _FORWARDED = "uwsgi_deploy.protocol.stud", "uwsgi_deploy.protocol.forwarded"


def endpoint_of(listener: Listener, settings: Settings) -> Endpoint:
    """A listener of the router and what its clients speak."""
    gateway = settings.gateway
    meet, tls = _meet(settings), listener.tls
    # A codec around this one may add who the client is.
    is_told_more = meet is not None or (tls is not None and any(one.authority for one in (tls.certificate, *tls.named)))
    codec: Codec = RouterCodec(
        _base(listener),
        packs=not is_told_more,
        extra=dict(_variable(text) for text in gateway.http_var),
        most_expected=gateway.http_manage_expect if gateway.http_manage_expect > 1 else 0,
        upgrades=gateway.http_websockets,
        max_head=gateway.http_buffer_size or settings.http.buffer_size,
        max_line=settings.http.max_request_line,
        max_fields=settings.http.max_request_headers,
    )
    if listener.https_port is not None:
        codec = RedirectingCodec(codec, port=listener.https_port)
    kind = Connection if tls is None else import_module(_TLS).kind_for(tls, log)
    return Endpoint(listener.socket, codec, kind, meet)


def limits_of(settings: Settings) -> Limits:
    """Timeouts and sizes of the router's clients."""
    http, gateway = settings.http, settings.gateway
    keep_alive = gateway.http_keepalive
    return Limits(
        header_timeout=gateway.http_headers_timeout or http.header_timeout,
        body_timeout=http.body_timeout,
        keepalive_timeout=keep_alive if keep_alive > 1 else http.http_keepalive_timeout,
        send_timeout=http.send_timeout,
        post_buffering=gateway.http_post_buffering or http.post_buffering or 262144,
        limit_post=http.limit_post,
    )


def keeps_alive(settings: Settings) -> bool:
    """Whether connections of clients are kept at all."""
    return settings.gateway.http_keepalive > 0 and settings.http.http_keepalive_timeout > 0


def _base(listener: Listener) -> Environ:
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": listener.server_name,
        "SERVER_PORT": listener.server_port,
        "UWSGI_ROUTER": "http",
        "REMOTE_ADDR": None,
        "REMOTE_PORT": None,
        "wsgi.url_scheme": "http" if listener.tls is None else "https",
    }


def _variable(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value


def _meet(settings: Settings) -> Meet | None:
    gateway = settings.gateway
    meet = meeting(settings.proxies, is_introduced=gateway.http_enable_proxy_protocol)
    if gateway.http_stud_prefix:
        peers, peer_of = frozenset(gateway.http_stud_prefix), import_module(_FORWARDED).peer_of
        made: Meet = import_module(_STUD).introduced_by(peers, peer_of, meet)
        return made
    return meet


class RedirectingCodec:
    """Sends every client to the same place over HTTPS (http-to-https). port: where that is, if it is not 443."""

    __slots__ = ("_codec", "_port")

    def __init__(self, codec: Codec, *, port: str = "") -> None:
        self._codec, self._port = codec, port

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`. Raises Aside with the answer, ProtocolError for what is no request."""
        head = self._codec.decode(data)
        if head is None:
            return None
        environ = head[0]
        host = str(environ.get("HTTP_HOST") or environ["SERVER_NAME"])
        name, colon, port = host.rpartition(":")
        if colon and not port.endswith("]"):
            host = name
        if self._port:
            host = f"{host}:{self._port}"
        reply = f"HTTP/1.1 301 Moved Permanently\r\nLocation: https://{host}{_local_part(environ['REQUEST_URI'])}\r\n"
        raise Aside((reply + "Content-Length: 0\r\nConnection: close\r\n\r\n").encode("latin-1"), b"", goes_on=False)


def _local_part(target: str) -> str:
    """Path and query of a request target, as the client sent them: decoded, a path could hold a line end."""
    if target.startswith("/"):
        return target
    # RFC 9112 §3.2.2, §3.2.4: a URL, or "*".
    found = _AUTHORITY.sub("", target, count=1).removeprefix("*")
    return found if found.startswith("/") else f"/{found}"
