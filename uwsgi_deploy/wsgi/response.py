"""One response of one application: `start_response`, `write`, and what the application returned, onto a connection.

Framing is decided when the first byte is sent: a known length, chunked, or the end of the connection (RFC 9112 §6.3).
Single blocks go out with the head in one send; streams are joined by `net.flusher`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import time
from types import TracebackType
from typing import TypeAlias

from uwsgi_deploy.errors import ClientGone
from uwsgi_deploy.native import allocate_lock
from uwsgi_deploy.net.connection import HIGH_WATER, Connection, FileSlice
from uwsgi_deploy.net.flusher import Flusher
from uwsgi_deploy.protocol.framing import LAST_CHUNK, encode_chunk
from uwsgi_deploy.protocol.responses import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    FIELD_LINES,
    STATUS_LINES,
    DateLine,
    Special,
    reason_phrase,
)
from uwsgi_deploy.wsgi.file_wrapper import FileWrapper

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

# A larger body is sent with writev instead of being copied behind its head.
_COPY_LIMIT = 16384
# A stream is sent when this much has gathered, whatever the clock says.
_GATHER = 65536
SWITCHING_PROTOCOLS = 101

# What is written into `Delivery.phases`: shared.scoreboard.RequestPhase's numbers.
RESPONDING, CLOSING = 1, 2

_date = DateLine()
# Phases of responses that no scoreboard is about.
_NOWHERE = memoryview(bytearray(1))


@dataclass(frozen=True, slots=True)
class Delivery:
    """What all responses of a worker share. raise_write_errors: write() raises OSError when the client is gone.

    phases: for each core how far its request is, as the scoreboard has it (`RequestPhase`).
    """

    flusher: Flusher
    raise_write_errors: bool = True
    phases: memoryview = _NOWHERE


class Response:
    """See the module. Made for each request; the public attributes are read by the log afterwards (sizes in bytes)."""

    # Defaults live in the class, so that making a response for each request sets three attributes and not a dozen.
    status = 0
    started = False
    gave_way = False
    sent_body = 0
    head_size = 0
    header_count = 0
    via_sendfile = False
    _body_left = 1 << 62
    _bodyless = False
    _chunked = False
    _head: list[bytes] | None = None
    _length = -1
    _stream: BlockStream | None = None

    def __init__(self, connection: Connection, delivery: Delivery, method: str, core: int = 0) -> None:
        self.connection = connection
        self.delivery = delivery
        self.core = core
        self._is_head = method == "HEAD"

    # -- what the application calls ------------------------------------------------------------------------------------

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's start_response. Raises TypeError or ValueError on a wrong status or header, at once."""
        if exc_info is not None and exc_info[1] is not None:
            try:
                if self.started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no reference cycle through this frame
        elif self._head is not None:
            raise RuntimeError("start_response() was called twice without exc_info (PEP 3333)")
        try:
            line, self.status = STATUS_LINES[status]
        except TypeError:
            raise TypeError(f"the status must be a str such as '200 OK', not {type(status).__name__}") from None
        if not isinstance(headers, list):
            raise TypeError(f"the response headers must be a list, not {type(headers).__name__}")
        self._length = -1
        head = [line]
        has_date = False
        for field in headers:
            try:
                encoded, special = FIELD_LINES[field]
            except TypeError as error:  # unhashable: a list, or a tuple that holds one
                raise TypeError(f"a response header must be a (name, value) tuple of str: {field!r}") from error
            if special:
                if special is DATE:
                    has_date = True
                elif not self._special(special, field[1]):
                    continue
            head.append(encoded)
        if not has_date:
            head.append(_date.at(time()))
        self._head = head
        return self.write

    def _special(self, special: Special, value: str) -> bool:
        """Take note of a header that concerns the server; whether it is sent as the application gave it."""
        if special is CONTENT_LENGTH:
            if not value.isascii() or not value.isdigit():
                raise ValueError(f"invalid Content-Length {value!r}")
            if self._length >= 0 and self._length != int(value):
                raise ValueError("two different Content-Length headers")
            self._length = int(value)
        elif special is CONNECTION and "close" in value.lower():
            self.connection.keep_alive = False
            return self.connection.is_routed
        return False

    def write(self, data: bytes) -> None:
        """PEP 3333's write(): sends at once. Raises OSError when the client is gone."""
        _check_block(data)
        if not data:
            return
        try:
            self._write(data)
        except ClientGone:
            if self.delivery.raise_write_errors:
                raise

    def _write(self, data: bytes) -> None:
        if not self.started:
            self._start_stream()
        if self._stream is not None:  # write() from inside the iterable: what it yielded before goes first
            self._stream.write(data)
            return
        self._send_block(data)
        if self.connection.outbox:
            self.connection.send_until(HIGH_WATER)

    # -- what the server calls -----------------------------------------------------------------------------------------

    def send(self, result: Iterable[bytes]) -> None:
        """Send all that the application returned. Raises whatever its iterable raises, TypeError on a wrong block."""
        kind = type(result)
        if kind is list or kind is tuple:
            if len(result) == 1:  # type: ignore[arg-type]
                (block,) = result
                if type(block) is not bytes:
                    _check_block(block)
            else:
                for block in result:
                    _check_block(block)
                block = b"".join(result)
            self._send_whole(block)
        elif kind is FileWrapper:
            if piece := result.regular_file():  # type: ignore[attr-defined]
                self._send_file(*piece)
            else:
                result.wait_with(self.connection.wait)  # type: ignore[attr-defined]
                self._send_stream(result)
        else:
            self._send_stream(result)

    def fail(self, status: int, text: str | None = None, kind: str = "text/plain; charset=utf-8") -> bool:
        """Answer with an error in place of the application, if nothing was sent; whether it could.

        text: what the client reads, the status's name unless given; kind: its Content-Type.
        """
        if self.started:
            return False
        self._head = None
        reason = reason_phrase(status)
        body = (reason if text is None else text).encode("utf-8", "replace")
        fields = [("Content-Type", "text/plain" if text is None else kind), ("Content-Length", str(len(body)))]
        self.start_response(f"{status} {reason}", fields)
        self._send_whole(body)
        return True

    def give_way(self, send: Callable[[Iterable[bytes]], None], fail: Callable[..., bool]) -> None:
        """The application took the connection over (`raw_stream`): from now on the server writes nothing on it.

        send, fail: called in place of this object's methods; an instance's attribute comes before its class's.
        """
        self.started = self.gave_way = True
        self.status, self._length = SWITCHING_PROTOCOLS, 0
        self.send, self.fail = send, fail  # type: ignore[method-assign,assignment]
        self.write = _drop  # type: ignore[method-assign,assignment]

    @property
    def close_delimited(self) -> bool:
        """Whether only the end of the connection tells the client where the body ends."""
        return self.started and not self._chunked and self._length < 0

    # -- one known body ------------------------------------------------------------------------------------------------

    def _send_whole(self, body: bytes) -> None:
        if self.started:  # write() was used before: go on with it
            if body:
                self._send_block(body)
            self._finish()
            return
        self._start(known=len(body))
        head = self._take_head()
        connection = self.connection
        if self._bodyless:
            connection.send(head)
            return
        if len(body) != self._length:
            body = self._cut(body)
        self.sent_body = len(body)
        if len(body) <= _COPY_LIMIT:
            if connection.may_hold:
                connection.held = head + body
            else:
                connection.send(head + body)
        else:
            connection.send_two(head, body)

    def _cut(self, body: bytes) -> bytes:
        """A body that does not match the Content-Length: too long is cut, too short ends the connection."""
        if len(body) < self._length:
            self.connection.keep_alive = False
        return body[: self._length]

    def _start_stream(self) -> None:
        """Complete the head of a body that comes in blocks: from now on nobody else may answer."""
        self.delivery.phases[self.core] = RESPONDING
        self._start(known=None)

    # -- the head ------------------------------------------------------------------------------------------------------

    def _start(self, *, known: int | None) -> None:
        """Complete the head; `known` is the length of the body when all of it is at hand."""
        head = self._head
        if head is None:
            raise RuntimeError("the application did not call start_response() before its first block")
        connection = self.connection
        facts = connection.facts
        assert facts is not None
        status = self.status
        self.started = True
        self._bodyless = self._is_head or status == 204 or status == 304
        if self._length < 0 and known is not None and (not self._bodyless or (known and self._is_head)):
            self._length = known
        if self._length >= 0:
            if status != 204:  # RFC 9110 §8.6: never in a 204
                head.append(b"Content-Length: %d\r\n" % self._length)
        elif facts.chunking and status != 204 and status != 304:
            self._chunked = True
            head.append(b"Transfer-Encoding: chunked\r\n")
        elif not self._bodyless:
            connection.keep_alive = False
        if connection.live_length:  # the rest of the request body would have to be read first
            connection.keep_alive = False
        if connection.keep_alive:
            if not facts.chunking:  # HTTP/1.0 has to be told
                head.append(b"Connection: keep-alive\r\n")
        elif facts.is_http:
            head.append(b"Connection: close\r\n")
        head.append(b"\r\n")
        if self._length >= 0:
            self._body_left = self._length

    def _send_head(self, first: bytes) -> None:
        """Send the head that `_start` completed together with the first bytes of the body, already framed."""
        self.connection.send(self._take_head() + first)

    def _take_head(self) -> bytes:
        lines = self._head
        assert lines is not None
        self._head = None
        head = b"".join(lines)
        self.head_size = len(head)
        self.header_count = len(lines) - 2  # the status line and the empty one are no fields
        return head

    def _send_block(self, data: bytes) -> None:
        """Frame and send one block, with the head if that has not gone yet."""
        framed = self._frame(data)
        if self._head is not None:
            self._send_head(framed)
        elif framed:
            self.connection.send(framed)

    def _frame(self, data: bytes) -> bytes:
        if self._bodyless:
            return b""
        if len(data) > self._body_left:
            data = data[: self._body_left]
        self._body_left -= len(data)
        self.sent_body += len(data)
        return encode_chunk(data) if self._chunked and data else data

    def _finish(self) -> None:
        """The end of a body that went out in blocks."""
        if not self.started:
            self._start(known=0)
        if self._bodyless:
            last = b""
        elif self._chunked:
            last = LAST_CHUNK
        else:
            last = b""
            if self._length >= 0 and self._body_left:
                self.connection.keep_alive = False
        if self._head is not None:
            self._send_head(last)
        elif last:
            self.connection.send(last)

    # -- a file --------------------------------------------------------------------------------------------------------

    def _send_file(self, fd: int, position: int, size: int) -> None:
        if not self.started:
            self._start(known=size)
        if self._head is not None:
            self._send_head(b"")
        if self._bodyless:
            return
        count = min(size, self._body_left)
        self._body_left -= count
        self.sent_body += count
        self.via_sendfile = True
        connection = self.connection
        if self._chunked and count:
            connection.send(b"%x\r\n" % count)
        if count:
            # The application closes its file when this returns; the reactor may have to go on sending.
            connection.send_file(FileSlice(os.dup(fd), position, count))
        if self._chunked:
            connection.send(b"\r\n" + LAST_CHUNK if count else LAST_CHUNK)
        elif self._length >= 0 and self._body_left:
            connection.keep_alive = False
        self.delivery.phases[self.core] = CLOSING

    # -- a stream ------------------------------------------------------------------------------------------------------

    def _send_stream(self, result: Iterable[bytes]) -> None:
        iterator = iter(result)
        first = self._first_block(iterator)
        if first is not None and len(first) == self._length and not self.started:
            # What frameworks return: an iterator over one block, and its length. PEP 3333 has the rest asked for, too.
            self._send_whole(first)
            self.delivery.phases[self.core] = CLOSING
            self._first_block(iterator)
            return
        if first is not None:
            if not self.started:
                self._start_stream()
            self._send_block(first)
            if not self._bodyless:  # else nobody will see the rest, which may have no end
                stream = self._stream = BlockStream(self.connection, self._send_block, self.delivery.flusher)
                stream.run(iterator, self)
                self._stream = None
        self._finish()
        self.delivery.phases[self.core] = CLOSING

    def _first_block(self, iterator: Iterator[bytes]) -> bytes | None:
        """The first block that is not empty; headers wait for it (PEP 3333)."""
        for block in iterator:
            _check_block(block)
            if block:
                return block
        return None

    @property
    def complete(self) -> bool:
        """Whether Content-Length bytes are sent: more would not be part of this response."""
        return self._body_left <= 0


