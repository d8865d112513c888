"""A request body on its way in: framing, limit, memory first and then a temporary file. Never reads a socket."""

from __future__ import annotations

import os
from io import BytesIO
from typing import BinaryIO

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.framing import BodyDecoder


def temporary_file() -> BinaryIO:
    """An unnamed file for a large body; in memory where no directory is writable (read-only containers)."""
    # Not at the top: most workers never see a large body, and this brings a dozen modules along.
    import tempfile

    try:
        return tempfile.TemporaryFile(prefix="uwsgi-deploy-body-")
    except OSError:
        return os.fdopen(os.memfd_create("uwsgi-deploy-body"), "w+b")


class IncomingBody:
    """Collects one request body.

    length: bytes, negative where `decoder` finds them. in_memory: bytes kept in memory before a file is used.
    limit: most bytes, 0 for no limit.
    Raises ProtocolError: 413 over the limit, 400 on broken chunks.
    """

    __slots__ = ("_chunks", "_decoder", "_file", "_in_memory", "_left", "_limit", "size")

    def __init__(self, length: int, decoder: BodyDecoder | None, *, in_memory: int, limit: int) -> None:
        if limit and length > limit:
            raise too_large(limit)
        self._decoder = decoder
        self._left = length
        self._in_memory, self._limit = in_memory, limit
        self._chunks: list[bytes] = []
        self._file: BinaryIO | None = temporary_file() if length > in_memory else None
        self.size = 0

    @property
    def wanted(self) -> int:
        """How many bytes are worth reading at once."""
        return 65536 if self._decoder else min(self._left, 262144)

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes from the connection; None while the body is incomplete, else what follows it."""
        if self._decoder:
            for content in self._decoder.feed(data):
                self._add(content)
            return self._decoder.rest if self._decoder.done else None
        if len(data) <= self._left:
            self._left -= len(data)
            self._add(data)
            return None if self._left else b""
        content, rest = data[: self._left], data[self._left :]
        self._left = 0
        self._add(content)
        return rest

    def _add(self, content: bytes) -> None:
        self.size += len(content)
        if self._limit and self.size > self._limit:
            self.discard()
            raise too_large(self._limit)
        if self._file is None and self.size > self._in_memory:
            self._file = temporary_file()
            self._file.writelines(self._chunks)
            self._chunks.clear()
        if self._file is None:
            self._chunks.append(content)
        else:
            self._file.write(content)

    def finish(self) -> BinaryIO:
        """The whole body as a file at its start, for wsgi.input."""
        if self._file is not None:
            self._file.seek(0)
            return self._file
        return BytesIO(self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks))

    def discard(self) -> None:
        """Give up what was collected."""
        self._chunks.clear()
        if self._file is not None:
            self._file.close()


def too_large(limit: int) -> ProtocolError:
    """The answer to a body over limit-post."""
    return ProtocolError(413, f"the request body is larger than {limit} bytes (limit-post)")
