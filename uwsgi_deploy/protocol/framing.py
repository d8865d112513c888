"""Where a message body ends: chunked transfer coding, decoded incrementally (RFC 9112 §7.1), and encoded."""

from __future__ import annotations

import re
from typing import Protocol

from uwsgi_deploy.errors import ProtocolError

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_LONGEST_LINE = 4096
_MOST_TRAILER_BYTES = 16384

LAST_CHUNK = b"0\r\n\r\n"


class BodyDecoder(Protocol):
    """Finds the content of a body in the bytes of a connection; see `ChunkedDecoder`."""

    done: bool

    @property
    def rest(self) -> bytes:
        """Bytes after the body, once it is done."""

    def feed(self, data: bytes) -> list[bytes]:
        """The content that `data` brings. Raises ProtocolError."""


class ChunkedDecoder:
    """Takes the bytes of a chunked body as they come and gives its content.

    `feed` returns the content found so far; once `done` is true, `rest` holds what follows the body. Trailer fields
    are checked and dropped: merged into the environ they could forge a header (RFC 9110 §6.5.1).
    """

    __slots__ = ("_data_left", "_in_trailer", "_pending", "_trailer_bytes", "done")

    def __init__(self) -> None:
        self.done = False
        self._pending = b""
        self._data_left = -1  # -1: a size line is next; otherwise bytes of the current chunk and its CRLF still to come
        self._in_trailer = False
        self._trailer_bytes = 0

    @property
    def rest(self) -> bytes:
        """Bytes after the body, once it is done."""
        return self._pending

    def feed(self, data: bytes) -> list[bytes]:
        """Content of the chunks that `data` completes or continues. Raises ProtocolError(400)."""
        data = self._pending + data if self._pending else data
        found: list[bytes] = []
        at = 0
        while not self.done:
            if self._data_left >= 0:
                taken, complete = self._chunk_data(data, at, found)
                at += taken
                if not complete:
                    break
            else:
                end = data.find(b"\r\n", at)
                if end < 0 or end - at > _LONGEST_LINE:
                    self._check_unfinished_line(data, at, end)
                    break
                self._line(data[at:end])
                at = end + 2
        self._pending = data[at:]
        return found

    def _chunk_data(self, data: bytes, at: int, found: list[bytes]) -> tuple[int, bool]:
        """Take what there is of the current chunk: how many bytes, and whether it is complete with its CRLF."""
        content_left = self._data_left - 2
        available = len(data) - at
        if content_left > 0:
            content = data[at : at + content_left]
            if not content:
                return 0, False
            found.append(content)
            self._data_left -= len(content)
            return len(content), len(content) == content_left
        if available < 2:
            if available == 1 and data[at] != 13:
                raise ProtocolError(400, "a chunk longer than its size")
            return 0, False
        if data[at : at + 2] != b"\r\n":
            raise ProtocolError(400, "a chunk longer than its size")
        self._data_left = -1
        return 2, True

    def _check_unfinished_line(self, data: bytes, at: int, end: int) -> None:
        if end >= 0 or len(data) - at > _LONGEST_LINE:
            raise ProtocolError(400, "a chunk header that is too long")
        if b"\n" in data[at:]:
            raise ProtocolError(400, "a chunk header that ends with a bare line feed")

    def _line(self, line: bytes) -> None:
        if self._in_trailer:
            self._trailer_line(line)
            return
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(400, "an invalid chunk size")
        size = int(match[1], 16)
        if size >= 1 << 60:
            raise ProtocolError(400, "an absurd chunk size")
        if size:
            self._data_left = size + 2
        else:
            self._in_trailer = True

    def _trailer_line(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailer_bytes += len(line)
        if self._trailer_bytes > _MOST_TRAILER_BYTES or not _TRAILER.fullmatch(line):
            raise ProtocolError(400, "an invalid trailer field")


def encode_chunk(content: bytes) -> bytes:
    """One chunk; never of an empty content, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(content), content)
