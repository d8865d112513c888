"""What stands on runuwsgi's command line without dashes, as options of the server. Resolves names for -6, else pure.

runserver's grammar (`8001`, `0:8001`, `localhost:8001`, `[::1]:8001`) comes from runserver itself, so that it cannot
differ; `unix:/path` and `fd://3` are added, and the form `name=value` of the first django-uwsgi.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from django.core.management.base import CommandError
from django.core.management.commands.runserver import naiveip_re

from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption

# The first django-uwsgi called its HTTP socket `http`, and bound a bare port on all interfaces.
LEGACY_NAMES = {"http": "http-socket"}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an address means where it says only a part; runuwsgi's class attributes and its -6."""

    host: str
    host_ipv6: str
    ipv6: bool = False

    def join(self, port: str) -> str:
        """The address of a port that was given alone."""
        return f"[{self.host_ipv6}]:{port}" if self.ipv6 else f"{self.host}:{port}"


def parse(text: str, defaults: Defaults) -> RawOption:
    """Turn one positional argument into an option, or raise runserver's own sentence about it."""
    if text.startswith("unix:"):
        return _option("http-socket", _absolute(text.removeprefix("unix:"), text))
    if text.startswith("fd://"):
        return _option("http-socket", text)
    name, separator, value = text.partition("=")
    if separator:
        return _legacy(name, value)
    return _option("http-socket", _host_and_port(text, defaults))


def is_public(address: str) -> bool:
    """Whether other machines can reach this address (a server option's value) as far as its text can tell."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or address.startswith(("/", "@")):
        return False  # a Unix socket, or an inherited descriptor that nothing is known about
    host = host.strip("[]")
    if host in ("", "*", "0"):
        return True
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def describe(address: str, scheme: str = "http") -> str:
    """An address as a person uses it: a URL for TCP, the path for a Unix socket."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return address
    return f"{scheme}://{host or '0.0.0.0'}:{port}/"


def _option(name: str, value: str) -> RawOption:
    return RawOption(name, value, COMMAND_LINE)


def _absolute(path: str, text: str) -> str:
    """Relative to where the command was typed: the server will have changed to the project's directory."""
    if path.startswith("//"):
        path = path[2:]  # unix:///run/x.sock
    if not path:
        raise CommandError(f'"{text}" names no path; a Unix socket is unix:/path.')
    return path if path.startswith("@") else str(Path(path).absolute())


def _legacy(name: str, value: str) -> RawOption:
    option = LEGACY_NAMES.get(name, name)
    if option in ("http-socket", "socket") and value.isdigit():
        value = f":{value}"
    return _option(option, value)


def _host_and_port(text: str, defaults: Defaults) -> str:
    match = naiveip_re.match(text)
    if match is None:
        hint = f" All interfaces are 0{text}." if text[:1] == ":" and text[1:].isdigit() else ""
        raise CommandError(f'"{text}" is not a valid port number or address:port pair.{hint}')
    host, ipv4, ipv6, _name, port = match.groups()
    if int(port) > 65535:
        raise CommandError(f"{port!r} is not a valid port number.")
    if host is None:
        return defaults.join(port)
    if ipv4 is None and ipv6 is None and host == "0":
        host = "0.0.0.0"
    if defaults.ipv6 and ipv6 is None:
        host = f"[{_ipv6_address(host)}]"
    return f"{host}:{port}"


def _ipv6_address(host: str) -> str:
    """The IPv6 address of a name; -6 with anything else is a contradiction."""
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET6, socket.SOCK_STREAM)
    except OSError:
        raise CommandError(f'"{host}" is not a valid IPv6 address.') from None
    return str(found[0][4][0])
