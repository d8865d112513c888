"""Sends what streaming applications have produced while they produce more (PEP 3333: blocks are not delayed).

One plain thread per worker, also where cores are greenlets: an application that computes its next block lets no
greenlet run. Blocks that follow each other faster than about a millisecond are joined into one send by whoever comes
first: this thread's next tick, the core when a lot has gathered, or the end of the response. Streams that are quiet are
not looked at, so thousands of them cost nothing.
"""

from __future__ import annotations

from typing import Protocol

from uwsgi_deploy.native import Bell, sleep, start_new_thread

_TICK = 0.001
# Ticks without a stream after which the thread goes to sleep: while streams come all the time, nobody has to wake it.
_PATIENCE = 50


class Stream(Protocol):
    """What the flusher looks after."""

    def tick(self) -> bool:
        """Send what is pending; False when there was nothing. Must neither block nor raise."""

    def rest(self) -> bool:
        """Nothing was pending for a tick: the stream is forgotten until it is watched again, unless this is False."""


class Flusher:
    """`watch` a stream: its `tick` is called about every millisecond until it is quiet, or until `forget`."""

    def __init__(self) -> None:
        self._watched: set[Stream] = set()
        self._bell = Bell()
        self._started = False

    def watch(self, stream: Stream) -> None:
        """Start looking after `stream`."""
        self._watched.add(stream)
        if not self._bell.is_rung:
            self._bell.ring()
        if not self._started:
            self._started = True
            start_new_thread(self._run, ())

    def forget(self, stream: Stream) -> None:
        """Stop looking after `stream`; its `tick` may be running a last time."""
        self._watched.discard(stream)

    def _run(self) -> None:
        watched = self._watched
        quiet = 0
        while True:
            sleep(_TICK)
            quiet = 0 if watched else quiet + 1
            for stream in list(watched):
                if not stream.tick():
                    watched.discard(stream)
                    if not stream.rest():
                        watched.add(stream)
            if quiet > _PATIENCE:
                self._bell.silence()
                if not watched:
                    self._bell.wait()
                quiet = 0
