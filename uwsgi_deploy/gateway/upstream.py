"""A connection to a server: connects, sends and reads without waiting. Its `Exchange` or `Stream` decides."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from io import BytesIO
from os import close
from select import EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP, epoll
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from uwsgi_deploy.net.connection import FileSlice
from uwsgi_deploy.protocol.routed import GREETING
from uwsgi_deploy.types import Protocol

if TYPE_CHECKING:
    from uwsgi_deploy.gateway.backends import Backend
    from uwsgi_deploy.gateway.passage import Passage

# Family and address, as socket(2) and connect(2) want them.
Target: TypeAlias = tuple[int, Any]

READ_SIZE = 65536
_COPY_LIMIT = 65536
_FAIR_SHARE = 4 << 20
_READING = EPOLLIN | EPOLLRDHUP | EPOLLET
_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EALREADY})
_LINGER_ZERO = struct.pack("ii", 1, 0)
_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN})


def is_shortage(error: OSError) -> bool:
    """Whether a connection cannot be made for the moment, and nothing says that the server cannot be reached.

    This process or the machine has run out of descriptors, memory or ports, or the server's listen queue is full.
    """
    return error.errno in _SHORTAGE


class Upstream:
    """See the module. pid: of the worker at the other end, 0 until it is known. greeting: bytes of its greeting that
    are still to come. is_reused: it has carried another request before; is_ahead: its worker was busy when it got this
    one. exchange: whose request it carries, if any.
    """

    __slots__ = (
        "_epoll",
        "_events",
        "backend",
        "exchange",
        "fd",
        "greeting",
        "is_ahead",
        "is_connecting",
        "is_reused",
        "keeps",
        "outbox",
        "pid",
        "since",
    )

    def __init__(self, poller: epoll, backend: Backend, target: Target) -> None:
        """Raises OSError; see `is_shortage`."""
        self._epoll, self.backend = poller, backend
        self.exchange: Passage | None = None
        self.since, self.is_ahead = 0.0, False
        self.outbox: deque[bytes | memoryview | FileSlice] = deque()
        self.pid, self.is_reused, self.keeps = 0, False, True
        self.greeting = GREETING.size if backend.speaks is Protocol.ROUTED else 0
        family, address = target
        made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            failure = made.connect_ex(address)
            if failure and failure not in _UNDER_WAY:
                raise OSError(failure, os.strerror(failure))
            if family != socket.AF_UNIX:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            made.close()
            raise
        self.is_connecting = failure in _UNDER_WAY
        self.fd = made.detach()
        self._events = 0

    def connected(self) -> int:
        """After the first event of a connection that was being made: 0, or the number of what went wrong."""
        made = socket.socket(fileno=self.fd)  # not of a copy: there may be no descriptor left
        failure = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        made.detach()
        self.is_connecting = False
        return failure

    def put(self, head: bytes, body: BinaryIO | None) -> None:
        """What to send: the head of a request and its body, from its beginning. Raises OSError without descriptors."""
        outbox = self.outbox
        if body is None:
            outbox.append(head)
        elif isinstance(body, BytesIO):
            content = body.getvalue()
            if len(content) <= _COPY_LIMIT:
                outbox.append(head + content)
            else:
                outbox.append(head)
                outbox.append(content)
        else:
            outbox.append(head)
            if size := os.fstat(body.fileno()).st_size:
                outbox.append(FileSlice(os.dup(body.fileno()), 0, size))

    def flush(self) -> int:
        """Send what the kernel takes, within a fair share; how many bytes. Raises OSError when the server is gone."""
        outbox, share = self.outbox, _FAIR_SHARE
        try:
            while outbox and share > 0:
                piece = outbox[0]
                if isinstance(piece, FileSlice):
                    share -= piece.send_to(self.fd)
                    if piece.left:
                        continue
                    piece.close()
                else:
                    sent = os.write(self.fd, piece)
                    share -= sent
                    if sent < len(piece):
                        outbox[0] = memoryview(piece)[sent:]
                        continue
                outbox.popleft()
        except BlockingIOError:
            pass
        self.watch()
        return _FAIR_SHARE - share

    def watch(self) -> None:
        """Hear of what the server sends, and of room for what is still to be sent."""
        wanted = _READING | EPOLLOUT if self.outbox or self.is_connecting else _READING
        if not self._events:
            self._epoll.register(self.fd, wanted)
            self._events = wanted
        elif wanted & ~self._events:
            self._epoll.modify(self.fd, wanted)
            self._events = wanted

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken."""
        return sum(len(piece) for piece in self.outbox)

    def end_output(self) -> None:
        """Tell the server that nothing more will be sent. Raises OSError."""
        peer = socket.socket(fileno=self.fd)
        try:
            peer.shutdown(socket.SHUT_WR)
        finally:
            peer.detach()

    def prepare_reset(self) -> None:
        """Make the close a reset."""
        peer = socket.socket(fileno=self.fd)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        peer.detach()

    def drop_output(self) -> None:
        """Forget what is still to be sent."""
        for piece in self.outbox:
            if isinstance(piece, FileSlice):
                piece.close()
        self.outbox.clear()

    def close(self) -> None:
        """Close the connection, once."""
        if self.fd >= 0:
            self.drop_output()
            close(self.fd)
            self.fd = -1
