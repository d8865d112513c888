"""How the body of an answer goes on to the client, for each framing on either side. Pure: bytes in, bytes out.

A relay is fed what the server sends and returns what the client gets; `done` says that the body is whole. `end` is
asked when the server has closed its connection: what is left to send if that was the end of the body, None if the body
is cut short. Bytes behind a body are never passed on.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

from uwsgi_deploy.gateway.answer import CHUNKED, UNTIL_CLOSE
from uwsgi_deploy.protocol.framing import LAST_CHUNK, ChunkedDecoder, encode_chunk

# zlib's Z_FINISH and Z_SYNC_FLUSH; it is loaded with the first body that is to be compressed.
_FINISH, _SYNC = 4, 2


def _compressor() -> Any:
    """16 + 15: gzip's header and the largest window."""
    return import_module("zlib").compressobj(6, 8, 31)


class Relay(Protocol):
    """See the module."""

    @property
    def done(self) -> bool:
        """Whether the body is whole."""

    @property
    def has_rest(self) -> bool:
        """Whether the server sent more than its answer."""

    def feed(self, data: bytes) -> bytes:
        """What the client gets of it. Raises ProtocolError when the server breaks its framing."""

    def end(self) -> bytes | None:
        """See the module."""


class SizedRelay:
    """A body with a length."""

    __slots__ = ("_left", "done", "has_rest")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done, self.has_rest = not length, False

    def feed(self, data: bytes) -> bytes:
        """See `Relay`."""
        if len(data) > self._left:
            self.has_rest = True
            data = data[: self._left]
        self._left -= len(data)
        self.done = not self._left
        return data

    def end(self) -> bytes | None:
        """See `Relay`."""
        return b"" if self.done else None


class ChunksRelay:
    """Chunks for a client that understands them, as they are: what they hold together is checked on the way."""

    __slots__ = ("_decoder", "done", "has_rest")

    def __init__(self) -> None:
        self._decoder = ChunkedDecoder()
        self.done = self.has_rest = False

    def feed(self, data: bytes) -> bytes:
        """See `Relay`."""
        decoder = self._decoder
        decoder.feed(data)
        if decoder.done:
            self.done = True
            if rest := len(decoder.rest):
                self.has_rest = True
                return data[:-rest]
        return data

    def end(self) -> bytes | None:
        """See `Relay`."""
        return b"" if self.done else None


class ContentRelay:
    """Any body, taken out of its framing, perhaps compressed, and framed anew for the client."""

    __slots__ = ("_chunked", "_gzip", "_source", "_until_close", "done")

    def __init__(self, length: int, *, chunking: bool, gzip: bool) -> None:
        self._source: _Content = _Chunked() if length == CHUNKED else _Plain(length)
        self._until_close = length == UNTIL_CLOSE
        self._chunked = chunking
        self._gzip = _compressor() if gzip else None
        self.done = False

    @property
    def has_rest(self) -> bool:
        """See `Relay`."""
        return self._source.has_rest

    def feed(self, data: bytes) -> bytes:
        """See `Relay`."""
        return self._frame(self._source.feed(data), last=self._source.done)

    def end(self) -> bytes | None:
        """See `Relay`."""
        if self._until_close and not self.done:
            return self._frame(b"", last=True)
        return b"" if self.done else None

    def _frame(self, content: bytes, *, last: bool) -> bytes:
        if self._gzip is not None:
            # Flushed with each piece: what the server has sent is not held back.
            packed = self._gzip.compress(content)
            if content or last:
                packed += self._gzip.flush(_FINISH if last else _SYNC)
            content = packed
        self.done = last
        if not self._chunked:
            return content
        framed = encode_chunk(content) if content else b""
        return framed + LAST_CHUNK if last else framed


class _Content(Protocol):
    done: bool
    has_rest: bool

    def feed(self, data: bytes) -> bytes: ...


class _Plain:
    """A body with a length, or up to the end of the connection."""

    __slots__ = ("_left", "done", "has_rest")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done, self.has_rest = not length, False

    def feed(self, data: bytes) -> bytes:
        if self._left < 0:
            return data
        if len(data) > self._left:
            self.has_rest = True
        data = data[: self._left]
        self._left -= len(data)
        self.done = not self._left
        return data


class _Chunked:
    __slots__ = ("_decoder", "done", "has_rest")

    def __init__(self) -> None:
        self._decoder = ChunkedDecoder()
        self.done = self.has_rest = False

    def feed(self, data: bytes) -> bytes:
        content = b"".join(self._decoder.feed(data))
        self.done = self._decoder.done
        self.has_rest = self.done and bool(self._decoder.rest)
        return content


def relay_for(length: int, *, chunking: bool, gzip: bool) -> Relay:
    """The relay of a body of this length (or `CHUNKED`, `UNTIL_CLOSE`) to a client. gzip: compress it."""
    if gzip:
        return ContentRelay(length, chunking=chunking, gzip=True)
    if length >= 0:
        return SizedRelay(length)
    if length == CHUNKED and chunking:
        return ChunksRelay()
    return ContentRelay(length, chunking=chunking, gzip=False)
