"""All settings of a server: frozen dataclasses by subject, composed in `Settings`. The one place options exist."""

from __future__ import annotations

from dataclasses import dataclass, field

from uwsgi_deploy.config.settings.application import ApplicationSettings
from uwsgi_deploy.config.settings.cheaper import CheaperSettings
from uwsgi_deploy.config.settings.control import ControlSettings
from uwsgi_deploy.config.settings.daemons import DaemonSettings
from uwsgi_deploy.config.settings.gateway import GatewaySettings, RouterPlan
from uwsgi_deploy.config.settings.gevent import GeventSettings
from uwsgi_deploy.config.settings.harakiri import HarakiriSettings
from uwsgi_deploy.config.settings.hooks import HookSettings
from uwsgi_deploy.config.settings.http import HttpSettings
from uwsgi_deploy.config.settings.identity import IdentitySettings
from uwsgi_deploy.config.settings.logs import LogSettings
from uwsgi_deploy.config.settings.packets import PacketSettings
from uwsgi_deploy.config.settings.proxies import ProxySettings
from uwsgi_deploy.config.settings.recycling import RecyclingSettings
from uwsgi_deploy.config.settings.reload import ReloadSettings
from uwsgi_deploy.config.settings.reports import ReportSettings
from uwsgi_deploy.config.settings.routers import FastrouterSettings, RawrouterSettings
from uwsgi_deploy.config.settings.routing import RoutingSettings
from uwsgi_deploy.config.settings.sockets import SocketSettings
from uwsgi_deploy.config.settings.static import StaticSettings
from uwsgi_deploy.config.settings.system import SystemSettings
from uwsgi_deploy.config.settings.tls import TlsSettings
from uwsgi_deploy.config.settings.watching import WatchingSettings
from uwsgi_deploy.config.settings.websockets import WebSocketSettings
from uwsgi_deploy.config.settings.workers import WorkerSettings
from uwsgi_deploy.types import AsWritten, Placed, Protocol


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the server was told, checked and converted. Nothing below `cli` reads any other configuration."""

    sockets: SocketSettings = field(default_factory=SocketSettings)
    application: ApplicationSettings = field(default_factory=ApplicationSettings)
    workers: WorkerSettings = field(default_factory=WorkerSettings)
    gevent: GeventSettings = field(default_factory=GeventSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    fastrouter: FastrouterSettings = field(default_factory=FastrouterSettings)
    rawrouter: RawrouterSettings = field(default_factory=RawrouterSettings)
    proxies: ProxySettings = field(default_factory=ProxySettings)
    packets: PacketSettings = field(default_factory=PacketSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    reload: ReloadSettings = field(default_factory=ReloadSettings)
    recycling: RecyclingSettings = field(default_factory=RecyclingSettings)
    cheaper: CheaperSettings = field(default_factory=CheaperSettings)
    harakiri: HarakiriSettings = field(default_factory=HarakiriSettings)
    reports: ReportSettings = field(default_factory=ReportSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
    daemons: DaemonSettings = field(default_factory=DaemonSettings)
    control: ControlSettings = field(default_factory=ControlSettings)
    system: SystemSettings = field(default_factory=SystemSettings)
    watching: WatchingSettings = field(default_factory=WatchingSettings)
    websockets: WebSocketSettings = field(default_factory=WebSocketSettings)
    static: StaticSettings = field(default_factory=StaticSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    # The rules of `routing` with their own names and places, in their order.
    routes: Placed = ()
    tls: TlsSettings = field(default_factory=TlsSettings)
    # What all of this was made from, for `uwsgi.opt`: every name that was set, by whatever name it goes, and variables.
    as_written: AsWritten = field(default=(), compare=False, repr=False)
    # Where the options about late requests were set, for their reports: name and place.
    origins: AsWritten = field(default=(), compare=False, repr=False)

    @property
    def has_workers(self) -> bool:
        """Whether there is anything for workers to serve: not so for routers only, whose servers are elsewhere."""
        routers = self.routers
        return not routers or not all(router.is_alone for router in routers) or any(self.sockets.addresses.values())

    @property
    def routers(self) -> tuple[RouterPlan, ...]:
        """The routers that are configured."""
        plans = (self.gateway.plan, self.fastrouter.plan, self.rawrouter.plan)
        return tuple(plan for plan in plans if plan is not None)

    @property
    def router_addresses(self) -> tuple[tuple[str, Protocol, str], ...]:
        """Where routers accept: kind, what is spoken there, address."""
        return tuple(wanted for router in self.routers for wanted in router.addresses)

    @property
    def listening(self) -> tuple[tuple[str, str, Protocol], ...]:
        """Everywhere that clients connect: the option's name, the address, what is spoken there."""
        sockets = self.sockets
        own = ((name, text) for name, addresses in sockets.addresses.items() for text in addresses)
        routed = ((name, text, Protocol.HTTP) for name, text in self.gateway.listening)
        return (*((name, text, sockets.spoken(name)) for name, text in own), *routed)

    @property
    def speaks_tls(self) -> bool:
        """Whether any clients connect over TLS."""
        return bool(self.sockets.https_socket or self.sockets.suwsgi_socket or self.gateway.secured)

    @property
    def cores(self) -> int:
        """Requests that each worker runs at the same time, in threads or in greenlets."""
        return self.gevent.gevent or self.workers.threads


__all__ = [
    "ApplicationSettings",
    "CheaperSettings",
    "ControlSettings",
    "DaemonSettings",
    "FastrouterSettings",
    "GatewaySettings",
    "GeventSettings",
    "HarakiriSettings",
    "HookSettings",
    "HttpSettings",
    "IdentitySettings",
    "LogSettings",
    "PacketSettings",
    "ProxySettings",
    "RawrouterSettings",
    "RecyclingSettings",
    "ReloadSettings",
    "ReportSettings",
    "RouterPlan",
    "RoutingSettings",
    "Settings",
    "SocketSettings",
    "StaticSettings",
    "SystemSettings",
    "TlsSettings",
    "WatchingSettings",
    "WebSocketSettings",
    "WorkerSettings",
]
