"""`wsgi.input` of a request that was not buffered (`post-buffering = 0`): reads from the client, blocking its core."""

from __future__ import annotations

import io
from typing import Any

from uwsgi_deploy.errors import ClientGone, ProtocolError, RequestBodyError
from uwsgi_deploy.net.connection import Connection
from uwsgi_deploy.protocol.responses import CONTINUE

_BLOCK = 65536


class LiveBody(io.RawIOBase):
    """The raw side; wrap it with `live_input`. Ends where the body ends, never in the next request.

    Raises RequestBodyError when the client pauses over `timeout` seconds, on broken chunks and over `limit` bytes
    (0: no limit), and ClientGone when it leaves early.
    """

    def __init__(self, connection: Connection, *, timeout: float, limit: int) -> None:
        super().__init__()
        self._connection, self._timeout, self._limit = connection, timeout, limit
        length = connection.live_length
        self._decoder = connection.body_decoder(length)
        self._left = length
        self._content = b""
        self._size = 0
        facts = connection.facts
        self._continue = facts is not None and facts.expects_continue and not connection.inbox

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what comes next; 0 at the end of the body."""
        if not self._content:
            if not self._connection.live_length:
                return 0
            self._content = self._receive(len(buffer))
        count = min(len(buffer), len(self._content))
        buffer[:count] = self._content[:count]
        self._content = self._content[count:]
        return count

    def _receive(self, size: int) -> bytes:
        connection = self._connection
        if self._continue:
            self._continue = False
            connection.send(CONTINUE)
        while True:
            wanted = _BLOCK if self._decoder else min(self._left, max(size, 1))
            data = self._read(wanted)
            if not data:
                connection.eof = True
                raise ClientGone("the client left before the end of the request body")
            content = self._unframe(data)
            if content or not connection.live_length:
                return content

    def _read(self, size: int) -> bytes:
        try:
            return self._connection.receive(size, self._timeout)
        except TimeoutError as error:
            raise RequestBodyError(408, str(error)) from None
        except OSError as error:
            raise ClientGone(error.errno, error.strerror) from None

    def _unframe(self, data: bytes) -> bytes:
        connection = self._connection
        if self._decoder is None:
            self._left -= len(data)
            connection.live_length = self._left
            return data
        try:
            content = b"".join(self._decoder.feed(data))
            self._size += len(content)
            if self._limit and self._size > self._limit:
                raise ProtocolError(413, f"the request body is larger than {self._limit} bytes (limit-post)")
        except ProtocolError as error:
            raise RequestBodyError(error.status, error.detail) from error
        if self._decoder.done:
            connection.live_length = 0
            connection.inbox = self._decoder.rest + connection.inbox
        return content


def live_input(connection: Connection, *, timeout: float, limit: int) -> io.BufferedReader:
    """A `wsgi.input` for a body that is still on its way."""
    return io.BufferedReader(LiveBody(connection, timeout=timeout, limit=limit), _BLOCK)
