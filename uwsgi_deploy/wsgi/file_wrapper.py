"""`wsgi.file_wrapper` (PEP 3333): an iterable over a file-like object that the server may send with sendfile(2)."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from select import POLLIN
from typing import Any

# A wait for a pipe or a socket goes on for as long as it takes, in turns of so many seconds.
_TURN = 60.0


class FileWrapper:
    """Iterates over blocks of `filelike`; `close` closes it if it can be closed."""

    __slots__ = ("_block_size", "_fd", "_wait", "filelike")

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self._block_size = block_size
        self._wait: Callable[[int, int, float], bool] | None = None
        self._fd = -1

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._wait is not None:
            self._let_others_run(self._wait)
        data: bytes = self.filelike.read(self._block_size)
        if data:
            return data
        raise StopIteration

    def wait_with(self, wait: Callable[[int, int, float], bool]) -> None:
        """Wait for a pipe or a socket as the engine does, before each block: the read itself lets no greenlet run."""
        try:
            self._fd = self.filelike.fileno()
        except (AttributeError, OSError, ValueError):
            return
        self._wait = wait

    def _let_others_run(self, wait: Callable[[int, int, float], bool]) -> None:
        if not isinstance(self.filelike, io.RawIOBase):
            wait(self._fd, POLLIN, 0.0)  # its buffer may hold the block that nothing will come behind
            return
        while not wait(self._fd, POLLIN, _TURN):
            pass

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
