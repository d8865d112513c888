"""What both sites do with what nginx brings."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

STATE = Path(os.environ.get("BEHIND_STATE", "."))
BLOCK = bytes(range(256)) * 256


def digest(body: IO[bytes]) -> str:
    """Size and hash of an upload."""
    size, found = 0, hashlib.sha256()
    while block := body.read(1 << 18):
        size += len(block)
        found.update(block)
    return f"{size} {found.hexdigest()}"


def stream(name: str) -> Iterator[bytes]:
    """A block at once, and another one when the file of this name is there."""
    yield b"first\n"
    deadline = time.monotonic() + 30
    while not (STATE / name).exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    yield b"second\n"


def download(name: str, blocks: int) -> Iterator[bytes]:
    """So many blocks of 64 KiB; the file of this name is there when it ends, whoever ended it."""
    try:
        for _ in range(blocks):
            yield BLOCK
    finally:
        (STATE / name).touch()
