"""What a router loads only when it needs it, loaded in time for one whose user may not be able to read the code."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from uwsgi_deploy.config.settings import Settings


def import_in_time(settings: Settings) -> None:
    """Called before the user changes: by the master, or in the router's process where only that changes (http-uid)."""
    for name in needed(settings):
        import_module(name)


def needed(settings: Settings) -> Iterator[str]:
    """The modules, as these settings have it."""
    gateway, proxies = settings.gateway, settings.proxies
    yield "tempfile"  # for large request bodies
    if any(router.stats for router in settings.routers):
        yield "uwsgi_deploy.gateway.stats"
    if any(router.kind != "http" for router in settings.routers):
        yield "uwsgi_deploy.gateway.streams"
    if gateway.http_auto_gzip:
        yield from ("zlib", "uwsgi_deploy.protocol.selection")
    if gateway.http_stud_prefix:
        yield from ("uwsgi_deploy.protocol.stud", "uwsgi_deploy.protocol.forwarded")
    if proxies.trusted_proxies:
        yield from ("uwsgi_deploy.config.trusted", "uwsgi_deploy.protocol.forwarded")
        if gateway.http_enable_proxy_protocol:
            yield "uwsgi_deploy.protocol.proxy_protocol"
    if settings.speaks_tls:
        yield from ("uwsgi_deploy.net.tls", "uwsgi_deploy.net.tls_contexts")
