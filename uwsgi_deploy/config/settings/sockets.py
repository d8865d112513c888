"""Where the server listens, and how the listening sockets are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Bytes, Mode, Protocol


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """Addresses are `:8000`, `host:port`, `[::1]:port`, `*:port`, `/path.sock`, `@abstract`, `fd://N` or `=N`."""

    http_socket: tuple[str, ...] = option(
        (), "http11-socket", help="Listen for HTTP/1.1 on this address; workers answer clients directly. Repeatable."
    )
    https_socket: tuple[str, ...] = option(
        (),
        help="Listen for HTTP/1.1 over TLS: 'address,certificate,key', then if wanted ',ciphers' and ',client CA' ('!' "
        "in front of the last one requires a certificate of each client). Repeatable.",
    )
    socket: tuple[str, ...] = option(
        (),
        "-s",
        help="Listen for the uwsgi protocol (nginx's uwsgi_pass) on this address, or what 'protocol' says. Repeatable.",
    )
    uwsgi_socket: tuple[str, ...] = option(
        (), help="Listen for the uwsgi protocol on this address, whatever 'protocol' says. Repeatable."
    )
    suwsgi_socket: tuple[str, ...] = option(
        (),
        "ssl-socket",
        help="Listen for the uwsgi protocol over TLS: 'address,certificate,key', and more as https-socket. Repeatable.",
    )
    scgi_socket: tuple[str, ...] = option((), help="Listen for SCGI (nginx's scgi_pass) on this address. Repeatable.")
    fastcgi_socket: tuple[str, ...] = option(
        (), help="Listen for FastCGI (nginx's fastcgi_pass) on this address. Repeatable."
    )
    puwsgi_socket: tuple[str, ...] = option(
        (), help="Listen for the uwsgi protocol with several requests on each connection on this address. Repeatable."
    )
    scgi_nph_socket: tuple[str, ...] = option(
        (), help="As scgi-socket, but answers begin with HTTP's status line. Repeatable."
    )
    fastcgi_nph_socket: tuple[str, ...] = option(
        (), help="As fastcgi-socket, but answers begin with HTTP's status line. Repeatable."
    )
    shared_socket: tuple[str, ...] = option(
        (),
        "undeferred-shared-socket",
        help="An address that the other options about sockets mean by =0, the next one by =1 and so on. Repeatable.",
    )
    protocol: str = option(
        "uwsgi",
        "socket-protocol",
        choices=("uwsgi", "http", "http11", "fastcgi", "scgi", "puwsgi", "fastcgi-nph", "scgi-nph"),
        help="What is spoken on the addresses of 'socket'.",
    )
    chmod_socket: Mode = option(
        0o660, "chmod", "-C", optional_value="666", help="Mode of Unix sockets, three octal digits."
    )
    chown_socket: str = option("", help="Owner of Unix sockets: user or user:group, names or numbers.")
    abstract_socket: bool = option(
        False, "-a", help="Unix sockets have names in Linux's abstract namespace, and no files."
    )
    listen: int = option(
        0, "-l", help="Length of the listen queue; 0 means the smaller of 1024 and the kernel's somaxconn."
    )
    reuse_port: bool = option(False, help="Set SO_REUSEPORT, so that several instances may share a TCP port.")
    freebind: bool = option(False, help="Bind TCP addresses that this machine does not have yet (IP_FREEBIND).")
    tcp_fast_open: int = option(
        0, help="Let so many clients send their request with the handshake (TCP_FASTOPEN); 0 lets none."
    )
    socket_sndbuf: Bytes = option(
        0, help="What the kernel keeps of a response that its client has not taken (SO_SNDBUF); 0 leaves it to it."
    )
    socket_rcvbuf: Bytes = option(
        0, help="What the kernel keeps of a request that was not read (SO_RCVBUF); 0 leaves it to it."
    )
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
            # What follows the address is for `config.tls`.
            "https-socket": _addresses_in(self.https_socket),
            "suwsgi-socket": _addresses_in(self.suwsgi_socket),
            "socket": self.socket,
            "uwsgi-socket": self.uwsgi_socket,
            "scgi-socket": self.scgi_socket,
            "fastcgi-socket": self.fastcgi_socket,
            "puwsgi-socket": self.puwsgi_socket,
            "scgi-nph-socket": self.scgi_nph_socket,
            "fastcgi-nph-socket": self.fastcgi_nph_socket,
        }

    def spoken_on(self, *protocols: Protocol) -> Iterator[str]:
        """The addresses on which clients speak one of these protocols."""
        for name, addresses in self.addresses.items():
            if self.spoken(name) in protocols:
                yield from addresses

    def spoken(self, name: str) -> Protocol:
        """What clients of the addresses of this option speak."""
        protocol = self.protocol if name == "socket" else name.removesuffix("-socket")
        # TLS is around a protocol: it is none of its own.
        return Protocol({"http11": "http", "https": "http", "suwsgi": "uwsgi"}.get(protocol, protocol))


def _addresses_in(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.partition(",")[0].strip() for value in values)
