"""All settings of a server: frozen dataclasses by subject, composed in `Settings`. The one place options exist."""

from __future__ import annotations

from dataclasses import dataclass, field

from uwsgi_deploy.config.settings.application import ApplicationSettings
from uwsgi_deploy.config.settings.http import HttpSettings
from uwsgi_deploy.config.settings.identity import IdentitySettings
from uwsgi_deploy.config.settings.logs import LogSettings
from uwsgi_deploy.config.settings.sockets import SocketSettings
from uwsgi_deploy.config.settings.workers import WorkerSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the server was told, checked and converted. Nothing below `cli` reads any other configuration."""

    sockets: SocketSettings = field(default_factory=SocketSettings)
    application: ApplicationSettings = field(default_factory=ApplicationSettings)
    workers: WorkerSettings = field(default_factory=WorkerSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)


__all__ = [
    "ApplicationSettings",
    "HttpSettings",
    "IdentitySettings",
    "LogSettings",
    "Settings",
    "SocketSettings",
    "WorkerSettings",
]
