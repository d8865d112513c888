"""What the reactor and the dispatchers of a router know of those that they serve: an `Exchange` or a `Stream`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.net.connection import Connection

if TYPE_CHECKING:
    from uwsgi_deploy.gateway.backends import Backend
    from uwsgi_deploy.gateway.reactor import GatewayReactor
    from uwsgi_deploy.gateway.upstream import Upstream


class Owner(Protocol):
    """The router: how long it waits, in seconds, and what it knows of the workers behind it."""

    @property
    def reactor(self) -> GatewayReactor:
        """Whose round it is."""

    @property
    def connect_timeout(self) -> float:
        """For a connection to a server."""

    @property
    def workers_wait_for_bodies(self) -> bool:
        """Whether own workers call the application only with the whole body at hand."""

    def shortage(self, error: OSError) -> None:
        """A connection to a server cannot be made for the moment."""


class Passage(Protocol):
    """A client's connection and, once there is one, that to its server.

    deadline: monotonic seconds. host: by which a server is chosen. tried: servers that could not take it.
    """

    connection: Connection
    deadline: float
    host: str
    tried: list[Backend]
    is_over: bool

    @property
    def router(self) -> Owner:
        """Whose it is."""

    @property
    def is_idempotent(self) -> bool:
        """Whether its request may be sent twice."""

    def use(self, upstream: Upstream) -> None:
        """Go on with this connection to a server."""

    def fail(self, error: ProtocolError, *, backend: Backend | None = None, retry_after: int = 0) -> None:
        """There is no server for it."""

    def failed(self, error: Exception) -> None:
        """Something about it is wrong in the router itself: say so, and end it."""

    def upstream_event(self, mask: int) -> None:
        """Something happened on the connection to the server."""

    def client_event(self, mask: int) -> None:
        """Something happened on the client's connection."""

    def too_late(self) -> None:
        """The deadline has passed."""

    def router_leaves(self) -> None:
        """The router is to end as soon as its clients allow that."""
