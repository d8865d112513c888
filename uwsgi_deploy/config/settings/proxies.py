"""Proxies in front of the server: which are believed, and what they may say of their clients."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Who may speak for a client."""

    trusted_proxies: tuple[str, ...] = option(
        (),
        help="Believe what these peers say of their clients: addresses and networks, unix for Unix sockets, * for "
        "whoever connects, none; by commas. The headers of all others are removed. Repeatable.",
    )
    trusted_proxy_headers: str = option(
        "x-forwarded-for, x-forwarded-proto",
        help="The headers that all trusted proxies set or remove: of x-forwarded-for, -proto, -host, -port, -prefix, "
        "and forwarded.",
    )
    enable_proxy_protocol: bool = option(
        False,
        help="Every connection to an http-socket begins with the PROXY protocol, version 1 or 2, from a trusted proxy.",
    )
