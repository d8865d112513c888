"""Sends what streaming applications have produced while they produce more (PEP 3333: blocks are not delayed).

One plain thread per worker. Blocks that follow each other faster than about a millisecond are joined into one send by
whoever comes first: this thread's next tick, the core when a lot has gathered, or the end of the response.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_TICK = 0.001
# Ticks without a stream after which the thread goes to sleep: while streams come all the time, nobody has to wake it.
_PATIENCE = 50


class Flusher:
    """`watch` a function that sends what is pending; it is called about every millisecond until `forget`."""

    def __init__(self) -> None:
        self._watched: set[Callable[[], None]] = set()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, flush: Callable[[], None]) -> None:
        """Start calling `flush`, which must neither block nor raise."""
        self._watched.add(flush)
        if not self._wake.is_set():
            self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="uwsgi-deploy flusher", daemon=True)
            self._thread.start()

    def forget(self, flush: Callable[[], None]) -> None:
        """Stop calling `flush`; it may be running a last time."""
        self._watched.discard(flush)

    def _run(self) -> None:
        quiet = 0
        while True:
            time.sleep(_TICK)
            for flush in list(self._watched):
                flush()
            quiet = 0 if self._watched else quiet + 1
            if quiet > _PATIENCE:
                self._wake.clear()
                if not self._watched:
                    self._wake.wait()
                quiet = 0
