"""Listeners of routers: whose clients they are, and what the kernel does for them."""

from __future__ import annotations

import socket

from uwsgi_deploy.config.settings import SocketSettings
from uwsgi_deploy.net.listener import bind_listeners, close_listeners
from uwsgi_deploy.types import Protocol


def test_only_servers_that_wait_for_their_clients_have_their_accepts_deferred() -> None:
    """A rawrouter's server may be the one who speaks first, and who asks for a router's state says nothing."""
    listeners = bind_listeners(
        SocketSettings(http_socket=("127.0.0.1:0",)),
        routed=[("fastrouter", Protocol.UWSGI, "127.0.0.1:0"), ("rawrouter", Protocol.RAW, "127.0.0.1:0")],
    )
    try:
        deferred = [one.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0 for one in listeners]
        assert deferred == [True, True, False]
        assert [one.routed for one in listeners] == ["", "fastrouter", "rawrouter"]
        assert "uWSGI rawrouter bound on 127.0.0.1:" in listeners[2].describe()
    finally:
        close_listeners(listeners)
