"""Listening sockets: what is bound, what is refused and why, and that nothing is left behind."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from uwsgi_deploy.config.settings import SocketSettings
from uwsgi_deploy.errors import BindError, ConfigError
from uwsgi_deploy.net import listener as listener_module
from uwsgi_deploy.net.listener import (
    Listener,
    bind_listeners,
    close_listeners,
    listen_backlog,
    refuse_newcomers,
    remove_unix_sockets,
)
from uwsgi_deploy.types import Protocol


@contextmanager
def bound(settings: SocketSettings, **options: object) -> Iterator[tuple[Listener, ...]]:
    """Listeners that are closed and unlinked in the end."""
    listeners = bind_listeners(settings, **options)  # type: ignore[arg-type]
    try:
        yield listeners
    finally:
        close_listeners(listeners)
        remove_unix_sockets(listeners)


@pytest.fixture(autouse=True)
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative socket paths stay short and private."""
    monkeypatch.chdir(tmp_path)


def test_binds_every_address_in_order(tmp_path: Path) -> None:
    """HTTP sockets come first, then uwsgi sockets; each knows its protocol, number and printed name."""
    with bound(SocketSettings(http_socket=("127.0.0.1:0", "h.sock"), socket=("@uwsgi-deploy-test",))) as listeners:
        http, unix, abstract = listeners
        port = http.socket.getsockname()[1]
        assert (http.name, http.protocol, http.index) == (f"127.0.0.1:{port}", Protocol.HTTP, 0)
        assert (unix.name, unix.protocol, unix.index) == ("h.sock", Protocol.HTTP, 1)
        assert (abstract.name, abstract.protocol, abstract.index) == ("@uwsgi-deploy-test", Protocol.UWSGI, 2)
        assert abstract.created_inode is None
        for each in listeners:
            assert not each.socket.getblocking()
            assert not each.socket.get_inheritable()
            assert each.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def test_describes_itself_in_uwsgi_words() -> None:
    """Scripts read addresses, auto-assigned ports and descriptors from these lines."""
    with bound(SocketSettings(http_socket=("127.0.0.1:0", "h.sock"))) as (tcp, unix):
        port, fd = tcp.socket.getsockname()[1], tcp.socket.fileno()
        assert tcp.describe() == f"uwsgi socket 0 bound to TCP address 127.0.0.1:{port} (port auto-assigned) fd {fd}"
        assert unix.describe() == f"uwsgi socket 1 bound to UNIX address h.sock fd {unix.socket.fileno()}"


def test_server_name_and_port() -> None:
    """A wildcard and a Unix socket answer under the machine's name, a host under its own."""
    with bound(SocketSettings(http_socket=("127.0.0.1:0", ":0", "h.sock", "[::1]:0"))) as (host, every, unix, ipv6):
        assert (host.server_name, host.server_port) == ("127.0.0.1", str(host.socket.getsockname()[1]))
        assert every.server_name == socket.gethostname()
        assert (unix.server_name, unix.server_port) == (socket.gethostname(), "80")
        assert ipv6.server_name == "::1"


def test_wildcard_is_ipv4_and_brackets_are_both() -> None:
    """`:port` means every IPv4 address as in uWSGI, `[::]:port` every address of both families."""
    with bound(SocketSettings(http_socket=(":0", "[::]:0"))) as (ipv4, both):
        assert ipv4.socket.family == socket.AF_INET
        assert both.socket.family == socket.AF_INET6
        with socket.create_connection(("127.0.0.1", both.socket.getsockname()[1]), timeout=5):
            pass


def test_wildcard_without_ipv6_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without IPv6 `[::]:port` listens on the IPv4 addresses, and says so."""
    real = socket.socket

    def without_ipv6(family: int = -1, *arguments: int, **options: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *arguments, **options)

    monkeypatch.setattr(listener_module.socket, "socket", without_ipv6)
    warnings: list[str] = []
    with bound(SocketSettings(http_socket=("[::]:0",)), warn=warnings.append) as (listener,):
        assert listener.socket.family == socket.AF_INET
        assert listener.server_port == str(listener.socket.getsockname()[1])
    assert "no IPv6" in warnings[0]


def test_connections_inherit_options() -> None:
    """TCP_NODELAY and SO_KEEPALIVE are set once, on the listener."""
    settings = SocketSettings(http_socket=("127.0.0.1:0",), so_keepalive=True, defer_accept=False)
    with bound(settings) as (listener,), socket.create_connection(listener.socket.getsockname(), timeout=5):
        listener.socket.setblocking(True)
        accepted, _ = listener.socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_options_can_be_off() -> None:
    """What the settings switch off is not set."""
    settings = SocketSettings(http_socket=("127.0.0.1:0",), tcp_nodelay=False, defer_accept=False)
    with bound(settings) as (listener,):
        assert listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        assert listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) == 0
        assert listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0


def test_reuse_port_lets_two_servers_share() -> None:
    """With reuse-port a second server binds the same port."""
    with bound(SocketSettings(http_socket=("127.0.0.1:0",), reuse_port=True)) as (first,):
        again = SocketSettings(http_socket=(first.name,), reuse_port=True)
        with bound(again) as (second,):
            assert second.socket.getsockname() == first.socket.getsockname()


def test_unix_mode_and_owner() -> None:
    """Unix sockets have mode 660 and the creator's owner unless the settings say otherwise."""
    with bound(SocketSettings(socket=("a.sock",))):
        assert stat.S_IMODE(os.stat("a.sock").st_mode) == 0o660
    with bound(SocketSettings(socket=("a.sock",), chmod_socket=0o606), owner=(os.getuid(), os.getgid())):
        assert stat.S_IMODE(os.stat("a.sock").st_mode) == 0o606
        assert os.stat("a.sock").st_uid == os.getuid()


