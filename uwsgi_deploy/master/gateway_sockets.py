"""What the processes of routers are given: where clients connect, and the way to this server's own workers.

Loaded only where a router is configured.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from uwsgi_deploy.config.servers import parse_server
from uwsgi_deploy.config.settings import IdentitySettings, RouterPlan, Settings
from uwsgi_deploy.errors import BindError, ConfigError
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.adoption import Adoption
from uwsgi_deploy.master.vacuum import Vacuum
from uwsgi_deploy.net.address import InheritedAddress, parse_address
from uwsgi_deploy.net.listener import WILDCARDS, Listener, bound_name, listen_backlog
from uwsgi_deploy.net.private_socket import open_private_socket
from uwsgi_deploy.process import identity
from uwsgi_deploy.process.identity import Identity
from uwsgi_deploy.types import Protocol

PRIVATE = "(private)"  # the key of the listener, which has no address


@dataclass(frozen=True, slots=True)
class GatewaySockets:
    """See the module. listeners: the routers'. for_workers: all that workers accept from, `private` among them, which
    only gateways reach: at the address `local`, with the descriptor `way` (-1 for none). servers: others that the http
    router forwards to. stats: where the state of a router is asked for. kept: for the next image, by which gateways
    reach a private socket of this one or the former."""

    KEEPSAKE: ClassVar = "way to the private socket"

    listeners: tuple[Listener, ...]
    for_workers: tuple[Listener, ...]
    servers: tuple[str, ...] = ()
    private: tuple[Listener, ...] = ()
    local: str | None = None
    way: int = -1
    stats: tuple[Listener, ...] = ()
    kept: tuple[str, int] | None = None

    @property
    def keepsake(self) -> tuple[tuple[str, int] | None, tuple[int, ...]]:
        """What the next image needs, and the descriptors that must stay open for it."""
        return self.kept, () if self.kept is None or self.kept[1] < 0 else (self.kept[1],)

    @property
    def listeners_and_stats(self) -> tuple[Listener, ...]:
        """All that gateways accept from."""
        return (*self.listeners, *self.stats)

    def of(self, kind: str) -> tuple[tuple[Listener, ...], Listener | None]:
        """Where the clients of a router connect, and where its state is asked for."""
        listeners = tuple(listener for listener in self.listeners if listener.routed == kind)
        return listeners, next((listener for listener in self.stats if listener.routed == kind), None)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What gateways need of the master's descriptors, and nobody else."""
        own = self.listeners_and_stats
        way = () if self.way < 0 else (self.way,)
        return (*(listener.socket.fileno() for listener in own if listener.socket.fileno() >= 0), *way)


def open_gateway_sockets(
    settings: Settings, listeners: Sequence[Listener], adoption: Adoption, vacuum: Vacuum
) -> GatewaySockets:
    """The routers' part of `listeners`, all that were bound, and a socket for its workers, which `vacuum` closes.
    BindError.

    adoption: what a former image left; it may be all there is, when the present settings have no router.
    """
    gateway = settings.gateway
    kept = adoption.keepsake(GatewaySockets.KEEPSAKE)
    routed = tuple(listener for listener in listeners if listener.routed)
    own = [listener for listener in listeners if not listener.routed]
    stats = tuple(_stats_among(routed, router) for router in settings.routers if router.stats)
    routed = tuple(listener for listener in routed if listener not in stats)
    if gateway.has_servers or not gateway.listen:
        return GatewaySockets(routed, tuple(own), gateway.http_to, stats=stats, kept=kept)
    if gateway.http_use_socket:
        server = reachable(own[int(gateway.http_use_socket)])
        log(f"the http router reaches the workers at {server}")
        return GatewaySockets(routed, tuple(own), (server,), stats=stats, kept=kept)
    private, local, way = _private(settings, len(own), adoption.listeners, kept)
    vacuum.add_listeners((private,))
    return GatewaySockets(
        routed, (*own, private), (), private=(private,), local=local, way=way, stats=stats, kept=(local, way)
    )


