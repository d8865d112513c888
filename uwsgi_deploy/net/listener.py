"""Make the listening sockets, describe them, and remove what they left in the file system.

`bind_listeners` either returns all sockets or raises after closing and unlinking what it made. It decides no policy:
who owns Unix sockets is told by the caller, and what is worth a line in the log goes through the `warn` callable.
Called by `master.boot` before privileges are dropped and before the application is loaded.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from uwsgi_deploy.config.platform import ActivatedSocket
from uwsgi_deploy.config.settings.sockets import SocketSettings
from uwsgi_deploy.errors import BindError
from uwsgi_deploy.net import activation
from uwsgi_deploy.net.address import Address, InheritedAddress, TcpAddress, UnixAddress, parse_address
from uwsgi_deploy.net.bind_errors import bind_error, holder_of_path
from uwsgi_deploy.types import Protocol

if TYPE_CHECKING:
    from uwsgi_deploy.config.settings.tls import TlsSettings
    from uwsgi_deploy.net.certificates import Certificate

DEFAULT_BACKLOG = 1024
# How long the kernel may hold back a connection that carries no data (TCP_DEFER_ACCEPT, seconds).
DEFER_ACCEPT = 4
SOMAXCONN_FILE = "/proc/sys/net/core/somaxconn"

Warn = Callable[[str], None]


class Tls(NamedTuple):
    """What a listener shows to clients that speak TLS: its own certificate, and those of some hosts."""

    certificate: Certificate
    named: tuple[Certificate, ...]
    settings: TlsSettings


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket. `name` is as printed: `127.0.0.1:8000`, `:8000`, `/run/x.sock`, `@name`.

    key: the address as it was asked for, files with their directory; by it a reloaded server knows its sockets again.
    adopted: whether it came so from the server's former image. tls: certificates, where it speaks TLS.
    https_port: where its clients are sent to HTTPS at this port ("": the usual one); None where they are not.
    routed: whose clients connect here (`http`, `fastrouter`, `rawrouter`), and no worker hears of it; or empty.
    """

    socket: socket.socket
    protocol: Protocol
    name: str
    index: int
    created_inode: int | None = None
    auto_port: bool = False
    inherited: bool = False
    key: str = ""
    adopted: bool = False
    tls: Tls | None = None
    https_port: str | None = None
    routed: str = ""

    @property
    def path(self) -> str:
        """The absolute path of the socket's file; "" for one without."""
        return "" if self.created_inode is None else self.key

    @property
    def is_unix(self) -> bool:
        """Whether clients reach it through a Unix socket."""
        return self.socket.family == socket.AF_UNIX

    @property
    def server_name(self) -> str:
        """SERVER_NAME for clients that name no host: the address's host, this machine's name when it has none."""
        host = "" if self.is_unix else self.name.rpartition(":")[0].strip("[]")
        return socket.gethostname() if host in WILDCARDS else host

    @property
    def server_port(self) -> str:
        """SERVER_PORT: the bound port, 80 for a Unix socket as uWSGI says."""
        return "80" if self.is_unix else self.name.rpartition(":")[2]

    def describe(self) -> str:
        """The start-up line about this socket, in uWSGI's words."""
        if self.routed:
            auto = " (port auto-assigned)" if self.auto_port else ""
            return f"uWSGI {self.routed} bound on {self.name}{auto} fd {self.socket.fileno()}"
        if self.inherited or self.adopted:
            kind = "UNIX" if self.is_unix else "INET"
            return f"uwsgi socket {self.index} inherited {kind} address {self.name} fd {self.socket.fileno()}"
        kind = "UNIX" if self.is_unix else "TCP"
        auto = " (port auto-assigned)" if self.auto_port else ""
        return f"uwsgi socket {self.index} bound to {kind} address {self.name}{auto} fd {self.socket.fileno()}"


WILDCARDS = frozenset({"", "*", "0.0.0.0", "::"})


def _discard(message: str) -> None:
    """Where warnings go when nobody listens."""