class BlockStream:
    """The blocks of an iterable, gathered by the core that runs it and sent by whoever comes first (`net.flusher`).

    `send_block` frames and sends. A lock keeps the order; it is never held while anybody waits, because cores may be
    greenlets of one thread. What goes wrong in the flusher's thread waits in `error` for the core.
    """

    __slots__ = ("_connection", "_flusher", "_heed", "_lock", "_over", "_pending", "_quiet", "_send_block", "error")

    def __init__(self, connection: Connection, send_block: Callable[[bytes], None], flusher: Flusher) -> None:
        self._connection, self._send_block, self._flusher = connection, send_block, flusher
        self._pending: list[bytes] = []
        self._lock = allocate_lock()
        self._over = False
        self._quiet = True  # the flusher does not look after this stream
        self._heed = True  # the core has something to do with its next block: it is quiet, or there is an error
        self.error: Exception | None = None

    def run(self, iterator: Iterator[bytes], response: Response) -> None:
        """Send every block that `iterator` gives. Raises what it raises, TypeError on a wrong block, or ClientGone."""
        append = self._pending.append
        gathered = 0
        is_first = True
        is_watched = False
        try:
            for block in iterator:  # kept plain: it runs once per block
                append(block)
                gathered += len(block)
                if self._heed or gathered >= _GATHER:
                    was_quiet = self._quiet
                    self._quiet = self._heed = False
                    if was_quiet:
                        is_watched = True  # before it is so: a timeout may be raised at any moment in between
                        self._flusher.watch(self)
                        if is_first and gathered < _GATHER:  # the flusher sends it, with what follows it soon
                            is_first = False
                            continue
                    is_first, gathered = False, 0
                    self.flush()
                    if response.complete:
                        break
            self.flush()
        finally:
            if is_watched:
                self._flusher.forget(self)
                with self._lock:  # the flusher may be at work a last time, on a descriptor that is about to be closed
                    self._over = True

    def write(self, data: bytes) -> None:
        """Send what has gathered and then this, at once."""
        self._pending.append(data)
        self.flush()

    def flush(self) -> None:
        """Send what has gathered, and wait while the client is too far behind."""
        connection = self._connection
        with self._lock:
            self._send_pending()
        while connection.outbox and self.error is None:
            with self._lock:
                if connection.send_more() or connection.unsent <= HIGH_WATER:
                    break
            if not connection.writable:
                connection.await_room()
        if isinstance(self.error, ClientGone):
            raise self.error
        if self.error is not None:
            raise TypeError(f"a block of the response is not bytes: {self.error}") from self.error

    def tick(self) -> bool:
        """Called by the flusher: as `flush`, but never waits and never raises; False when nothing was to be sent."""
        if self._over or self.error is not None or not (self._pending or self._connection.outbox):
            return False
        if self._lock.acquire(blocking=False):
            try:
                if not self._over:
                    self._send_pending()
            finally:
                self._lock.release()
        return True

    def rest(self) -> bool:
        """Called by the flusher after a tick with nothing to send: whether that is still so."""
        self._quiet = self._heed = True
        if self._pending and not self._over and self.error is None:  # a block came in between
            self._quiet = self._heed = False
            return False
        return True

    def _send_pending(self) -> None:
        try:
            blocks = self._pending[:]
            if not blocks:
                self._connection.send_more()
                return
            del self._pending[: len(blocks)]
            if data := b"".join(blocks):
                self._send_block(data)
        except (ClientGone, TypeError) as error:  # TypeError: a block that is not bytes
            self.error = error
            self._heed = True


def _drop(_data: bytes) -> None:
    """write() of a response that nobody will see."""


def _check_block(block: object) -> None:
    if not isinstance(block, bytes):
        raise TypeError(f"a block of the response must be bytes, not {type(block).__name__}")
