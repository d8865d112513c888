"""The scoreboard: what workers tell the master, in one shared mapping that is made before any fork.

A record is a row of 64-bit unsigned integers, indexed by `Field`. Each record has exactly one writer, the worker that
occupies it, so nobody locks; the master writes only into records whose process is not there (before its birth, after
its death). While a worker is replaced, the old process still finishes requests and the new one starts, both as worker
number `wid`: so each worker number has two records, its *banks*, and their counters are added up. A process that
serves says once which bank is its own (`occupy`), and `record(wid)` and `idle` mean that bank from then on.

Each core of a worker has a record, too: the request that it runs at the moment, with its deadlines. A core writes it
at the beginning of every request with a single call (`CoreRecords.begin`) and one store at the end; it is all that can
be known of a request whose worker hangs in C code. A reader may see a text that is half overwritten.

Last of all is a byte that the master alone writes: `paused`. Signals only tell workers to look at it, because the
kernel does not keep the order of two that come within a moment.

`announce()` wakes the master when something in the scoreboard is worth a look (a worker is ready, or its work is done).

The master's is an unnamed file, so that a master that re-executes itself finds it again (`shared.lodging`).
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from math import inf
from struct import Struct

BANKS = 2
RECORD_SLOTS = 16
SLOT_BYTES = 8

# A core's record: three instants (doubles), the connection's descriptor, the phase and the request, zero-padded, in
# `_CORE`, which also clears the route's first bytes; behind it the route and the thread; a multiple of the cache line,
# so that cores do not disturb each other.
REQUEST_BYTES = 512
ROUTE_BYTES = 128
_CORE = Struct(f"dddqQ{REQUEST_BYTES}sQ")
CORE_SLOTS = 88
_TEXT_AT = 5 * SLOT_BYTES
_ROUTE_AT = _TEXT_AT + REQUEST_BYTES


class Field(IntEnum):
    """Slots of a record. Counters run on over the worker's successors, all others are about the present process."""

    PID = 0
    GENERATION = 1
    STATE = 2
    STARTED = 3  # unix time in seconds
    READY = 4  # unix time in seconds when it began to accept; 0 before
    DELTA_REQUESTS = 5  # requests of this process
    OUTLIVED = 6  # 1 when its work is done (max-requests, memory) and it serves only until its successor does
    # While a request is overdue: when the worker's own watchdog last had the interpreter, monotonic microseconds.
    PULSE = 7
    # The shortest limit that the application has given to any request of this process, in microseconds; 0 for none.
    SHORTEST = 8
    REQUESTS = 9  # a counter, like all that follow
    TX_BYTES = 10
    RX_BYTES = 11
    EXCEPTIONS = 12
    RUNNING_TIME = 13  # microseconds spent in requests
    SPAWNS = 14  # processes that were forked


class CoreField(IntEnum):
    """Slots of a core's record. The first three are monotonic seconds as doubles; a deadline of inf is none."""

    STARTED = 0  # of the request that runs now; 0 while the core is idle
    DEADLINE = 1  # the harakiri option's
    USER_DEADLINE = 2  # the application's own (uwsgi.set_user_harakiri)
    FD = 3  # the connection's descriptor in the worker, a signed integer; -1 when it is not to be written to
    PHASE = 4  # see `RequestPhase`
    THREAD = 85  # threading.get_ident() of the thread that is this core, an unsigned integer; 0 when it is unknown


class RequestPhase(IntEnum):
    """How far the request of a core is, for whoever may have to answer it in the core's place."""

    APPLICATION = 0  # nothing was sent
    RESPONDING = 1  # a part of the response was, or may have been, sent
    CLOSING = 2  # the whole response was sent; what runs is close() of what the application returned
    ANSWERED = 3  # somebody else answered: the core must not send anything any more


PROCESS_FIELDS = tuple(field for field in Field if field < Field.REQUESTS)


class WorkerState(IntEnum):
    """What a worker is doing."""

    EMPTY = 0
    STARTING = 1
    IDLE = 2
    BUSY = 3
    STOPPING = 4


