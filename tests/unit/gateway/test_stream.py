"""A client and its server, connected: what another server gets when the first one took nothing."""

from __future__ import annotations

import socket
from collections import deque
from types import SimpleNamespace
from typing import Any

from uwsgi_deploy.gateway.backends import Backend
from uwsgi_deploy.gateway.reactor import NO_CODEC, never_wait
from uwsgi_deploy.gateway.stream import Stream
from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.types import Protocol


class Server:
    """A connection to a server that takes nothing, and ends with an error when it is asked the second time."""

    def __init__(self, *, breaks: bool) -> None:
        self.backend = Backend("server", Protocol.UWSGI)
        self.exchange: Stream | None = None
        self.outbox: deque[bytes] = deque()
        self.is_connecting, self._breaks, self._flushes = False, breaks, 0
        self._own, peer = socket.socketpair()
        self._own.setblocking(False)
        self.fd = self._own.fileno()
        self._peer = None if breaks else peer
        if breaks:
            peer.close()

    @property
    def unsent(self) -> int:
        return sum(map(len, self.outbox))

    def watch(self) -> None:
        """See `Upstream`."""

    def flush(self) -> int:
        self._flushes += 1
        if self._breaks and self._flushes > 1:
            raise ConnectionResetError(104, "reset")
        return 0

    def drop_output(self) -> None:
        self.outbox.clear()


class Dispatcher:
    """Notes who could not be reached."""

    def __init__(self) -> None:
        self.unreached: list[str] = []

    def leave(self, upstream: Server, *, reusable: bool) -> None:
        """See `Dispatcher`."""

    def unreachable(self, _stream: Stream, backend: Backend, error: OSError) -> None:
        self.unreached.append(f"{backend.name}: {error.strerror}")


def test_what_no_server_took_is_kept_for_the_next_one() -> None:
    own, client = socket.socketpair()
    own.setblocking(False)
    connection = Connection(own.fileno(), NO_CODEC, None, send_timeout=1.0, wait=never_wait)
    dispatcher = Dispatcher()
    router: Any = SimpleNamespace(
        is_raw=False, patience=1.0, connect_timeout=1.0, dispatcher=dispatcher, reactor=SimpleNamespace(now=0.0)
    )
    stream = Stream(router, connection, host="key", first=b"packet ", method="POST")
    client.sendall(b"body")
    broken: Any = Server(breaks=True)
    stream.use(broken)
    assert dispatcher.unreached == ["server: reset"]
    assert (broken.backend.active, stream.upstream) == (0, None)
    other: Any = Server(breaks=False)
    stream.use(other)
    assert b"".join(other.outbox) == b"packet body"
    own.close()
    client.close()
