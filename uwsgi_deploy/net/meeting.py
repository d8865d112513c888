"""How a codec learns from whom a connection comes: what `Endpoint.meet` is, where the configuration asks for it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

from uwsgi_deploy.config.settings.proxies import ProxySettings
from uwsgi_deploy.protocol.messages import Codec

Meet: TypeAlias = Callable[[Codec, Any], Codec]


def meeting(proxies: ProxySettings, *, is_introduced: bool) -> Meet | None:
    """What tells a codec which proxy a connection comes from; None when none is trusted. Loaded only then.

    is_introduced: connections begin with the PROXY protocol.
    """
    if not proxies.trusted_proxies:
        return None
    words, rules = import_module("uwsgi_deploy.config.trusted"), import_module("uwsgi_deploy.protocol.forwarded")
    trusted = words.trusted_in(proxies.trusted_proxies)
    trust = rules.Trust(trusted.networks, unix=trusted.unix, anyone=trusted.anyone)
    forwarded = rules.Forwarded(trust, words.headers_in(proxies.trusted_proxy_headers))
    meet: Meet = forwarded.wrap
    if is_introduced:
        meet = import_module("uwsgi_deploy.protocol.proxy_protocol").Introduction(forwarded).wrap
    return meet
