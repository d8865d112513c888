"""The scoreboard: what workers tell the master, in one shared mapping that is made before any fork.

A record is a row of 64-bit unsigned integers, indexed by `Field`. Each record has exactly one writer, the worker that
occupies it, so nobody locks; the master writes only into records whose process is not there (before its birth, after
its death). While a worker is replaced, the old process still finishes requests and the new one starts, both as worker
number `wid`: so each worker number has two records, its *banks*, and their counters are added up. A process that
serves says once which bank is its own (`occupy`), and `record(wid)` and `idle` mean that bank from then on.

`announce()` wakes the master when something in the scoreboard is worth a look (a worker is ready, or retires).
"""

from __future__ import annotations

import mmap
import os
from enum import IntEnum

BANKS = 2
RECORD_SLOTS = 16
SLOT_BYTES = 8


class Field(IntEnum):
    """Slots of a record. Counters run on over the worker's successors, all others are about the present process."""

    PID = 0
    GENERATION = 1
    STATE = 2
    STARTED = 3  # unix time in seconds
    READY = 4  # unix time in seconds when it began to accept; 0 before
    DELTA_REQUESTS = 5  # requests of this process
    REQUESTS = 6  # a counter, like all that follow
    TX_BYTES = 7
    RX_BYTES = 8
    EXCEPTIONS = 9
    RUNNING_TIME = 10  # microseconds spent in requests


PROCESS_FIELDS = tuple(field for field in Field if field < Field.REQUESTS)


class WorkerState(IntEnum):
    """What a worker is doing. RETIRING: it ends by itself (max-requests) and may be replaced already."""

    EMPTY = 0
    STARTING = 1
    IDLE = 2
    BUSY = 3
    STOPPING = 4
    RETIRING = 5


class Scoreboard:
    """Records and idle flags of `workers` workers, numbered from 1. Create it before the first fork."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        records = workers * BANKS * RECORD_SLOTS * SLOT_BYTES
        self._map = mmap.mmap(-1, records + workers * BANKS, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        view = memoryview(self._map)
        self._slots = view[:records].cast("Q")
        self._idle = view[records:]
        self._bank = [0] * workers
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # Workers call each other through it when one has no time for a new client (see `net.reactor.Siblings`).
        self.call_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.idle: memoryview = self._idle[:workers]

    # --- for the worker that writes -----------------------------------------------------------------------------------

    def record(self, wid: int) -> memoryview:
        """The record of worker `wid` (from 1), a memoryview of format Q."""
        return self.record_in(wid, self._bank[wid - 1])

    def occupy(self, wid: int, bank: int, *, generation: int, started: int) -> None:
        """Called once in a new worker: `bank` of `wid` is its own; the fields of the former process are cleared."""
        self._bank[wid - 1] = bank
        self.idle = self._idle[bank * self.workers : (bank + 1) * self.workers]
        self.idle[wid - 1] = 0
        record = self.record(wid)
        for field in PROCESS_FIELDS:
            record[field] = 0
        record[Field.GENERATION] = generation
        record[Field.STARTED] = started
        record[Field.PID] = os.getpid()
        record[Field.STATE] = WorkerState.STARTING

    def announce(self) -> None:
        """Wake the master: this worker is ready now, or retires."""
        try:
            os.eventfd_write(self._wake, 1)
        except BlockingIOError:
            pass  # the counter is full, so the master is being woken anyway

    # --- for the master that reads ------------------------------------------------------------------------------------

    def record_in(self, wid: int, bank: int) -> memoryview:
        """The record of one bank of worker `wid`."""
        start = ((wid - 1) * BANKS + bank) * RECORD_SLOTS
        return self._slots[start : start + RECORD_SLOTS]

    def state(self, wid: int, bank: int) -> WorkerState:
        """What the process in this bank is doing."""
        return WorkerState(self.record_in(wid, bank)[Field.STATE])

    def is_ready(self, wid: int, bank: int, pid: int) -> bool:
        """Whether the process `pid` has begun to accept connections."""
        record = self.record_in(wid, bank)
        return record[Field.PID] == pid and record[Field.READY] != 0

    def vacate(self, wid: int, bank: int) -> None:
        """The process of this bank is gone: clear what was about it, keep the counters."""
        record = self.record_in(wid, bank)
        for field in PROCESS_FIELDS:
            record[field] = 0
        self._idle[bank * self.workers + wid - 1] = 0

    def column(self, field: Field) -> memoryview:
        """One field of every record; its sum is the total of a counter over all workers and banks."""
        return self._slots[int(field) :: RECORD_SLOTS]

    def total(self, field: Field) -> int:
        """The sum of a counter over all workers and banks."""
        return sum(self.column(field))

    def requests(self, wid: int) -> int:
        """Requests that worker `wid` and its predecessors have served."""
        return sum(int(self.record_in(wid, bank)[Field.REQUESTS]) for bank in range(BANKS))

    @property
    def wake_fd(self) -> int:
        """Readable after `announce()`; the master polls it."""
        return self._wake

    def acknowledge(self) -> None:
        """Make `wake_fd` unreadable again."""
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            pass

    @property
    def size(self) -> int:
        """Bytes of the mapping."""
        return len(self._map)

    def close(self) -> None:
        """Close the descriptors of this process; for a scoreboard that nobody else was given."""
        os.close(self._wake)
        os.close(self.call_fd)
