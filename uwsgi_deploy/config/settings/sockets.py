"""Where the server listens, and how the listening sockets are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Mode, Protocol


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """Addresses are `:8000`, `host:port`, `[::1]:port`, `*:port`, `/path.sock`, `@abstract` or `fd://N`."""

    http_socket: tuple[str, ...] = option(
        (), "http11-socket", help="Listen for HTTP/1.1 on this address; workers answer clients directly. Repeatable."
    )
    socket: tuple[str, ...] = option(
        (),
        "-s",
        help="Listen for the uwsgi protocol (nginx's uwsgi_pass) on this address, or what 'protocol' says. Repeatable.",
    )
    uwsgi_socket: tuple[str, ...] = option(
        (), help="Listen for the uwsgi protocol on this address, whatever 'protocol' says. Repeatable."
    )
    scgi_socket: tuple[str, ...] = option((), help="Listen for SCGI (nginx's scgi_pass) on this address. Repeatable.")
    fastcgi_socket: tuple[str, ...] = option(
        (), help="Listen for FastCGI (nginx's fastcgi_pass) on this address. Repeatable."
    )
    protocol: str = option(
        "uwsgi",
        "socket-protocol",
        choices=("uwsgi", "http", "http11", "fastcgi", "scgi"),
        help="What is spoken on the addresses of 'socket'.",
    )
    chmod_socket: Mode = option(
        0o660, "chmod", "-C", optional_value="666", help="Mode of Unix sockets, three octal digits."
    )
    chown_socket: str = option("", help="Owner of Unix sockets: user or user:group, names or numbers.")
    listen: int = option(
        0, "-l", help="Length of the listen queue; 0 means the smaller of 1024 and the kernel's somaxconn."
    )
    reuse_port: bool = option(False, help="Set SO_REUSEPORT, so that several instances may share a TCP port.")
    so_keepalive: bool = option(False, help="Set SO_KEEPALIVE on connections.")
    tcp_nodelay: bool = option(True, help="Set TCP_NODELAY on connections, so that small blocks are sent at once.")
    defer_accept: bool = option(
        True, inverse=("no-defer-accept",), help="Let the kernel hold TCP connections back until they carry data."
    )

    @property
    def addresses(self) -> dict[str, tuple[str, ...]]:
        """All addresses to listen on, by the name of the option that has them."""
        return {
            "http-socket": self.http_socket,
            "socket": self.socket,
            "uwsgi-socket": self.uwsgi_socket,
            "scgi-socket": self.scgi_socket,
            "fastcgi-socket": self.fastcgi_socket,
        }

    def spoken_on(self, protocol: Protocol) -> Iterator[str]:
        """The addresses on which clients speak this protocol."""
        for name, addresses in self.addresses.items():
            if self.spoken(name) is protocol:
                yield from addresses

    def spoken(self, name: str) -> Protocol:
        """What clients of the addresses of this option speak."""
        protocol = self.protocol if name == "socket" else name.removesuffix("-socket")
        return Protocol(protocol.removesuffix("11"))