@dataclass(frozen=True, slots=True)
class Running:
    """A request that a core runs: monotonic seconds; a deadline of inf is none. `by_user`: the nearer deadline is the
    application's own. phase: see `RequestPhase`."""

    core: int
    started: float
    deadline: float
    by_user: bool
    phase: int = 0


@dataclass(frozen=True, slots=True)
class RunningRequest:
    """What a core's record says of its request. `thread`: see `CoreField.THREAD`. `route`: what the framework calls
    the request's kind (`set_route`), or empty. `fd`: of its connection in the worker, or -1."""

    address: str
    method: str
    uri: str
    thread: int
    route: str = ""
    fd: int = -1
    phase: RequestPhase = RequestPhase.APPLICATION


class CoreRecords:
    """The cores' records of one worker process, for that process to write."""

    def __init__(self, memory: mmap.mmap, offset: int, cores: int) -> None:
        # What `begin` and `end` do, for callers on the request path, whom a call less saves a fifth of the time: for
        # each core what writes its record (started, deadline, the user's deadline, the descriptor, the phase, the
        # request, 0 for the route), and its slot STARTED, as an integer, because 0 has the same bits as 0.0 and takes
        # half as long.
        self.writers: list[Callable[[float, float, float, int, int, bytes, int], None]] = [
            partial(_CORE.pack_into, memory, offset + core * CORE_SLOTS * SLOT_BYTES) for core in range(cores)
        ]
        size = cores * CORE_SLOTS * SLOT_BYTES
        view = memoryview(memory)[offset : offset + size]
        self._bytes, self._instants, self._integers = view, view.cast("d"), view.cast("Q")
        self.started = self._integers[CoreField.STARTED :: CORE_SLOTS]
        # The same as an instant, and the other slots that a request's own worker looks at or writes, by core.
        self.begun = self._instants[CoreField.STARTED :: CORE_SLOTS]
        self.deadlines = self._instants[CoreField.DEADLINE :: CORE_SLOTS]
        self.user_deadlines = self._instants[CoreField.USER_DEADLINE :: CORE_SLOTS]
        self.phases = self._integers[CoreField.PHASE :: CORE_SLOTS]
        self.descriptors = self._bytes.cast("q")[CoreField.FD :: CORE_SLOTS]

    def begin(self, core: int, started: float, deadline: float, request: str, fd: int = -1) -> None:
        """A request begins on `core`. request: `ADDRESS METHOD URI`, of which the first 512 bytes are kept."""
        # One call for all: measured at 0.2 µs, half of what the same takes as separate stores.
        self.writers[core](started, deadline, inf, fd, 0, request.encode("utf-8", "replace"), 0)

    def end(self, core: int) -> None:
        """The request on `core` is over."""
        self.started[core] = 0

    def set_user_deadline(self, core: int, deadline: float) -> None:
        """The application wants its request to end by then."""
        self._instants[core * CORE_SLOTS + CoreField.USER_DEADLINE] = deadline

    def set_deadline(self, core: int, deadline: float) -> None:
        """Put another deadline in the place of the harakiri option's: monotonic seconds, inf for none."""
        self._instants[core * CORE_SLOTS + CoreField.DEADLINE] = deadline

    def set_phase(self, core: int, phase: RequestPhase) -> None:
        """How far the request on `core` is."""
        self._integers[core * CORE_SLOTS + CoreField.PHASE] = phase

    def set_route(self, core: int, route: str) -> None:
        """What the framework calls the kind of the request on `core`; the first 127 bytes are kept."""
        text = route.encode("utf-8", "replace")[: ROUTE_BYTES - 1]
        at = core * CORE_SLOTS * SLOT_BYTES + _ROUTE_AT
        self._bytes[at : at + len(text) + 1] = text + b"\0"

    def core_of(self, thread: int) -> int | None:
        """Which core a thread is; None when it is none."""
        for core in range(len(self.writers)):
            if self._integers[core * CORE_SLOTS + CoreField.THREAD] == thread:
                return core
        return None

    def set_thread(self, core: int, thread: int) -> None:
        """`core` is this thread from now on, so that its stack can be told from others'."""
        self._integers[core * CORE_SLOTS + CoreField.THREAD] = thread


