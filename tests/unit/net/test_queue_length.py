"""The kernel's count of waiting clients, for each kind of listening socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from uwsgi_deploy.net.queue_length import queue_length


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_queue_length(family: socket.AddressFamily, tmp_path: Path) -> None:
    """Grows with each client, shrinks with each accept."""
    addresses = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0), socket.AF_UNIX: str(tmp_path / "s")}
    with socket.socket(family) as listener:
        listener.bind(addresses[family])
        listener.listen(10)
        assert queue_length(listener) == 0
        clients = [socket.socket(family) for _ in range(3)]
        for number, client in enumerate(clients, 1):
            client.connect(listener.getsockname())
            assert queue_length(listener) == number
        listener.accept()[0].close()
        assert queue_length(listener) == 2
        for client in clients:
            client.close()
