"""What every loop engine is to the worker around it: it runs cores, and can reach into the request of one."""

from __future__ import annotations

from types import FrameType
from typing import Protocol


class Engine(Protocol):
    """Runs `Worker.serve` on cores, numbered from 0. Its constructor takes what `threads.ThreadsEngine`'s does."""

    def run(self) -> None:
        """Serve until told to stop; returns when all cores have ended."""

    def core_here(self) -> int | None:
        """Which core the calling thread or greenlet is; None when it is none."""

    def frame_of(self, core: int) -> FrameType | None:
        """The innermost frame of what runs on `core` at this moment; None when nothing does. From any thread."""

    def interrupt(self, core: int, started: float) -> bool:
        """Have `HarakiriTimeout` raised in the application's code on `core`, if it still runs the request that began
        at `started` (monotonic seconds). From any thread; returns at once. False: this core cannot be reached now."""

    def hub_blocked(self) -> float:
        """For how many seconds one request has kept all others from running; 0 where they do not need its consent."""
