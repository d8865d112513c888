"""The master's table: a slot per worker number, a row per process in it, the templates, and what the server is up to.

Rows change only through the methods here, along `TRANSITIONS`. The table knows no system call and no clock: instants
(monotonic seconds) are passed in. Policies read it, the executor and the master write it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from uwsgi_deploy.config.settings import RecyclingSettings
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.process.memory import Usage
from uwsgi_deploy.shared.scoreboard import BANKS


class Phase(Enum):
    """Where a worker process is in its life."""

    ORDERED = "ordered"  # the template was told to fork it
    STARTING = "starting"  # it exists and does not accept yet
    READY = "ready"  # it accepts connections
    LEAVING = "leaving"  # it was told to end


TRANSITIONS = {
    Phase.ORDERED: frozenset({Phase.STARTING}),
    Phase.STARTING: frozenset({Phase.READY, Phase.LEAVING}),
    Phase.READY: frozenset({Phase.LEAVING}),
    Phase.LEAVING: frozenset({Phase.LEAVING}),
}


@dataclass(slots=True)
class Worker:
    """One worker process. `told` is the last signal the master sent it, `deadline` when it is killed.

    outlived: its work is done, it serves until its successor does. usage: its memory, when the master last looked.
    """

    serial: int
    wid: int
    bank: int
    generation: int
    born: float
    is_first: bool
    phase: Phase = Phase.ORDERED
    pid: int = 0
    told: int = 0
    deadline: float | None = None
    outlived: bool = False
    usage: Usage | None = None

    def move(self, phase: Phase) -> None:
        """Go to another phase; a step that the table does not know is a bug of ours."""
        if phase not in TRANSITIONS[self.phase]:
            raise AssertionError(f"worker {self.wid} cannot go from {self.phase.value} to {phase.value}")
        self.phase = phase

    @property
    def stays(self) -> bool:
        """Whether it serves or is going to."""
        return self.phase is not Phase.LEAVING


@dataclass(slots=True)
class WorkerSlot:
    """A worker number. It has two processes while one replaces the other, each in a bank of the scoreboard.

    cramped: there is no memory for two processes, so the successor is started when the present one has gone.
    """

    wid: int
    workers: list[Worker] = field(default_factory=list)
    failures: int = 0
    not_before: float = 0.0
    spawned: int = 0
    cramped: bool = False

    @property
    def staying(self) -> list[Worker]:
        """Processes that serve or are going to, oldest first."""
        return [worker for worker in self.workers if worker.stays]

    @property
    def free_bank(self) -> int | None:
        """A bank that no living process writes, if there is one."""
        taken = {worker.bank for worker in self.workers}
        return next((bank for bank in range(BANKS) if bank not in taken), None)


@dataclass(slots=True)
class Template:
    """A template process. It is asked for workers once it is ready; `deadline` is when it is killed."""

    generation: int
    pid: int
    ready: bool = False
    stopping: bool = False
    failed: bool = False
    deadline: float | None = None


@dataclass(slots=True)
class Reload:
    """New code is on its way in, by a template newer than generation `beyond`.

    promoted: that template is loaded. again: somebody asked once more meanwhile.
    """

    brutal: bool
    beyond: int
    promoted: bool = False
    again: bool = False


@dataclass(slots=True)
class Stop:
    """The server is ending, because of `error` if there is one. stays: all but the master, until it is told to stop."""

    since: float
    immediate: bool = False
    error: ServerError | None = None
    stays: bool = False


class Fleet:
    """All rows. `template` serves orders, `candidate` is loading; `booted` once all workers were ready together."""

    def __init__(self, processes: int, *, mercy: float, recycling: RecyclingSettings | None = None) -> None:
        self.slots = tuple(WorkerSlot(wid) for wid in range(1, processes + 1))
        self.mercy = mercy
        self.recycling = recycling if recycling is not None else RecyclingSettings()
        self.next_look: float | None = None  # when the next sample of what workers use is due
        self.templates: list[Template] = []
        self.template_failures = 0
        self.template_not_before = 0.0
        self.booted = False
        self.awaits_change = False  # nothing is started until somebody asks for a reload (autoreload, broken code)
        self.reload: Reload | None = None
        self.stop: Stop | None = None
        self.paused = False
        self.alarm: float | None = None  # what policies asked for with WakeAt since the last round
        self._serials = itertools.count(1)
        self.last_generation = 0

    # --- reading ------------------------------------------------------------------------------------------------------

    def workers(self) -> Iterator[Worker]:
        """Every worker process, also those that were only ordered."""
        return itertools.chain.from_iterable(slot.workers for slot in self.slots)

    def slot(self, wid: int) -> WorkerSlot:
        """The slot of worker number `wid`."""
        return self.slots[wid - 1]

    def worker_of_pid(self, pid: int) -> Worker | None:
        """The worker that is process `pid`."""
        return next((worker for worker in self.workers() if worker.pid == pid), None)

    def worker_of_serial(self, serial: int) -> Worker | None:
        """The worker ordered with `serial`."""
        return next((worker for worker in self.workers() if worker.serial == serial), None)

    def orders_of(self, generation: int) -> Iterator[Worker]:
        """Workers that the template of a generation was told to fork and has not announced."""
        return (w for w in self.workers() if w.phase is Phase.ORDERED and w.generation == generation)

    def template_of_pid(self, pid: int) -> Template | None:
        """The template that is process `pid`."""
        return next((template for template in self.templates if template.pid == pid), None)

    def template_of_generation(self, generation: int) -> Template | None:
        """The template of a generation, while it lives."""
        return next((template for template in self.templates if template.generation == generation), None)

    @property
    def template(self) -> Template | None:
        """The newest template that takes orders."""
        usable = [template for template in self.templates if template.ready and not template.stopping]
        return usable[-1] if usable else None

    @property
    def candidate(self) -> Template | None:
        """The template that is loading."""
        return next((t for t in self.templates if not (t.ready or t.stopping or t.failed)), None)

    @property
    def is_gone(self) -> bool:
        """Whether no process is left."""
        return not self.templates and not any(slot.workers for slot in self.slots)

    def deadlines(self) -> Iterator[float]:
        """Instants at which something is or was due although nothing happens."""
        rows: Iterator[Worker | Template] = itertools.chain(self.workers(), self.templates)
        yield from (row.deadline for row in rows if row.deadline is not None)
        if self.alarm is not None:
            yield self.alarm
        if self.next_look is not None:
            yield self.next_look
        if self.stop is None:
            yield from (slot.not_before for slot in self.slots)
            yield self.template_not_before

    # --- writing ------------------------------------------------------------------------------------------------------

    def next_generation(self) -> int:
        """The number of the next template."""
        self.last_generation += 1
        return self.last_generation

    def ordered(self, wid: int, bank: int, generation: int, now: float) -> Worker:
        """The template was told to fork a worker."""
        slot = self.slot(wid)
        worker = Worker(next(self._serials), wid, bank, generation, now, is_first=slot.spawned == 0)
        slot.spawned += 1
        slot.workers.append(worker)
        return worker

    def born(self, worker: Worker, pid: int, now: float) -> None:
        """An ordered worker exists."""
        worker.move(Phase.STARTING)
        worker.pid, worker.born = pid, now

    def told(self, worker: Worker, number: int, deadline: float | None) -> None:
        """A worker was sent a signal that ends it, and has until `deadline`."""
        worker.move(Phase.LEAVING)
        worker.told, worker.deadline = number, deadline

    def gone(self, worker: Worker) -> None:
        """A worker process ended, or was never born."""
        slot = self.slot(worker.wid)
        slot.workers.remove(worker)
        slot.cramped = slot.cramped and bool(slot.workers)

    def begin_stop(self, now: float, *, error: ServerError | None = None) -> None:
        """The server ends; a second call changes nothing but may add the cause."""
        if self.stop is None:
            self.stop = Stop(now, error=error)
            self.reload = None

    def begin_reload(self, *, brutal: bool) -> bool:
        """New code is wanted; False when a reload runs already, which is then followed by another."""
        if self.reload is not None:
            self.reload.again = True
            self.reload.brutal = self.reload.brutal or brutal
            return False
        self.reload = Reload(brutal, self.last_generation)
        return True
