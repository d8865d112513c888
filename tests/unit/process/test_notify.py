"""systemd's notification protocol, against a socket of our own in the manager's place."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from uwsgi_deploy.process.notify import forget_manager, notifier_of

PID = 4711


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A datagram socket at a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(5)
        yield end


def test_assignments_go_out_in_one_datagram(manager: socket.socket) -> None:
    notifier = notifier_of({"NOTIFY_SOCKET": manager.getsockname()}, PID, print)
    assert notifier is not None
    notifier.send("READY=1", "STATUS=fine")
    assert manager.recv(100) == b"READY=1\nSTATUS=fine"
    notifier.close()


def test_abstract_names() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("")  # the kernel chooses an abstract name
        end.settimeout(5)
        notifier = notifier_of({"NOTIFY_SOCKET": "@" + end.getsockname()[1:].decode()}, PID, print)
        assert notifier is not None
        notifier.send("READY=1")
        assert end.recv(100) == b"READY=1"
        notifier.close()


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(PID)}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_watchdog(manager: socket.socket, variables: dict[str, str], seconds: float | None) -> None:
    """WATCHDOG_USEC counts for the process that WATCHDOG_PID names, or for all."""
    notifier = notifier_of({"NOTIFY_SOCKET": manager.getsockname(), **variables}, PID, print)
    assert notifier is not None
    assert notifier.watchdog == seconds
    notifier.close()


def test_without_a_manager() -> None:
    said: list[str] = []
    assert notifier_of({}, PID, said.append) is None
    assert said == []


@pytest.mark.parametrize("name", ["relative", "vsock:2:1234", "/nonexistent/notify"])
def test_a_manager_that_cannot_be_reached_stops_nobody(name: str) -> None:
    said: list[str] = []
    assert notifier_of({"NOTIFY_SOCKET": name}, PID, said.append) is None
    assert len(said) == 1
    assert name in said[0]


def test_a_manager_that_goes_is_mentioned_once(manager: socket.socket) -> None:
    said: list[str] = []
    notifier = notifier_of({"NOTIFY_SOCKET": manager.getsockname()}, PID, said.append)
    assert notifier is not None
    manager.close()
    notifier.send("STATUS=one")
    notifier.send("STATUS=two")
    assert [line for line in said if "STATUS=one" in line] == said
    assert len(said) == 1
    notifier.close()


def test_children_inherit_nothing_of_it() -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "LISTEN_FDS": "1", "LISTEN_PID": "1", "HOME": "/"}
    forget_manager(environ)
    assert environ == {"HOME": "/"}
