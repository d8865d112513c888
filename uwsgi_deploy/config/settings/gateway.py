"""The http router: processes in front of the workers that speak HTTP with clients and uwsgi with workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Bytes, Protocol, Seconds

# What the clients of a router speak.
_SPOKEN = {"http": Protocol.HTTP, "fastrouter": Protocol.UWSGI, "rawrouter": Protocol.RAW}


class RouterPlan(NamedTuple):
    """What the master has to know of a router. kind: `http`, `fastrouter` or `rawrouter`. stats: an address, or empty.
    harakiri: seconds. is_alone: whether its servers are named, rather than workers of this server."""

    kind: str
    listen: tuple[str, ...]
    stats: str
    processes: int
    harakiri: float
    is_alone: bool = True

    @property
    def addresses(self) -> tuple[tuple[str, Protocol, str], ...]:
        """Where its processes accept: kind, what is spoken there, and the address; last who asks for its state."""
        wanted = [(self.kind, _SPOKEN[self.kind], text) for text in self.listen]
        return (*wanted, (self.kind, Protocol.RAW, self.stats)) if self.stats else tuple(wanted)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Where the router listens, whom it forwards to, and what it allows its clients."""

    http: tuple[str, ...] = option(
        (),
        "httprouter",
        help="Listen for HTTP/1.1 on this address with the http router, a process of its own that passes complete "
        "requests on to the workers. Repeatable.",
    )
    https: tuple[str, ...] = option(
        (),
        help="As 'http' over TLS: 'address,certificate,key', then if wanted ',ciphers' and ',client CA' ('!' in front "
        "of the last one requires a certificate of each client). Repeatable.",
    )
    https2: tuple[str, ...] = option(
        (), help="As 'https', with names: 'addr=...,cert=...,key=...', ciphers, clientca. Repeatable."
    )
    http_to_https: tuple[str, ...] = option(
        (),
        help="Send all who come in plain HTTP to this address to the same place over HTTPS, by a 301 of the router. "
        "Repeatable.",
    )
    http_processes: int = option(1, "http-workers", help="Processes of the http router.")
    http_to: tuple[str, ...] = option(
        (), help="Forward to this uwsgi server (host:port, /path.sock, @abstract) instead of own workers. Repeatable."
    )
    http_fallback: tuple[str, ...] = option(
        (), help="Forward to this server when no other one can be reached. Repeatable."
    )
    http_gracetime: Seconds = option(30.0, help="How long a server that could not be reached is left alone.")
    http_quiet: bool = option(False, help="Do not log servers that could not be reached.")
    http_use_socket: str = option(
        "", help="Forward to socket number N of this server, from 0 on, instead of a private one."
    )
    http_use_base: str = option("", help="Forward to the server at this text followed by the request's Host.")
    http_use_pattern: str = option("", help="Forward to the server at this text with the request's Host for %s.")
    http_timeout: Seconds = option(
        60.0, help="How long a server may send nothing of its answer; beyond it 504, or the connection is cut."
    )
    http_headers_timeout: Seconds = option(
        0, help="How long a client of the router may take to send a request head; 0 means as header-timeout says."
    )
    http_connect_timeout: Seconds = option(
        0, help="How long connecting to a server may take; 0 means as http-timeout says."
    )
    http_keepalive: Seconds = option(
        1,
        optional_value="1",
        help="How long an idle connection of a client of the router is kept for its next request, in seconds above 1; "
        "1 means as http-keepalive-timeout says, 0 closes after each response.",
    )
    http_auto_gzip: bool = option(
        False, help="Compress responses that carry 'uWSGI-Encoding: gzip' for clients that accept it."
    )
    http_manage_expect: Bytes = option(
        0,
        optional_value="1",
        help="Answer 413 to a client of the router that expects 100-continue and announces a larger body; "
        "up to 1 there is no limit.",
    )
    http_websockets: bool = option(True, help="Pass connections on that a client wants to upgrade (WebSocket).")
    http_buffer_size: Bytes = option(
        0, help="Largest request head that a client of the router may send; 0 means as buffer-size says."
    )
    http_post_buffering: Bytes = option(
        0,
        help="The router reads request bodies up to this size into memory before it forwards, larger ones into a "
        "temporary file; 0 means as post-buffering says.",
    )
    http_post_buffering_dir: str = option("", help="Directory of these temporary files.")
    http_backend_http: bool = option(False, help="Speak HTTP with the servers of http-to instead of uwsgi.")
    http_server_name_as_http_host: bool = option(False, help="SERVER_NAME is what the client asked for with Host.")
    http_stud_prefix: tuple[str, ...] = option(
        (), help="Connections from this address begin with the client's address, as stud writes it. Repeatable."
    )
    http_enable_proxy_protocol: bool = option(
        False,
        help="Every connection to the router begins with the PROXY protocol, version 1 or 2, from a trusted proxy.",
    )
    http_var: tuple[str, ...] = option((), help="Add NAME=value to the variables of every request. Repeatable.")
    http_modifier1: int = option(0, help="The modifier1 of packets that the router sends.")
    http_modifier2: int = option(0, help="The modifier2 of packets that the router sends.")
    http_uid: str = option("", help="User (name or number) that the router's processes become.")
    http_gid: str = option("", help="Group (name or number) that the router's processes become.")
    http_stats: str = option(
        "", "http-stats-server", "http-ss", help="Address at which the first router process writes its state as JSON."
    )
    http_harakiri: Seconds = option(
        0, help="A router process that is stuck for longer than this is killed and replaced; 0 means never."
    )
    force_gateway: bool = option(False, help="Without a master: this process is the router itself, and has no workers.")

    @property
    def secured(self) -> tuple[tuple[str, str], ...]:
        """Where the router's clients speak TLS: option and address. What follows the address is for `config.tls`."""
        return (
            *(("https", value.partition(",")[0].strip()) for value in self.https),
            *(("https2", value) for text in self.https2 if (value := _named(text, "addr"))),
        )

    @property
    def listening(self) -> tuple[tuple[str, str], ...]:
        """Where the router's clients connect: option and address."""
        return (
            *(("http", text) for text in self.http),
            *self.secured,
            *(("http-to-https", text) for text in self.http_to_https),
        )

    @property
    def listen(self) -> tuple[str, ...]:
        """The addresses at which the router's clients connect; empty when there is no router."""
        return tuple(text for _, text in self.listening)

    @property
    def plan(self) -> RouterPlan | None:
        """What the master has to know of it, if it is configured."""
        listen = self.listen
        if not listen:
            return None
        return RouterPlan(
            "http", listen, self.http_stats, self.http_processes, self.http_harakiri, is_alone=self.has_servers
        )

    @property
    def has_servers(self) -> bool:
        """Whether the router forwards to servers that are named, rather than to workers of its own."""
        return bool(self.http_to or self.http_use_base or self.http_use_pattern)


def _named(text: str, wanted: str) -> str:
    """The value of a name in `name=value,name=value`."""
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.strip() == wanted:
            return value.strip()
    return ""