def _stats_among(routed: Sequence[Listener], router: RouterPlan) -> Listener:
    """The last of its listeners (see `RouterPlan.addresses`)."""
    return [listener for listener in routed if listener.routed == router.kind][-1]


def _private(settings: Settings, index: int, former: Sequence[Listener], kept: Any) -> tuple[Listener, str, int]:
    known = next((one for one in former if (one.key, one.protocol) == (PRIVATE, Protocol.ROUTED)), None)
    if known is not None and kept is not None:
        listener = Listener(known.socket, known.protocol, known.name, index, key=PRIVATE, adopted=True)
        local, way = kept
    else:
        opened = open_private_socket(os.environ)
        if opened.is_open:
            log(
                "*** WARNING: there is no /proc, or no directory that can be written: others on this machine could "
                f"speak to the workers at {opened.address}; name a socket with socket and http-use-socket ***"
            )
        opened.socket.setblocking(False)
        listener = Listener(opened.socket, Protocol.ROUTED, bound_name(opened.socket), index, key=PRIVATE)
        local, way = opened.address, opened.way
    try:
        listener.socket.listen(listen_backlog(settings.sockets.listen))
    except OSError as error:
        raise BindError(PRIVATE, error.strerror or str(error)) from None
    log(f"the http router reaches the workers by a private socket, fd {listener.socket.fileno()}")
    return listener, local, way


def check_gateways(settings: Settings) -> None:
    """ConfigError for what cannot work, before anything is opened."""
    gateway = settings.gateway
    fast, raw = settings.fastrouter, settings.rawrouter
    for option, addresses in (
        ("http-to", gateway.http_to),
        ("http-fallback", gateway.http_fallback),
        ("fastrouter-to", fast.fastrouter_to),
        ("fastrouter-fallback", fast.fastrouter_fallback),
        ("rawrouter-to", raw.rawrouter_to),
        ("rawrouter-fallback", raw.rawrouter_fallback),
    ):
        for text in addresses:
            if isinstance(parse_address(parse_server(text, option).address, option), InheritedAddress):
                raise ConfigError(option, f"{text} is nothing to connect to")
    directory = gateway.http_post_buffering_dir
    if directory and not os.path.isdir(directory):
        raise ConfigError("http-post-buffering-dir", f"there is no directory {os.path.abspath(directory)}")
    if gateway.http_uid or gateway.http_gid:
        _check_identity(settings)


def _check_identity(settings: Settings) -> None:
    who = identity_of_gateways(settings)
    if os.geteuid() != 0:
        try:
            identity.assume(who)  # changes nothing: it is right, or refused
        except ConfigError as error:
            raise ConfigError(f"http-{error.origin}", error.message, hint=error.hint) from None
    elif settings.identity.uid and not identity.is_postponed(settings.identity):
        option = "http-uid" if settings.gateway.http_uid else "http-gid"
        raise ConfigError(option, "a master that became 'uid' cannot", hint="add master-as-root = true")


def identity_of_gateways(settings: Settings, kind: str = "http") -> Identity:
    """Whom gateways become: http-uid and http-gid if they are the http router's; where the master stays root else what
    workers become.

    ConfigError for names that mean nothing.
    """
    gateway, who = settings.gateway, settings.identity
    if kind != "http" or not (gateway.http_uid or gateway.http_gid):
        return identity.resolve_identity(who) if identity.is_postponed(who) else Identity()
    if gateway.http_uid:
        identity.user_number(gateway.http_uid, "http-uid")
    if gateway.http_gid:
        identity.group_number(gateway.http_gid, "http-gid")
    return identity.resolve_identity(IdentitySettings(uid=gateway.http_uid, gid=gateway.http_gid))


def reachable(listener: Listener) -> str:
    """The address at which a listener of this server is reached from this machine."""
    name = bound_name(listener.socket)
    if listener.is_unix:
        return name
    host, _, port = name.rpartition(":")
    bare = host.strip("[]")
    if bare in WILDCARDS:
        host = "[::1]" if host.startswith("[") else "127.0.0.1"
    return f"{host}:{port}"
