"""Which of the manager's sockets an address means."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from uwsgi_deploy.config.platform import ActivatedSocket
from uwsgi_deploy.config.settings import SocketSettings
from uwsgi_deploy.errors import BindError
from uwsgi_deploy.net.activation import resolve, unused
from uwsgi_deploy.net.address import InheritedAddress, parse_address
from uwsgi_deploy.net.listener import bind_listeners, close_listeners


def test_a_name_means_all_sockets_of_that_name() -> None:
    activated = (ActivatedSocket(3, "web"), ActivatedSocket(4, "admin"), ActivatedSocket(5, "web"))
    assert resolve(parse_address("fd://web"), activated) == [InheritedAddress(3), InheritedAddress(5)]
    assert resolve(parse_address("fd://4"), activated) == [InheritedAddress(4)]


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    with pytest.raises(BindError, match="no socket of that name, but: web, admin"):
        resolve(parse_address("fd://wep"), (ActivatedSocket(3, "web"), ActivatedSocket(4, "admin")))


def test_a_name_without_a_manager() -> None:
    with pytest.raises(BindError, match=r"no service manager opened sockets .*\n?.*\.socket"):
        resolve(parse_address("fd://web"), ())


def test_an_address_means_the_open_socket_that_is_bound_to_it(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.create_server(("", 0)) as everywhere,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(path))
        activated = tuple(ActivatedSocket(end.fileno(), "") for end in (tcp, everywhere, unix))
        for text, end in (
            (f"127.0.0.1:{tcp.getsockname()[1]}", tcp),
            (f":{everywhere.getsockname()[1]}", everywhere),
            (f"0.0.0.0:{everywhere.getsockname()[1]}", everywhere),
            (str(path), unix),
        ):
            assert resolve(parse_address(text), activated) == [InheritedAddress(end.fileno())], text
        for text in ("127.0.0.1:0", f"127.0.0.1:{everywhere.getsockname()[1]}", str(tmp_path / "other.sock")):
            assert resolve(parse_address(text), activated) == [parse_address(text)], text


def test_a_socket_that_nobody_asked_for_is_mentioned() -> None:
    """Clients of it would wait for ever."""
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        activated = (ActivatedSocket(first.fileno(), "web"), ActivatedSocket(second.fileno(), "admin"))
        listeners = bind_listeners(SocketSettings(http_socket=("fd://web",)), warn=said.append, activated=activated)
        assert [(listener.inherited, listener.socket.fileno()) for listener in listeners] == [(True, first.fileno())]
        assert said == unused(activated, {first.fileno()})
        assert f"fd {second.fileno()} (admin); add http-socket = fd://admin" in said[0]
        for listener in listeners:
            listener.socket.detach()
    close_listeners(listeners)