def bind_listeners(
    settings: SocketSettings,
    *,
    owner: tuple[int, int] | None = None,
    warn: Warn = _discard,
    activated: Sequence[ActivatedSocket] = (),
    former: Sequence[Listener] = (),
    routed: Sequence[tuple[str, Protocol, str]] = (),
) -> tuple[Listener, ...]:
    """Open every socket of the settings, non-blocking and closed on exec; BindError or ConfigError if one fails.

    routed: of each address of a router its kind and what is spoken there, which follow after the workers'.
    owner: (uid, gid) that Unix sockets are given to (-1 leaves one as it is); None leaves them to the creator.
    activated: sockets that the service manager opened, which take the place of addresses that mean them.
    former: sockets of the server's former image; those that are still wanted are taken from there.
    """
    addresses = [
        (address, protocol, text, router)
        for wanted, protocol, text, router in (*_wanted(settings), *_routed(settings, routed))
        for address in activation.resolve(wanted, activated)
    ]
    backlog = listen_backlog(settings.listen, warn)
    listeners: list[Listener] = []
    available = list(former)
    try:
        for address, protocol, text, router in addresses:
            key = key_of(address, text)
            known = next((one for one in available if (one.key, one.protocol) == (key, protocol)), None)
            if known is not None:
                available.remove(known)
                listener = replace(known, index=len(listeners), adopted=True, routed=router, https_port=None)
                _update_mode(listener, settings)
            else:
                opened = _open(address, settings, owner, warn)
                adopted = _adopt(opened, address, protocol, text=text, index=len(listeners))
                listener = replace(adopted, routed=router)
            listeners.append(listener)
            _listen(listener, settings, backlog)
    except BaseException:
        fresh = [listener for listener in listeners if not listener.adopted]
        close_listeners(fresh)
        remove_unix_sockets(fresh)
        raise
    for line in activation.unused(activated, {listener.socket.fileno() for listener in listeners}):
        warn(line)
    return tuple(listeners)


def key_of(address: Address, text: str) -> str:
    """By which an address is known again."""
    if isinstance(address, UnixAddress) and not address.abstract:
        return os.path.abspath(address.path)
    return text.strip()


def _update_mode(listener: Listener, settings: SocketSettings) -> None:
    try:
        if listener.path and os.lstat(listener.path).st_ino == listener.created_inode:
            os.chmod(listener.path, settings.chmod_socket)
    except OSError as error:
        raise BindError(listener.name, f"its mode cannot be set: {error.strerror}") from None


def check_addresses(settings: SocketSettings, routed: Sequence[tuple[str, Protocol, str]] = ()) -> None:
    """ConfigError for an address that is none, before anything is opened."""
    for _ in (*_wanted(settings), *_routed(settings, routed)):
        continue


def _wanted(settings: SocketSettings) -> Iterator[tuple[Address, Protocol, str, str]]:
    for name, addresses in settings.addresses.items():
        for text in addresses:
            yield _address(text, name, settings), settings.spoken(name), text, ""


def _routed(
    settings: SocketSettings, routers: Iterable[tuple[str, Protocol, str]]
) -> Iterator[tuple[Address, Protocol, str, str]]:
    for kind, protocol, text in routers:
        yield _address(text, kind, settings), protocol, text, kind


def _address(text: str, name: str, settings: SocketSettings) -> Address:
    address = parse_address(text, name)
    if settings.abstract_socket and isinstance(address, UnixAddress):
        return replace(address, abstract=True)
    return address


def close_listeners(listeners: Iterable[Listener]) -> None:
    """Close this process's copies of the sockets."""
    for listener in listeners:
        listener.socket.close()


def refuse_newcomers(listeners: Iterable[Listener]) -> None:
    """Let nobody new connect, in whatever process these sockets are open, but keep those whose handshake is done.

    For a server that stops: who connects between the last accept and the close would be reset. A new TCP client's
    packets are dropped instead; it tries again and finds the port closed. Sockets that somebody else opened (systemd)
    are left alone: they go on listening without us.
    """
    for listener in listeners:
        if listener.inherited:
            continue
        try:
            if listener.is_unix:
                listener.socket.shutdown(socket.SHUT_RD)
            else:
                _drop_new_handshakes(listener.socket)
        except OSError:
            continue  # closed already, or a kernel without the filter: the risk is back, and nothing else


