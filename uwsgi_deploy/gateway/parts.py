"""What one process of a router is made of, whatever its kind: put together by `entry` or `streams`, run by `entry`."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from uwsgi_deploy.gateway.backends import Balancer
from uwsgi_deploy.gateway.dispatch import Dispatcher
from uwsgi_deploy.gateway.reactor import GatewayReactor
from uwsgi_deploy.net.connection import Connection

# Clients that are accepted in one round: alone, and where other processes of the router take some.
ROOM, SHARE = 256, 4


class Forwarder(Protocol):
    """Who finds servers for clients, and counts them."""

    reactor: GatewayReactor
    requests: int
    refused: int
    lost_clients: int
    statuses: list[int]

    def begin(self, connection: Connection) -> None:
        """Serve a client who has said enough."""


class Parts(NamedTuple):
    """See the module. harakiri: seconds, 0 for none."""

    reactor: GatewayReactor
    router: Forwarder
    balancer: Balancer
    dispatcher: Dispatcher
    keeps_alive: bool
    harakiri: float