# What other code must agree on to read a mapping that this code made.
LAYOUT = " ".join(
    map(
        str,
        (
            BANKS,
            RECORD_SLOTS,
            CORE_SLOTS,
            REQUEST_BYTES,
            ROUTE_BYTES,
            *Field.__members__,
            *CoreField.__members__,
            "PAUSED",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What a scoreboard consists of, for the operating system: an unnamed file, and eventfds that wake."""

    map_fd: int
    wake_fd: int
    call_fd: int


class Scoreboard:
    """Records and idle flags of `workers` workers, numbered from 1, with `cores` cores each. Create it before the first
    fork.

    adopted: descriptors of one that a former image of this process made, with this LAYOUT and the same numbers.
    """

    # Whether the mapping is a file that a next image of the process can find again.
    LASTS = False

    def __init__(self, workers: int, cores: int = 1, *, adopted: Descriptors | None = None) -> None:
        self.workers, self.cores = workers, cores
        records = workers * BANKS * RECORD_SLOTS * SLOT_BYTES
        self._cores_at = records
        idle = records + workers * BANKS * cores * CORE_SLOTS * SLOT_BYTES
        self._paused_at = size = idle + workers * BANKS
        size += 1
        self.descriptors = _open(size if self.LASTS else 0) if adopted is None else adopted
        map_fd = self.descriptors.map_fd
        self._map = mmap.mmap(map_fd, size, mmap.MAP_SHARED | (0 if map_fd >= 0 else mmap.MAP_ANONYMOUS))
        view = memoryview(self._map)
        self._slots = view[:records].cast("Q")
        self._instants, self._integers = view[records:idle].cast("d"), view[records:idle].cast("Q")
        self._bank = [0] * workers
        self._wake = self.descriptors.wake_fd
        # Workers call each other through it when one has no time for a new client (see `net.reactor.Siblings`).
        self.call_fd = self.descriptors.call_fd
        # A byte for each bank of each worker, 1 while its process waits for events (see `net.reactor.Siblings`).
        self.idle: memoryview = view[idle : self._paused_at]

    @property
    def paused(self) -> bool:
        """Whether workers are to serve nobody at present."""
        return self._map[self._paused_at] != 0

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._map[self._paused_at] = paused

    # --- for the worker that writes -----------------------------------------------------------------------------------

    def record(self, wid: int) -> memoryview:
        """The record of worker `wid` (from 1), a memoryview of format Q."""
        return self.record_in(wid, self._bank[wid - 1])

    def seat(self, wid: int) -> int:
        """The index in `idle` of this process, which is worker `wid`."""
        return self._bank[wid - 1] * self.workers + wid - 1

    def occupy(self, wid: int, bank: int, *, generation: int, started: int) -> None:
        """Called once in a new worker: `bank` of `wid` is its own; the fields of the former process are cleared."""
        self._bank[wid - 1] = bank
        self.idle[self.seat(wid)] = 0
        record = self.record(wid)
        for field in PROCESS_FIELDS:
            record[field] = 0
        self._clear_cores(wid, bank)
        record[Field.SPAWNS] += 1
        record[Field.GENERATION] = generation
        record[Field.STARTED] = started
        record[Field.PID] = os.getpid()
        record[Field.STATE] = WorkerState.STARTING

    def core_records(self, wid: int) -> CoreRecords:
        """The records of the cores of worker `wid`, in the bank that is its own: ask after `occupy`."""
        return CoreRecords(self._map, self._core_offset(wid, self._bank[wid - 1]), self.cores)

    def own_bank(self, wid: int) -> int:
        """The bank that this process occupies as worker `wid`."""
        return self._bank[wid - 1]

    def own_request(self, wid: int, core: int) -> RunningRequest:
        """What a core of this process, which is worker `wid`, runs or ran last."""
        return self.request(wid, self._bank[wid - 1], core)

    def announce(self) -> None:
        """Wake the master: this worker is ready now, or its work is done."""
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

    def pids(self) -> list[int]:
        """The processes that have a record here; some may have ended."""
        return [pid for pid in self.column(Field.PID).tolist() if pid]

    def vacate(self, wid: int, bank: int) -> None:
        """The process of this bank is gone: clear what was about it, keep the counters.

        The kernel may have woken it for a new client that it had no time to accept: a sibling is called for that one.
        """
        record = self.record_in(wid, bank)
        for field in PROCESS_FIELDS:
            record[field] = 0
        self.idle[bank * self.workers + wid - 1] = 0
        os.eventfd_write(self.call_fd, 1)
        self._clear_cores(wid, bank)

    def running(self, wid: int, bank: int) -> Iterator[Running]:
        """The requests that the cores of a worker process run at this moment."""
        start = self._core_offset(wid, bank, self._cores_at) // SLOT_BYTES
        instants = self._instants[start : start + self.cores * CORE_SLOTS]
        for core, started in enumerate(instants[CoreField.STARTED :: CORE_SLOTS].tolist()):
            if started:
                at = core * CORE_SLOTS
                deadline, by_user = instants[at + CoreField.DEADLINE], instants[at + CoreField.USER_DEADLINE]
                phase = self._integers[start + at + CoreField.PHASE]
                yield Running(core, started, min(deadline, by_user), by_user < deadline, phase)

    def pulse(self, wid: int, bank: int) -> float:
        """When the watchdog of a worker process last had the interpreter while a request was overdue, in monotonic
        seconds; 0 for never."""
        return int(self.record_in(wid, bank)[Field.PULSE]) / 1_000_000

    def shortest(self, wid: int, bank: int) -> float:
        """The shortest limit that the application of a worker process has given to any request, in seconds; inf for
        none."""
        return int(self.record_in(wid, bank)[Field.SHORTEST]) / 1_000_000 or inf

    def request(self, wid: int, bank: int, core: int) -> RunningRequest:
        """What a core's record says of the request that it runs, or ran last."""
        at = self._core_offset(wid, bank) + core * CORE_SLOTS * SLOT_BYTES
        text = self._map[at + _TEXT_AT : at + _TEXT_AT + REQUEST_BYTES].rstrip(b"\0").decode("utf-8", "replace")
        address, _, request = text.partition(" ")
        method, _, uri = request.partition(" ")
        route, _, _ = self._map[at + _ROUTE_AT : at + _ROUTE_AT + ROUTE_BYTES].partition(b"\0")

        def slot(field: CoreField, *, signed: bool = False) -> int:
            place = at + field * SLOT_BYTES
            return int.from_bytes(self._map[place : place + SLOT_BYTES], sys.byteorder, signed=signed)

        return RunningRequest(
            address,
            method,
            uri,
            slot(CoreField.THREAD),
            route.decode("utf-8", "replace"),
            slot(CoreField.FD, signed=True),
            RequestPhase(slot(CoreField.PHASE)),
        )

    def _core_offset(self, wid: int, bank: int, base: int = 0) -> int:
        """Where the records of this process's cores begin, in bytes from `base`."""
        return self._cores_at - base + ((wid - 1) * BANKS + bank) * self.cores * CORE_SLOTS * SLOT_BYTES

    def _clear_cores(self, wid: int, bank: int) -> None:
        start = self._core_offset(wid, bank)
        size = self.cores * CORE_SLOTS * SLOT_BYTES
        self._map[start : start + size] = bytes(size)

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


def _open(size: int) -> Descriptors:
    """Descriptors for a mapping of `size` bytes that lasts; without a file for 0."""
    map_fd = -1
    if size:
        map_fd = os.memfd_create("uwsgi-deploy-scoreboard", os.MFD_CLOEXEC)
        os.ftruncate(map_fd, size)
    wake, call = (os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2))
    return Descriptors(map_fd, wake, call)
