"""What has to be true of the http router's options beyond each by itself. Pure; loaded by those who set one of them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from socket import AF_INET, AF_INET6, inet_pton

from uwsgi_deploy.config.settings import GatewaySettings, Settings
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.types import Protocol

BUILT_IN = "default"
# uWSGI's own number for all of its gateways.
MOST_PROCESSES = 64
HIGHEST_MODIFIER = 255
_VARIABLE = re.compile(r"[^=\s][^=]*=.*", re.DOTALL)
# Ways to servers, of which there is one.
WAYS = ("http_to", "http_use_socket", "http_use_base", "http_use_pattern")
# What only means something where the servers are named.
ABOUT_SERVERS = ("http_fallback", "http_gracetime", "http_quiet", "http_backend_http")
# What people want who set these with an http-socket, and how they get it.
INSTEAD: Mapping[str, str] = {
    "http-timeout": "with http-socket it is body-timeout and send-timeout, and harakiri for the application",
    "http-headers-timeout": "with http-socket it is header-timeout",
    "http-keepalive": "http-socket keeps connections, always, as long as http-keepalive-timeout says",
    "http-websockets": "http-socket passes WebSockets to the application, always",
    "http-enable-proxy-protocol": "with http-socket it is enable-proxy-protocol, and trusted-proxies",
    "http-buffer-size": "with http-socket it is buffer-size",
    "http-post-buffering": "with http-socket it is post-buffering",
    "http-manage-expect": "http-socket answers 'Expect: 100-continue', always, and limit-post refuses bodies",
    "http-uid": "workers become uid",
    "http-gid": "workers become gid",
}


def check_gateways(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """ConfigError for what cannot be; warnings for what has no effect."""
    gateway = settings.gateway

    def refuse(option: str, sentence: str, hint: str = "") -> ConfigError:
        return ConfigError(origins.get(option, BUILT_IN), f"'{option}' {sentence}", hint=hint)

    if not gateway.listen:
        for field in dataclasses.fields(gateway):
            name = _name(field.name)
            if name in origins and not (name == "force-gateway" and settings.routers):
                instead = INSTEAD.get(name) if any(settings.sockets.spoken_on(Protocol.HTTP)) else None
                more = f": {instead}" if instead else ""
                warn(f"{origins[name]}: '{name}' has no effect without 'http' or 'https', the http router{more}")
        return
    if gateway.http_to_https and not (gateway.secured or settings.sockets.https_socket):
        where = origins.get("http-to-https", BUILT_IN)
        warn(
            f"{where}: 'http-to-https' leads to port 443, where somebody else has to be: "
            "there is no https, and no https-socket"
        )
    if not 1 <= gateway.http_processes <= MOST_PROCESSES:
        raise refuse("http-processes", f"must be from 1 to {MOST_PROCESSES}, not {gateway.http_processes}")
    for option, number in (("http-modifier1", gateway.http_modifier1), ("http-modifier2", gateway.http_modifier2)):
        if number > HIGHEST_MODIFIER:
            raise refuse(option, f"is a byte, {number} is more than {HIGHEST_MODIFIER}")
    for variable in gateway.http_var:
        if not _VARIABLE.fullmatch(variable):
            raise refuse("http-var", f"needs NAME=value, not '{variable}'")
    if gateway.http_use_pattern and gateway.http_use_pattern.replace("%s", "", 1).count("%"):
        raise refuse("http-use-pattern", f"has one %s and no other %, not '{gateway.http_use_pattern}'")
    if gateway.http_use_pattern and "%s" not in gateway.http_use_pattern:
        raise refuse("http-use-pattern", "needs %s where the request's Host is to stand")
    _compare_deadlines(settings, origins, warn)
    ways = [_name(way) for way in WAYS if getattr(gateway, way)]
    if len(ways) > 1:
        raise refuse(ways[1], f"and '{ways[0]}' contradict each other", hint="a request has one way to a server")
    _check_own_socket(settings, gateway, refuse, is_set="http-use-socket" in origins)
    _check_proxies(settings, refuse)
    if not (gateway.has_servers or gateway.http_use_socket):
        for name in map(_name, ABOUT_SERVERS):
            if name in origins:
                warn(f"{origins[name]}: '{name}' has no effect without 'http-to': the router's servers are own workers")


def _name(field: str) -> str:
    return field.replace("_", "-")


def _compare_deadlines(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Who allows requests more time than the router does may not know of it: it is uWSGI's usual surprise."""
    longest, patience = settings.harakiri.harakiri, settings.gateway.http_timeout
    if settings.gateway.has_servers or "harakiri" not in origins or "http-timeout" in origins or longest <= patience:
        return
    warn(
        f"{origins['harakiri']}: 'harakiri' allows {longest:g} s, but the router answers 504 when nothing has come for "
        f"{patience:g} s (set http-timeout = {longest:g} or more)"
    )


def _check_own_socket(
    settings: Settings, gateway: GatewaySettings, refuse: Callable[..., ConfigError], *, is_set: bool
) -> None:
    """http-use-socket names one that exists, and on which the router is understood."""
    text = gateway.http_use_socket
    if not text and not is_set:
        return
    sockets = [(name, text) for name, addresses in settings.sockets.addresses.items() for text in addresses]
    if not text.isdigit():
        raise refuse("http-use-socket", f"needs the number of a socket, not '{text}'")
    if int(text) >= len(sockets):
        count = f"{len(sockets)} socket{'s' if len(sockets) > 1 else ''}, numbered from 0" if sockets else "no socket"
        raise refuse("http-use-socket", f"has no socket {text}: there is {count}", hint="add socket = 127.0.0.1:0")
    spoken = settings.sockets.spoken(sockets[int(text)][0])
    wanted = Protocol.HTTP if gateway.http_backend_http else Protocol.UWSGI
    if spoken is not wanted:
        raise refuse(
            "http-use-socket", f"means a socket on which {spoken.value} is spoken, and the router speaks {wanted.value}"
        )


def _check_proxies(settings: Settings, refuse: Callable[..., ConfigError]) -> None:
    gateway = settings.gateway
    if gateway.http_enable_proxy_protocol and not settings.proxies.trusted_proxies:
        raise refuse(
            "http-enable-proxy-protocol",
            "needs 'trusted-proxies': anybody else could name any client",
            hint="name the load balancers, such as trusted-proxies = 10.0.0.0/8; * if nobody else can connect",
        )
    for address in gateway.http_stud_prefix:  # who is named here is trusted with that
        if not _is_ip_address(address):
            raise refuse("http-stud-prefix", f"needs the IP address of a peer, not '{address}'")


def _is_ip_address(text: str) -> bool:
    try:
        inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except OSError:
        return False
    return True