def test_umask_is_left_alone() -> None:
    """Binding a Unix socket does not change the process's umask."""
    former = os.umask(0o027)
    try:
        with bound(SocketSettings(socket=("a.sock",))):
            assert os.umask(0o027) == 0o027
    finally:
        os.umask(former)


def test_stale_socket_is_replaced() -> None:
    """A socket file that nobody listens on is what a crashed server left."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind("a.sock")
    with bound(SocketSettings(socket=("a.sock",))) as (listener,):
        assert os.stat("a.sock").st_ino == listener.created_inode


def test_living_socket_is_refused() -> None:
    """A Unix socket that somebody listens on is theirs, even when its queue is full."""
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind("a.sock")
        alive.listen(0)
        inode = os.stat("a.sock").st_ino
        for _ in range(2):  # the first probe fills the queue of length 0
            with pytest.raises(BindError, match="another process listens on it"):
                bind_listeners(SocketSettings(socket=("a.sock",)))
        assert os.stat("a.sock").st_ino == inode


def test_living_datagram_socket_is_refused() -> None:
    """A socket of another kind that is in use is not unlinked either."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as alive:
        alive.bind("a.sock")
        with pytest.raises(BindError, match="another process listens on it"):
            bind_listeners(SocketSettings(socket=("a.sock",)))


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_other_files_are_never_unlinked(kind: str) -> None:
    """A path that exists and is no socket is an error."""
    path = Path("a.sock")
    {"file": lambda: path.write_text("precious"), "directory": path.mkdir, "link": lambda: path.symlink_to("/etc")}[
        kind
    ]()
    with pytest.raises(BindError, match="exists and is no socket"):
        bind_listeners(SocketSettings(socket=("a.sock",)))
    assert path.exists()


def test_failure_half_way_leaves_nothing() -> None:
    """When the third address fails, the first two are closed and unlinked."""
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(BindError):
        bind_listeners(SocketSettings(socket=("a.sock", "127.0.0.1:0", "/nonexistent/b.sock")))
    assert os.listdir(".") == []
    assert set(os.listdir("/proc/self/fd")) == before


def test_bad_address_is_found_before_anything_is_opened() -> None:
    """A typing error in the last address costs no socket."""
    with pytest.raises(ConfigError):
        bind_listeners(SocketSettings(socket=("a.sock", "nonsense:port")))
    assert os.listdir(".") == []


def test_port_in_use_names_the_holder() -> None:
    """The commonest error says who has the port; here it is this very process."""
    twice = pytest.raises(BindError, match=r"listens on it already.*given twice")
    with bound(SocketSettings(http_socket=("127.0.0.1:0",))) as (first,), twice:
        bind_listeners(SocketSettings(http_socket=(first.name,)))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("203.0.113.1:0", "no network interface"),
        ("/nonexistent/a.sock", "the directory /nonexistent does not exist"),
        ("no-such-host.invalid:80", "has no address"),
        ("fd://987", "is no open socket"),
    ],
)
def test_reasons(address: str, reason: str) -> None:
    """Common reasons are sentences."""
    with pytest.raises(BindError, match=reason):
        bind_listeners(SocketSettings(socket=(address,)))


def test_inherited_descriptor() -> None:
    """A listening socket that was opened by somebody else is taken over and never unlinked."""
    outer = socket.create_server(("127.0.0.1", 0))
    name = f"127.0.0.1:{outer.getsockname()[1]}"
    fd = outer.detach()
    with bound(SocketSettings(http_socket=(f"fd://{fd}",))) as (listener,):
        assert (listener.name, listener.inherited, listener.created_inode) == (name, True, None)
        assert listener.describe() == f"uwsgi socket 0 inherited INET address {name} fd {fd}"


