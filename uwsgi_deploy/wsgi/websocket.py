"""A WebSocket conversation on a connection that the application took over: handshake, messages, pings, the end.

Blocks its core (thread or greenlet) while it waits. One thread or greenlet reads; any of the worker may send.
Used by `api.websockets`; libraries that speak WebSocket themselves use `raw_stream.RawSocket`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from select import POLLOUT
from threading import Lock
from time import monotonic

from uwsgi_deploy.errors import ClientGone
from uwsgi_deploy.protocol.websocket import (
    BrokenFrame,
    CloseCode,
    Messages,
    Opcode,
    accept_key,
    close_payload,
    encode,
)
from uwsgi_deploy.wsgi.raw_stream import RawStream

_READ_SIZE = 65536
_HEAD = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"


class ConversationOver(OSError):
    """The peer closed the WebSocket, broke its protocol, or is gone."""


@dataclass(frozen=True, slots=True)
class Rules:
    """max_size: most bytes of a message. ping_after: seconds of silence before a ping; patience: seconds that the
    answer to it may take."""

    max_size: int
    ping_after: float
    patience: float


class Conversation:
    """See the module. complain: told in a sentence why a conversation was ended here."""

    def __init__(self, stream: RawStream, rules: Rules, complain: Callable[[str], object]) -> None:
        self._stream, self._rules, self._complain = stream, rules, complain
        self._connection = stream.connection
        self._messages = Messages(rules.max_size)
        self._ping_at = monotonic() + rules.ping_after
        self._pong_until = 0.0
        self._over = False
        # Never held over a wait: with gevent it may be a lock that knows nothing of greenlets.
        self._sending = Lock()

    def shake_hands(self, key: str, origin: str, protocol: str) -> None:
        """Take the connection over and answer the request with 101. Raises ValueError when the key is none.

        origin, protocol: sent back if they are not empty.
        """
        accept = accept_key(key)
        extra = f"Sec-WebSocket-Origin: {origin}\r\n" if origin else ""
        extra += f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
        self._stream.take()
        self._stream.at_end = self._end
        self._messages.feed(self._connection.inbox)
        self._connection.inbox = b""
        self._write(f"{_HEAD}{extra}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode("latin-1"))

    # -- receiving -----------------------------------------------------------------------------------------------------

    def receive(self) -> bytes:
        """Wait for a message; its bytes, a text's as UTF-8. Raises ConversationOver."""
        while True:
            message = self._next()
            if message is not None:
                return message
            self._wait()

    def receive_now(self) -> bytes:
        """A message that has come already; b"" when none has. Raises ConversationOver."""
        while True:
            message = self._next()
            if message is not None:
                return message
            if not self._read():
                self._look_at_the_clock()
                return b""

    def _next(self) -> bytes | None:
        """The next whole message of what was read; answers pings on the way."""
        if self._over:
            raise ConversationOver("the WebSocket is closed")
        try:
            while (found := self._messages.next()) is not None:
                self._pong_until = 0.0
                self._ping_at = monotonic() + self._rules.ping_after
                kind, payload = found
                if kind is Opcode.PING:
                    self._send(Opcode.PONG, payload)
                elif kind is Opcode.CLOSE:
                    self._close(payload[:2])
                    raise ConversationOver("the client closed the WebSocket")
                elif kind is not Opcode.PONG:
                    return payload
        except BrokenFrame as error:
            self._complain(f"a WebSocket is closed: {error.detail}")
            self._close(close_payload(error.code, error.detail))
            raise ConversationOver(error.detail) from None
        return None

    def _read(self) -> bool:
        """Take what has come; False when nothing has. Raises ConversationOver at the end of input."""
        try:
            data = os.read(self._connection.fd, _READ_SIZE)
        except BlockingIOError:
            return False
        except OSError as error:
            self._over = True
            raise ConversationOver(error.errno, error.strerror) from None
        if not data:
            self._input_ended()
        self._messages.feed(data)
        return True

    def _wait(self) -> None:
        """Wait for bytes, and for the time of the next ping."""
        until = self._pong_until or self._ping_at
        try:
            data = self._connection.receive(_READ_SIZE, max(until - monotonic(), 0.0))
        except TimeoutError:
            self._look_at_the_clock()
            return
        except OSError as error:
            self._over = True
            raise ConversationOver(error.errno, error.strerror) from None
        if not data:
            self._input_ended()
        self._messages.feed(data)

    def _input_ended(self) -> None:
        """The client left without a word, or this worker ends (`Connection.end_input`) and says so."""
        self._close(close_payload(CloseCode.GOING_AWAY))
        raise ConversationOver("the client left")

    def _look_at_the_clock(self) -> None:
        """Ping a silent peer; give one up that does not answer."""
        now = monotonic()
        if self._pong_until and now >= self._pong_until:
            self._complain(f"no PONG received in {self._rules.patience:g} seconds !!!")
            self._over = True
            raise ConversationOver("the client does not answer")
        if not self._pong_until and now >= self._ping_at:
            self._pong_until = now + self._rules.patience
            self._send(Opcode.PING, b"")

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(self, kind: Opcode, payload: bytes) -> None:
        """Send a message, and wait until the kernel has taken it. Raises ConversationOver."""
        if self._over:
            raise ConversationOver("the WebSocket is closed")
        self._send(kind, payload)

    def _send(self, kind: Opcode, payload: bytes) -> None:
        self._write(encode(kind, payload))

    def _write(self, data: bytes) -> None:
        """Send, and wait until the kernel has taken everything. Frames of several senders do not mix."""
        try:
            with self._sending:
                if self._over:  # then the descriptor may be another client's already
                    raise ConversationOver("the WebSocket is closed")
                self._connection.send(data)
                self._stream.count(len(data))
            while not self._sent():
                pass
        except ClientGone as error:
            self._over = True
            raise ConversationOver(*error.args) from None

    def _sent(self) -> bool:
        """Send more of what is left, or wait until that is possible; whether nothing is left. Raises ClientGone."""
        connection = self._connection
        with self._sending:
            if self._over or connection.send_more():
                return True
        seconds = connection.send_timeout
        if not connection.writable and not connection.wait(connection.fd, POLLOUT, seconds):
            raise ClientGone(f"the client took no byte for {seconds:g} s")
        return False

    def end(self) -> None:
        """Close from this side; nothing when it is over already."""
        if not self._over:
            self._close(close_payload(CloseCode.NORMAL))

    def _end(self, failed: bool) -> None:
        """The application returned, or raised."""
        if not self._over:
            self._close(close_payload(CloseCode.SERVER_ERROR if failed else CloseCode.NORMAL))

    def _close(self, payload: bytes) -> None:
        try:
            self._send(Opcode.CLOSE, payload)
        except ConversationOver:
            pass
        with self._sending:
            self._over = True