# struct sock_filter: code, jump if true, jump if false, constant. A filter on a TCP socket begins at the TCP header.
_PURE_SYN_IS_DROPPED = (
    (0x30, 0, 0, 13),  # load the byte with the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK of them
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then drop the packet,
    (0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
)
_SO_ATTACH_FILTER = 26
_IP_FREEBIND = 15
_LARGEST_BUFFER = (1 << 30) - 1  # the kernel doubles it in an int


def _drop_new_handshakes(listening: socket.socket) -> None:
    program = array("B", b"".join(struct.pack("HBBI", *line) for line in _PURE_SYN_IS_DROPPED))
    address, _ = program.buffer_info()
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_PURE_SYN_IS_DROPPED), address))


def remove_unix_sockets(listeners: Iterable[Listener]) -> list[str]:
    """Unlink the Unix sockets that were created here and are still the same files; returns lines for the log."""
    return [line for listener in listeners if listener.created_inode is not None for line in _remove(listener)]


def _remove(listener: Listener) -> Iterable[str]:
    try:
        if os.lstat(listener.path).st_ino != listener.created_inode:
            yield f"VACUUM WARNING: unix socket {listener.name} changed inode. Skip removal"
            return
        os.unlink(listener.path)
    except FileNotFoundError:
        return
    except OSError as error:
        yield f"VACUUM WARNING: unix socket {listener.name} cannot be removed: {error.strerror}"
        return
    yield f"VACUUM: unix socket {listener.name} removed."


def listen_backlog(asked: int, warn: Warn = _discard) -> int:
    """Length of the listen queue: what was asked for (0: 1024), at most what the kernel allows."""
    highest = _somaxconn()
    if asked > highest:
        warn(
            f"*** WARNING: listen = {asked} is greater than the system's net.core.somaxconn, using {highest} "
            f"(raise it with: sysctl -w net.core.somaxconn={asked}) ***"
        )
    return min(asked or DEFAULT_BACKLOG, highest)


def _somaxconn() -> int:
    try:
        with open(SOMAXCONN_FILE, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return socket.SOMAXCONN  # a container without /proc: the constant of the C library


# --- opening one socket -----------------------------------------------------------------------------------------------


def _open(address: Address, settings: SocketSettings, owner: tuple[int, int] | None, warn: Warn) -> socket.socket:
    if isinstance(address, InheritedAddress):
        return _open_inherited(address)
    if isinstance(address, TcpAddress):
        return _open_tcp(address, settings, warn)
    if address.abstract:
        return _bind_unix(address, b"\0" + os.fsencode(address.path))
    return _open_unix(address, settings, owner)


def _adopt(opened: socket.socket, address: Address, protocol: Protocol, *, text: str, index: int) -> Listener:
    """The Listener of a socket that was just opened."""
    opened.setblocking(False)
    opened.set_inheritable(False)
    key = key_of(address, text)
    if isinstance(address, TcpAddress):
        auto = address.port == 0
        name = f"{text.strip().rpartition(':')[0]}:{opened.getsockname()[1]}" if auto else text.strip()
        return Listener(opened, protocol, name, index, auto_port=auto, key=key)
    if isinstance(address, InheritedAddress):
        return Listener(opened, protocol, bound_name(opened), index, inherited=True, key=key)
    inode = None if address.abstract else os.lstat(address.path).st_ino
    return Listener(opened, protocol, str(address), index, inode, key=key)


def _listen(listener: Listener, settings: SocketSettings, backlog: int) -> None:
    """Set what connections inherit, and start listening."""
    opened = listener.socket
    # Linux doubles what it is told, and cuts it to its own maximum (socket(7)).
    for size, name in ((settings.socket_sndbuf, socket.SO_SNDBUF), (settings.socket_rcvbuf, socket.SO_RCVBUF)):
        if size:
            opened.setsockopt(socket.SOL_SOCKET, name, min(size, _LARGEST_BUFFER))
    if not listener.is_unix:
        # On Linux an accepted socket inherits these from its listener, which saves two calls per connection.
        if settings.tcp_nodelay:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if settings.so_keepalive:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if settings.defer_accept and listener.protocol is not Protocol.RAW:  # there the server may speak first
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_ACCEPT)
        if settings.tcp_fast_open:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, settings.tcp_fast_open)
    if listener.inherited:
        return
    try:
        opened.listen(backlog)
    except OSError as error:
        # Linux reports a port that another socket listens on here when both set SO_REUSEADDR only after binding.
        raise bind_error(listener.name, error) from None


