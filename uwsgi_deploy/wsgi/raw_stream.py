"""A request that asks for another protocol (`Upgrade`): the application may take the connection over.

Made for such requests only (`Worker.serve`); an application that answers as usual never notices. Taken over, the
connection belongs to the application: the server neither writes nor reads on it any more, drops what the application
may still return, sets the request's deadline aside, and lets go of the connection when the request ends. Applications
do so in two ways: through `environ["werkzeug.socket"]`, where simple-websocket (flask-sock, python-socketio) looks for
a socket, and through the functions of the `uwsgi` module (`api.websockets`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from uwsgi_deploy.net.connection import Connection, State
from uwsgi_deploy.net.reactor import Reactor
from uwsgi_deploy.protocol.messages import UPGRADE, Environ
from uwsgi_deploy.wsgi.response import SWITCHING_PROTOCOLS, Response

if TYPE_CHECKING:
    from uwsgi_deploy.wsgi.websocket import Conversation

SOCKET_KEY = "werkzeug.socket"
# What may be asked of the socket without taking the connection over.
_HARMLESS = frozenset({"family", "type", "proto", "getpeername", "getsockname", "gettimeout", "timeout"})

_current: ContextVar[RawStream] = ContextVar("uwsgi_deploy raw stream")


class RawStream:
    """The connection of one request, for its application to take over.

    on_taken: called once when it does. Attributes are for `api.websockets`: `connection` to read and write on after
    `take()`, `environ`, and `count` to be told of bytes that were sent. at_end: called when the application has
    returned, or raised (True).
    """

    def __init__(
        self,
        connection: Connection,
        environ: Environ,
        response: Response,
        reactor: Reactor,
        on_taken: Callable[[], object],
    ) -> None:
        self.connection, self.environ, self.response = connection, environ, response
        self._reactor, self._on_taken = reactor, on_taken
        self.taken = False
        self.at_end: Callable[[bool], object] = _nothing
        self.conversation: Conversation | None = None

    def take(self) -> None:
        """The connection is the application's from now on. Raises RuntimeError when a response has begun, or is over.

        Once: another call does nothing.
        """
        if not self.is_running:
            raise RuntimeError("the request whose connection this is has ended")
        if self.taken:
            return
        response = self.response
        if response.started:
            raise RuntimeError("the response has begun: its connection cannot be taken over any more")
        self.taken = True
        response.give_way(self._end, self._fail)
        connection = self.connection
        if connection.registered:  # a copy of the descriptor would go on to report events after the connection's end
            connection.registered = False
            self._reactor.unwatch(connection.fd)
        connection.hand_over()
        # Nothing is left to wait for when the request is over: then the descriptor is closed at once, without a word.
        connection.keep_alive, connection.eof = False, True
        connection.live_length = UPGRADE
        if self._reactor.draining:
            connection.end_input()
        self._on_taken()

    @property
    def is_running(self) -> bool:
        """Whether the request still is the one that this connection serves."""
        return self.connection.environ is self.environ and self.connection.state is State.BUSY

    def count(self, size: int) -> None:
        """Bytes that the application sent, for the log and the statistics."""
        self.response.sent_body += size

    def _end(self, _result: Iterable[bytes]) -> None:
        """In place of the response: the application returned."""
        self.response.status = SWITCHING_PROTOCOLS  # whatever it has said since
        self.at_end(False)

    def _fail(self, *_answer: object) -> bool:
        """In place of an error page: the application raised."""
        self.response.status = SWITCHING_PROTOCOLS
        self.at_end(True)
        return False


class RawSocket:
    """`environ["werkzeug.socket"]`: becomes a blocking socket, the application's own, when it is first used.

    It has a copy of the descriptor, so that it may outlive the request in a thread or greenlet of the application's,
    which then has to close it. With gevent's patches it is gevent's socket.
    """

    def __init__(self, stream: RawStream) -> None:
        self._stream = stream
        self._socket: socket.socket | None = None
        self._unread = b""

    def _use(self) -> socket.socket:
        if self._socket is None:
            stream = self._stream
            stream.take()
            self._socket = self._copy()
            self._socket.setblocking(True)
            self._unread, stream.connection.inbox = stream.connection.inbox, b""
        return self._socket

    def _copy(self) -> socket.socket:
        return socket.socket(fileno=os.dup(self._stream.connection.fd))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _HARMLESS and self._socket is None:
            with self._copy() as copy:
                value = getattr(copy, name)
                return (lambda result: lambda: result)(value()) if callable(value) else value
        return getattr(self._use(), name)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As a socket's; first comes what the client sent right behind its request."""
        connection = self._use()
        if self._unread:
            data, self._unread = self._unread[:size], self._unread[size:]
            return data
        return connection.recv(size, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As a socket's."""
        connection = self._use()
        if not self._unread:
            return connection.recv_into(buffer, nbytes, flags)
        data = self.recv(nbytes or len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: Any, flags: int = 0) -> int:
        """As a socket's."""
        connection = self._use()
        if connection.gettimeout() is None:
            # One that blocks sends all, as the kernel's do, and as libraries rely on: gevent's would send some of it.
            self.sendall(data, flags)
            return len(data)
        sent = connection.send(data, flags)
        self._stream.count(sent)
        return sent

    def sendall(self, data: Any, flags: int = 0) -> None:
        """As a socket's."""
        self._use().sendall(data, flags)
        self._stream.count(len(data))

    def __enter__(self) -> RawSocket:
        return self

    def __exit__(self, *_error: object) -> None:
        self._use().close()


def offer(
    connection: Connection,
    environ: Environ,
    response: Response,
    reactor: Reactor,
    on_taken: Callable[[], object],
) -> None:
    """Let the application that is about to be called take the connection over."""
    connection.live_length = 0  # it said what the request asks for; an ordinary answer may keep the connection
    stream = RawStream(connection, environ, response, reactor, on_taken)
    environ[SOCKET_KEY] = RawSocket(stream)
    _current.set(stream)


def current() -> RawStream | None:
    """What the running request was offered; None when it was nothing."""
    stream = _current.get(None)
    return stream if stream is not None and stream.is_running else None


def _nothing(_failed: bool) -> None:
    """The application sees to the end itself."""
