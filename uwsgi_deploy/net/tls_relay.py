"""Connections over TLS that an application took over: a thread encrypts and decrypts behind a plain descriptor.

Applications that talk by themselves (WebSockets) read and write on the connection's descriptor. They get one end of a
socket pair under its number; one thread for all such connections of the process, also under gevent, moves the bytes
between the other end and the client. Loaded with the first of them.
"""

from __future__ import annotations

import os
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from socket import SHUT_WR

from uwsgi_deploy.native import allocate_lock, epoll, socket, socket_pair, start_new_thread
from uwsgi_deploy.net.connection import Connection

_BLOCK = 65536


class Conversation:
    """One connection. Only the thread uses it: `inner` leads to the application, `outer` to the client."""

    def __init__(
        self, inner: socket, outer: socket, session: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self.inner, self.outer = inner, outer
        self._session, self._incoming, self._outgoing = session, incoming, outgoing
        # What the other side has not taken yet. Nothing more is read for it meanwhile.
        self._to_application = b""
        self._to_client = b""
        self._client_ended = self._application_ended = False
        # Both directions are closed, or broken: what was said before is in the kernel, and nothing more will come.
        self.client_left = self.application_left = False

    @property
    def is_over(self) -> bool:
        """Whether nobody is left to move anything for."""
        return (self.application_left and not self._to_client) or (self.client_left and not self._to_application)

    def wanted(self) -> tuple[int, int]:
        """What to wait for, inside and outside."""
        inner = EPOLLOUT if self._to_application else 0
        outer = EPOLLOUT if self._to_client else 0
        if not (self._to_client or self._application_ended):
            inner |= EPOLLIN
        if not (self._to_application or self._client_ended):
            outer |= EPOLLIN
        return inner, outer

    def move(self) -> None:
        """Read what can be read and send what can be sent. Raises OSError when one side cannot be spoken with."""
        if not self._client_ended and (self.client_left or not self._to_application):
            self._from_client()
        if self._to_application:
            self._to_application = _send(self.inner, self._to_application)
        if self._client_ended and not self._to_application:
            with suppress(OSError):
                self.inner.shutdown(SHUT_WR)
        if not self._application_ended and (self.application_left or not self._to_client):
            self._from_application()
        self._to_client += self._outgoing.read()
        if self._to_client:
            self._to_client = _send(self.outer, self._to_client)
        if self._application_ended and not self._to_client:
            with suppress(OSError):
                self.outer.shutdown(SHUT_WR)

    def _from_client(self) -> None:
        """What came is decrypted as far as it goes; the library keeps the beginning of a record."""
        for raw in _received(self.outer, all_of_it=self.client_left):
            if raw:
                self._incoming.write(raw)
            else:
                self._client_ended = True
        pieces: list[bytes] = []
        try:
            while piece := self._session.read(_BLOCK):
                pieces.append(piece)
            self._client_ended = True  # its goodbye
        except ssl.SSLWantReadError:
            pass
        self._to_application += b"".join(pieces)

    def _from_application(self) -> None:
        for data in _received(self.inner, all_of_it=self.application_left):
            if data:
                rest = memoryview(data)
                while rest:
                    rest = rest[self._session.write(rest) :]
            else:
                self._say_goodbye()

    def _say_goodbye(self) -> None:
        """The application says nothing more."""
        self._application_ended = True
        with suppress(OSError):  # the library would like to hear the client's goodbye
            self._session.unwrap()

    def close(self) -> None:
        """Close both sides."""
        self.inner.close()
        self.outer.close()


def _received(side: socket, *, all_of_it: bool) -> Iterator[bytes]:
    """A block that is there, or all; b"" last if that was all that will ever come."""
    try:
        while data := side.recv(_BLOCK):
            yield data
            if not all_of_it:
                return
        yield b""
    except BlockingIOError:
        return


def _send(where: socket, data: bytes) -> bytes:
    try:
        return data[where.send(data) :]
    except BlockingIOError:
        return data


class Relay:
    """The thread, and what it looks after."""

    def __init__(self) -> None:
        self._epoll = epoll()
        self._of: dict[int, Conversation] = {}
        self._masks: dict[int, int] = {}
        self._new: deque[Conversation] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, EPOLLIN)
        start_new_thread(self._run, ())

    def add(self, conversation: Conversation) -> None:
        """Begin to look after it; from any thread."""
        self._new.append(conversation)
        os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        while True:
            for fd, mask in self._epoll.poll():
                conversation = self._of.get(fd)
                if conversation is not None:
                    self._turn(conversation, fd, is_left=bool(mask & (EPOLLHUP | EPOLLERR)))
                elif fd == self._bell:
                    os.eventfd_read(fd)
                    while self._new:
                        self._begin(self._new.popleft())

    def _begin(self, conversation: Conversation) -> None:
        for side in (conversation.inner, conversation.outer):
            self._of[side.fileno()] = conversation
            self._masks[side.fileno()] = EPOLLIN
            self._epoll.register(side.fileno(), EPOLLIN)
        self._turn(conversation, -1, is_left=False)  # something may be decrypted already

    def _turn(self, conversation: Conversation, fd: int, *, is_left: bool) -> None:
        if is_left:
            self._ignore(fd)  # or it would say so all the time
            if fd == conversation.inner.fileno():
                conversation.application_left = True
            else:
                conversation.client_left = True
        try:
            conversation.move()
        except OSError:  # ssl's errors are such
            is_over = True
        else:
            is_over = conversation.is_over
        if is_over:
            for side in (conversation.inner, conversation.outer):
                self._ignore(side.fileno())
            conversation.close()
            return
        for side, wanted in zip((conversation.inner, conversation.outer), conversation.wanted(), strict=True):
            if self._masks.get(side.fileno(), wanted) != wanted:
                self._masks[side.fileno()] = wanted
                self._epoll.modify(side.fileno(), wanted)

    def _ignore(self, fd: int) -> None:
        if self._of.pop(fd, None) is not None:
            del self._masks[fd]
            self._epoll.unregister(fd)


_relay: Relay | None = None
_relay_lock = allocate_lock()


def take(connection: Connection, session: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    """Put a plain descriptor in the place of `connection.fd`, and go on with the session behind it."""
    global _relay
    outer = socket(fileno=os.dup(connection.fd))
    inner, theirs = socket_pair()
    for one in (outer, inner, theirs):
        one.setblocking(False)
    os.dup2(theirs.fileno(), connection.fd, inheritable=False)
    theirs.close()
    with _relay_lock:
        if _relay is None:
            _relay = Relay()
    _relay.add(Conversation(inner, outer, session, incoming, outgoing))
