"""Read the addresses people write for sockets. Pure: resolves no name and opens nothing.

    :8000  *:80  127.0.0.1:0  example.org:80  [::1]:8000  [::]:8000     TcpAddress
    /run/app.sock  app.sock  @abstract                                   UnixAddress
    fd://3  fd://web                                                     InheritedAddress

Anything else is a ConfigError that names the text and its origin. Called by `net.listener` for every socket option.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from uwsgi_deploy.errors import ConfigError

# sockaddr_un.sun_path has 108 bytes on Linux; a path needs its NUL, an abstract name its leading one.
UNIX_PATH_LIMIT = 107
HIGHEST_PORT = 65535

_INHERITED = re.compile(r"fd://(?:(\d{1,9})|([^/\s]+))\Z")
_SHARED = re.compile(r"=\d+\Z")
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::([^:]*))?\Z")
_HOST = re.compile(r"[A-Za-z0-9._-]*\Z")
# Nobody calls a Unix socket so: it would be made, and no client would find the server.
_HOST_ALONE = re.compile(r"(?:localhost|\d{1,3}(?:\.\d{1,3}){3})\Z")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\Z")


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP address. `host` is "" for every IPv4 address, a name, an IPv4 or an IPv6 address without brackets."""

    host: str
    port: int

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is a literal IPv6 address."""
        return ":" in self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket: a path in the file system, or a name in Linux's abstract namespace."""

    path: str
    abstract: bool = False

    def __str__(self) -> str:
        return f"@{self.path}" if self.abstract else self.path


@dataclass(frozen=True, slots=True)
class InheritedAddress:
    """A listening socket that whoever started us opened already; with a `name`, the one systemd calls so."""

    fd: int
    name: str = ""

    def __str__(self) -> str:
        return f"fd://{self.name or self.fd}"


Address = TcpAddress | UnixAddress | InheritedAddress


def parse_address(text: str, origin: str = "") -> Address:
    """The address that `text` means. `origin` (an option's name or a file:line) opens the error message."""
    text = text.strip()
    origin = origin or "socket address"
    if not text:
        raise ConfigError(origin, "the address is empty", hint=EXAMPLES)
    if _SHARED.match(text):
        raise ConfigError(origin, f"{text!r} means a shared-socket, which this option does not take", hint=EXAMPLES)
    if inherited := _INHERITED.match(text):
        return InheritedAddress(-1, inherited[2]) if inherited[2] else InheritedAddress(int(inherited[1]))
    if "://" in text:
        raise ConfigError(origin, f"{text!r} is a URL, not a socket address", hint=EXAMPLES)
    if text.startswith(("@", "\\0")):
        return _unix(text[1 if text[0] == "@" else 2 :], origin, abstract=True)
    if text.startswith("["):
        return _bracketed(text, origin)
    # uWSGI's rule: with a colon it is TCP, without one the path of a Unix socket. Here a path may have colons.
    host, colon, port = text.rpartition(":")
    if not colon or "/" in host:
        return _unix_or_port(text, origin)
    if ":" in host:
        raise ConfigError(origin, f"{text!r} has several colons", hint=f"write IPv6 addresses as [{host}]:{port}")
    if host == "*":
        host = ""
    if not _HOST.match(host):
        raise ConfigError(origin, f"{host!r} in {text!r} is no host name", hint=EXAMPLES)
    return TcpAddress(host, _port(port, text, origin))


EXAMPLES = "examples: :8000, 127.0.0.1:8000, [::1]:8000, /run/app.sock, @name, fd://3"


def _bracketed(text: str, origin: str) -> TcpAddress:
    match = _BRACKETED.match(text)
    if match is None:
        raise ConfigError(origin, f"{text!r} is no IPv6 address with a port", hint="write [::1]:8000")
    host, port = match[1], match[2]
    if ":" not in host or not _IPV6.match(host):
        raise ConfigError(origin, f"{host!r} in {text!r} is no IPv6 address", hint="write [::1]:8000")
    if port is None:
        raise ConfigError(origin, f"{text!r} has no port", hint=f"write {text}:8000")
    return TcpAddress(host, _port(port, text, origin))


def _port(port: str, text: str, origin: str) -> int:
    if not (port.isascii() and port.isdigit()):
        raise ConfigError(origin, f"{port!r} in {text!r} is no port number", hint=EXAMPLES)
    if int(port) > HIGHEST_PORT:
        raise ConfigError(origin, f"port {port} in {text!r} is above {HIGHEST_PORT}")
    return int(port)


def _unix_or_port(text: str, origin: str) -> UnixAddress:
    if text.isascii() and text.isdigit():
        raise ConfigError(origin, f"{text!r} is neither a path nor host:port", hint=f"did you mean :{text}?")
    if _HOST_ALONE.match(text):
        raise ConfigError(origin, f"{text!r} has no port", hint=f"write {text}:8000, or ./{text} for a Unix socket")
    return _unix(text, origin, abstract=False)


def _unix(path: str, origin: str, *, abstract: bool) -> UnixAddress:
    if not path:
        raise ConfigError(origin, "the name of the abstract socket is empty", hint="write @name")
    if "\0" in path:
        raise ConfigError(origin, f"{path!r} contains a NUL character")
    size = len(path.encode("utf-8", "surrogateescape"))
    if size > UNIX_PATH_LIMIT:
        what = "abstract name" if abstract else "path"
        raise ConfigError(
            origin,
            f"the {what} of a Unix socket may have {UNIX_PATH_LIMIT} bytes, this one has {size}: {path}",
            hint="choose a shorter one, or a path relative to chdir",
        )
    return UnixAddress(path, abstract)