def test_inherited_descriptor_must_listen() -> None:
    """A connected or unconnected socket is no listener."""
    with socket.socket() as idle, pytest.raises(BindError, match="not listening"):
        bind_listeners(SocketSettings(socket=(f"fd://{idle.fileno()}",)))


def test_vacuum_removes_its_own() -> None:
    """Sockets that were created here are unlinked, with uWSGI's line."""
    listeners = bind_listeners(SocketSettings(socket=("a.sock", "@abstract-vacuum")))
    close_listeners(listeners)
    assert remove_unix_sockets(listeners) == ["VACUUM: unix socket a.sock removed."]
    assert remove_unix_sockets(listeners) == []


def test_vacuum_spares_a_successor() -> None:
    """A file that another server made at the same path stays."""
    listeners = bind_listeners(SocketSettings(socket=("a.sock",)))
    os.rename("a.sock", "old.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("a.sock")
        lines = remove_unix_sockets(listeners)
    close_listeners(listeners)
    assert lines == ["VACUUM WARNING: unix socket a.sock changed inode. Skip removal"]
    assert os.path.exists("a.sock")


def test_backlog(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """0 means min(1024, somaxconn); more than the kernel allows is clamped with a warning."""
    somaxconn = tmp_path / "somaxconn"
    somaxconn.write_text("2000\n")
    monkeypatch.setattr(listener_module, "SOMAXCONN_FILE", somaxconn)
    warnings: list[str] = []
    assert listen_backlog(0, warnings.append) == 1024
    assert listen_backlog(100, warnings.append) == 100
    assert warnings == []
    assert listen_backlog(3000, warnings.append) == 2000
    assert "somaxconn" in warnings[0]
    somaxconn.write_text("128\n")
    assert listen_backlog(0) == 128


def test_newcomers_are_refused_and_those_who_came_are_not(tmp_path: Path) -> None:
    """What happens at a stop: a finished handshake is still accepted, a new one does not begin."""
    tcp, unix = bind_listeners(
        SocketSettings(http_socket=("127.0.0.1:0", str(tmp_path / "x.sock")), defer_accept=False)
    )
    address, path = tcp.socket.getsockname(), str(tmp_path / "x.sock")
    with socket.create_connection(address) as known, socket.socket(socket.AF_UNIX) as known_unix:
        known_unix.connect(path)
        refuse_newcomers((tcp, unix))
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        with socket.socket(socket.AF_UNIX) as newcomer, pytest.raises(ConnectionRefusedError):
            newcomer.connect(path)
        known.send(b"tcp")
        known_unix.send(b"unix")
        for listener, data in ((tcp, b"tcp"), (unix, b"unix")):
            accepted, _ = listener.socket.accept()
            with accepted:
                accepted.settimeout(5)
                assert accepted.recv(9) == data
    close_listeners((tcp, unix))


def test_inherited_sockets_go_on_listening() -> None:
    """systemd's socket has to take the clients of the next start."""
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        (listener,) = bind_listeners(SocketSettings(http_socket=(f"fd://{foreign.fileno()}",)))
        refuse_newcomers((listener,))
        socket.create_connection(foreign.getsockname(), timeout=5).close()


def test_buffers_and_fast_open() -> None:
    """Connections inherit the sizes, which Linux doubles."""
    settings = SocketSettings(
        http_socket=("127.0.0.1:0",), socket_sndbuf=20000, socket_rcvbuf=30000, tcp_fast_open=7, defer_accept=False
    )
    with bound(settings) as (listener,), socket.create_connection(listener.socket.getsockname(), timeout=5):
        assert listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN) == 7
        listener.socket.setblocking(True)
        accepted, _ = listener.socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 40000
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 60000


def test_absurd_buffers_are_cut() -> None:
    settings = SocketSettings(http_socket=("a.sock",), socket_sndbuf=1 << 40, socket_rcvbuf=1 << 40)
    with bound(settings) as (listener,):
        assert listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > 100000


@pytest.mark.parametrize("address", ["203.0.113.77:0", "[2001:db8::77]:0"])
def test_freebind(address: str) -> None:
    """An address that this machine does not have."""
    with bound(SocketSettings(http_socket=(address,), freebind=True)) as (listener,):
        assert listener.socket.getsockname()[0] in ("203.0.113.77", "2001:db8::77")
    with pytest.raises(BindError, match="cannot listen on"), bound(SocketSettings(http_socket=(address,))):
        pass


def test_abstract_sockets_have_no_file(tmp_path: Path) -> None:
    name = f"uwsgi-deploy-{tmp_path}"
    settings = SocketSettings(http_socket=(name, f"@{name}-2"), abstract_socket=True)
    with bound(settings) as listeners:
        assert [listener.name for listener in listeners] == [f"@{name}", f"@{name}-2"]
        assert [listener.created_inode for listener in listeners] == [None, None]
        assert list(tmp_path.iterdir()) == []
