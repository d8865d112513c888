"""A socket that only heirs of a descriptor reach."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from uwsgi_deploy.net import private_socket
from uwsgi_deploy.net.private_socket import is_shut, open_private_socket


def connects(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(f"\0{address[1:]}" if address.startswith("@") else address) == 0


def test_it_has_no_name_and_is_reached_by_a_descriptor(tmp_path: Path) -> None:
    made = open_private_socket({"XDG_RUNTIME_DIR": str(tmp_path)})
    try:
        made.socket.listen()
        assert list(tmp_path.iterdir()) == []
        assert not made.is_open
        assert connects(made.address)
        assert os.readlink(made.address).startswith(str(tmp_path))  # it was made there
        os.close(made.way)
        assert not connects(made.address)
    finally:
        made.socket.close()


def test_without_a_writable_directory_it_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(private_socket, "PLACES", (str(tmp_path / "nowhere"),))
    made = open_private_socket({})
    with made.socket:
        made.socket.listen()
        assert made.is_open
        assert made.address.startswith("@")
        assert connects(made.address)


def test_what_is_shut_anywhere_is_shut() -> None:
    """Another process's shutdown is seen, a connection that waits is not one."""
    made = open_private_socket({})
    os.close(made.way)
    with made.socket as door:
        door.listen()
        assert not is_shut(door)
        with socket.socket(fileno=os.dup(door.fileno())) as other:
            other.shutdown(socket.SHUT_RD)
        assert is_shut(door)
    assert is_shut(door)