def _open_inherited(address: InheritedAddress) -> socket.socket:
    try:
        opened = socket.socket(fileno=address.fd)
    except OSError as error:
        raise BindError(str(address), f"descriptor {address.fd} is no open socket: {error.strerror}") from None
    if not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        opened.detach()
        raise BindError(str(address), f"the socket at descriptor {address.fd} is not listening")
    return opened


def bound_name(opened: socket.socket) -> str:
    """The address that a socket is bound to, as a person writes it."""
    bound = opened.getsockname()
    if opened.family == socket.AF_INET6:
        return f"[{bound[0]}]:{bound[1]}"
    if opened.family == socket.AF_INET:
        return f"{bound[0]}:{bound[1]}"
    if isinstance(bound, bytes):
        return "@" + os.fsdecode(bound[1:])
    return str(bound)


def _open_tcp(address: TcpAddress, settings: SocketSettings, warn: Warn) -> socket.socket:
    family, where = _resolve(address)
    try:
        opened = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if address.host == "::":
            # [::], Heroku's advice, asks for every address of the machine; without IPv6 these are the IPv4 ones.
            warn(f"*** {address}: this machine has no IPv6, listening on its IPv4 addresses only ***")
            return _open_tcp(TcpAddress("", address.port), settings, warn)
        raise BindError(str(address), f"this machine has no such address family: {error.strerror}") from None
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if settings.freebind:
            opened.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)  # for IPv6, too
        if family == socket.AF_INET6:
            # [::] means every address of the machine, IPv4 included; a single IPv6 address has no IPv4 side.
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host != "::"))
        opened.bind(where)
    except OSError as error:
        opened.close()
        raise bind_error(str(address), error) from None
    return opened


def _resolve(address: TcpAddress) -> tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]:
    """The family and socket address of a TCP address; a host name means its IPv4 address if it has one, as in uWSGI."""
    if not address.host:
        return socket.AF_INET, ("0.0.0.0", address.port)
    # As bytes: for text the interpreter loads its tables of international names, 0.2 MB in the master.
    host = address.host.encode() if address.host.isascii() else address.host
    try:
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else error
        raise BindError(str(address), f"the host name {address.host!r} has no address: {reason}") from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    family, _, _, _, where = found[0]
    return family, where  # type: ignore[return-value]  # typeshed unites all families in one type


def _open_unix(address: UnixAddress, settings: SocketSettings, owner: tuple[int, int] | None) -> socket.socket:
    _clear_stale(address.path)
    # Nobody else may connect between bind and chmod.
    former_mask = os.umask(0o177)
    try:
        opened = _bind_unix(address, address.path)
    finally:
        os.umask(former_mask)
    try:
        if owner is not None:
            os.chown(address.path, *owner)
        os.chmod(address.path, settings.chmod_socket)
    except OSError as error:
        opened.close()
        os.unlink(address.path)
        raise BindError(address.path, f"its owner or mode cannot be set: {error.strerror}") from None
    return opened


def _bind_unix(address: UnixAddress, where: str | bytes) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(where)
    except OSError as error:
        opened.close()
        raise bind_error(str(address), error) from None
    return opened


def _clear_stale(path: str) -> None:
    """Remove a socket file that nobody listens on; refuse to touch anything else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise BindError(path, error.strerror or str(error)) from None
    if not stat.S_ISSOCK(mode):
        raise BindError(path, "the path exists and is no socket", hint="remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full listen queue would make us wait: it has a listener
        refusal = probe.connect_ex(path)
    if refusal == errno.ENOENT:
        return
    if refusal != errno.ECONNREFUSED:
        holder = holder_of_path(path)
        raise BindError(path, f"another process listens on it{holder}", hint="stop it or choose another path")
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BindError(path, f"the stale socket there cannot be removed: {error.strerror}") from None
