"""`wsgi.file_wrapper` (PEP 3333): an iterable over a file-like object that the server may send with sendfile(2)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any


class FileWrapper:
    """Iterates over blocks of `filelike`; `close` closes it if it can be closed."""

    __slots__ = ("_block_size", "filelike")

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self._block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self._block_size)
        if data:
            return data
        raise StopIteration

    def close(self) -> None:
        """As PEP 3333 demands: pass the close on."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()

    def regular_file(self) -> tuple[int, int, int] | None:
        """Descriptor, position and bytes to the end, of a regular file; None for pipes, BytesIO and the like."""
        try:
            fd = self.filelike.fileno()
            status = os.fstat(fd)
            position = self.filelike.tell()
        except (AttributeError, OSError, TypeError, ValueError):  # io.UnsupportedOperation is an OSError
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return fd, position, max(status.st_size - position, 0)
