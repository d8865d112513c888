"""The master's table: a slot per worker number, a row per process in it, the templates, and what the server is up to.

Rows change only through the methods here, along `TRANSITIONS`. The table knows no system call and no clock: instants
(monotonic seconds) are passed in. Policies read it, the executor and the master write it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from uwsgi_deploy.config.settings import CheaperSettings, HarakiriSettings, RecyclingSettings
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.master.cases import HarakiriCase
from uwsgi_deploy.master.daemons import Daemon
from uwsgi_deploy.master.load import Load
from uwsgi_deploy.master.policies.algorithms import BY_NAME
from uwsgi_deploy.master.reload_rows import (
    EXCLUSIVE,
    FIRST_STAGE,
    RANK,
    RENEWING,
    Outcome,
    Reload,
    ReloadKind,
    Stage,
)
from uwsgi_deploy.master.rows import Checker, Stop, Template
from uwsgi_deploy.process.memory import Usage
from uwsgi_deploy.shared.scoreboard import BANKS, Running

if TYPE_CHECKING:
    from uwsgi_deploy.master.gateways import GatewaySlot


class Phase(Enum):
    """Where a worker process is in its life."""

    ORDERED = "ordered"  # the template was told to fork it
    STARTING = "starting"  # it exists and does not accept yet
    READY = "ready"  # it accepts connections
    LEAVING = "leaving"  # it was told to end


# So many ends of reloads are remembered for those who ask.
MOST_OUTCOMES = 20

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
    running: what its cores ran at the last look. case: of an overdue request; no new one before harakiri_not_before.
    pulse: when it last showed that its interpreter is free (`Scoreboard.pulse`). judged: requests, as (core, started),
    that were reported and answered and are only waited for; the next image of the master has to know. shortest: the
    shortest limit that its application gave a request (`Scoreboard.shortest`). next_nudge: see `actions.Nudge`.
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
    running: Sequence[Running] = field(default_factory=list)  # a list: no part of the manifest
    case: HarakiriCase | None = None
    harakiri_not_before: float = 0.0
    pulse: float = 0.0
    judged: tuple[tuple[int, float], ...] = ()
    shortest: float = inf
    next_nudge: float = 0.0

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

    cheap: no worker with this number is wanted at present.
    cramped: there is no memory for two processes, so the successor is started when the present one has gone.
    """

    wid: int
    workers: list[Worker] = field(default_factory=list)
    failures: int = 0
    not_before: float = 0.0
    spawned: int = 0
    cheap: bool = False
    cramped: bool = False
    wanted: bool = True  # whether somebody should serve here
    harakiri_count: int = 0

    @property
    def staying(self) -> list[Worker]:
        """Processes that serve or are going to, oldest first."""
        return [worker for worker in self.workers if worker.stays]

    @property
    def free_bank(self) -> int | None:
        """A bank that no living process writes, if there is one."""
        taken = {worker.bank for worker in self.workers}
        return next((bank for bank in range(BANKS) if bank not in taken), None)


class Fleet:
    """All rows. `template` serves orders, `candidate` is loading; `booted` once all workers were ready together."""

    def __init__(
        self,
        processes: int,
        *,
        mercy: float,
        recycling: RecyclingSettings | None = None,
        cheaper: CheaperSettings | None = None,
    ) -> None:
        self.size = processes
        self.slots = tuple(WorkerSlot(wid) for wid in range(1, processes + 1))
        self.mercy = mercy
        self.recycling = recycling if recycling is not None else RecyclingSettings()
        self.cheaper = cheaper if cheaper is not None else CheaperSettings()
        self.algorithm = BY_NAME[self.cheaper.cheaper_algo](self.cheaper) if self.cheaper.cheaper else None
        self.adjusted = -inf  # when somebody last said how many workers there are to be
        self.asleep = self.cheaper.cheap  # there are no workers, and the first client wakes the server
        for slot in self.slots[0 if self.asleep else self.initial :]:
            slot.cheap = True
        self.watching = False  # the master waits for that client
        self.last_activity = 0.0
        self.load: Load | None = None  # in rounds in which the load was looked at
        self.next_look: float | None = None  # when the next sample of what workers use is due
        self.templates: list[Template] = []
        self.daemons: list[Daemon] = []
        self.gateways: list[GatewaySlot] = []
        self.template_failures = 0
        self.template_not_before = 0.0
        self.booted = False
        self.awaits_change = False  # nothing is started until somebody asks for a reload (autoreload, broken code)
        self.can_execute = False  # a server that was started from Python keeps its settings and its own code
        self.reload: Reload | None = None
        self.checker: Checker | None = None
        self.outcomes: list[Outcome] = []
        self.last_reload = 0
        self.stop: Stop | None = None
        self.leaving_since: float | None = None  # lame-duck: told to stop, and serving until the next instant
        self.leaves_at = 0.0
        self.paused = False
        self.harakiri = HarakiriSettings()
        self.shortest_limit = inf  # the least that they let any request run, in seconds
        # Clients in the longest listen queue; looked at for harakiri-queue-threshold, None when nobody knows.
        self.listen_queue: int | None = None
        self.resumed = False  # once: then workers may have been ordered while it was paused
        self.alarm: float | None = None  # what policies asked for with WakeAt since the last round
        self.last_serial = 0
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

    def orphaned_generations(self) -> set[int]:
        """Generations that have orders and no template any more."""
        living = {template.generation for template in self.templates}
        return {w.generation for w in self.workers() if w.phase is Phase.ORDERED and w.generation not in living}

    def daemon_of_pid(self, pid: int) -> Daemon | None:
        """The daemon of which process `pid` is a part."""
        return next((daemon for daemon in self.daemons if pid in (daemon.pid, daemon.launcher)), None)

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
    def initial(self) -> int:
        """Workers to begin with."""
        if not self.cheaper.cheaper:
            return len(self.slots)
        return min(len(self.slots), max(self.cheaper.cheaper_initial, self.cheaper.cheaper))

    @property
    def active(self) -> list[WorkerSlot]:
        """The worker numbers that are to have a process."""
        return [slot for slot in self.slots if slot.wanted and not slot.cheap]

    @property
    def spare(self) -> list[WorkerSlot]:
        """The worker numbers that could have a process and are not to have one; first those that could have it now."""
        spare = [slot for slot in self.slots if slot.wanted and slot.cheap]
        return sorted(spare, key=lambda slot: slot.free_bank is None)

    @property
    def is_settled(self) -> bool:
        """Whether nothing else decides about workers: no start, stop or pause, no reload that exchanges them."""
        busy = self.reload is not None and self.reload.stage in EXCLUSIVE
        return self.booted and self.stop is None and not busy and not self.paused

    @property
    def has_gateways(self) -> bool:
        """Whether a process of the http router is there."""
        return any(slot.processes for slot in self.gateways)

    @property
    def exchanges_gateways(self) -> bool:
        """Whether gateways of before are to be replaced now: they have settings and code of their own."""
        return self.reload is not None and self.reload.stage is Stage.ROLLING and self.reload.kind in RENEWING

    @property
    def is_draining(self) -> bool:
        """Whether the server stops, and workers are needed for the requests that gateways have still."""
        return self.stop is not None and not self.stop.immediate and self.has_gateways

    @property
    def is_gone(self) -> bool:
        """Whether no process is left."""
        if self.has_gateways:
            return False
        if any(daemon.pid and daemon.ends_with_server for daemon in self.daemons):
            return False
        return not self.templates and self.checker is None and not any(slot.workers for slot in self.slots)

    def is_old(self, worker: Worker) -> bool:
        """Whether the running reload replaces this worker."""
        reload = self.reload
        if reload is None or reload.stage is not Stage.ROLLING:
            return False
        if reload.target is None:
            return worker.serial <= reload.after
        return worker.generation != reload.target

    @property
    def returns(self) -> bool:
        """Whether what a failed reload replaced is coming back."""
        return self.reload is not None and self.reload.kind is ReloadKind.RETURN

    def state_of_reload(self, number: int) -> Outcome | None:
        """How reload `number` ended; None while it runs or waits. LookupError when there is no such reload."""
        for outcome in self.outcomes:
            if outcome.id == number:
                return outcome
        if self.reload is not None and number in (self.reload.id, self.reload.again) and number:
            return None
        raise LookupError(number)

    @property
    def is_over(self) -> bool:
        """Whether the master has nothing more to do."""
        return self.stop is not None and not self.stop.stays and self.is_gone

    def deadlines(self) -> Iterator[float]:
        """Instants at which something is or was due although nothing happens."""
        checkers = () if self.checker is None else (self.checker,)
        rows: Iterator[Worker | Template | Checker | Daemon] = itertools.chain(
            self.workers(), self.templates, checkers, self.daemons
        )
        yield from (row.deadline for row in rows if row.deadline is not None)
        if self.alarm is not None:
            yield self.alarm
        if self.next_look is not None:
            yield self.next_look
        if self.stop is None:
            yield from (slot.not_before for slot in self.slots)
            yield self.template_not_before
            for daemon in self.daemons:
                yield from (daemon.not_before, daemon.next_look)

    # --- writing ------------------------------------------------------------------------------------------------------

    def sleep(self) -> None:
        """All workers are to go, until `wake`."""
        self.asleep = True
        for slot in self.slots:
            slot.cheap = True

    def wake(self, now: float) -> None:
        """As many workers as at the start are wanted."""
        self.asleep = False
        self.last_activity = now
        for slot in self.spare[: self.initial]:
            slot.cheap = False

    def next_generation(self) -> int:
        """The number of the next template."""
        self.last_generation += 1
        return self.last_generation

    def ordered(self, wid: int, bank: int, generation: int, now: float) -> Worker:
        """The template was told to fork a worker."""
        slot = self.slot(wid)
        self.last_serial += 1
        worker = Worker(self.last_serial, wid, bank, generation, now, is_first=slot.spawned == 0)
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
        """A worker process ended, or was never born. A slot beyond the server's size goes with its last one."""
        slot = self.slot(worker.wid)
        slot.workers.remove(worker)
        slot.cramped = slot.cramped and bool(slot.workers)
        while len(self.slots) > self.size and not self.slots[-1].workers:
            self.slots = self.slots[:-1]

    def resize(self, processes: int, *, elastic: bool = False) -> None:
        """From now on there are so many worker numbers; slots beyond are emptied by the reload that brought the number.

        As many as before have a worker, if the settings allow that. elastic: whether there was cheaper before.
        """
        self.size = processes
        before = len(self.active)
        missing = range(len(self.slots) + 1, processes + 1)
        spare = bool(self.cheaper.cheaper)
        self.slots = (*self.slots, *(WorkerSlot(wid, cheap=spare) for wid in missing))
        for slot in self.slots:
            slot.wanted = slot.wid <= processes
            slot.cheap = self.asleep or (slot.cheap and (spare or not elastic))
        if not self.asleep:
            for slot in self.spare[: max(1, self.cheaper.cheaper, min(before, processes)) - len(self.active)]:
                slot.cheap = False

    def pause(self, *, paused: bool) -> None:
        """Workers serve nobody, or serve again."""
        self.resumed = self.resumed or self.paused
        self.paused = paused

    def begin_farewell(self, now: float, seconds: float) -> None:
        """The server is to end, and serves on for a while."""
        self.leaving_since, self.leaves_at = now, now + seconds

    def begin_stop(self, now: float, *, error: ServerError | None = None, stays: bool = False) -> None:
        """The server ends, of which a master that `stays` is no part; a later call can only end that one, too."""
        if self.stop is None:
            self.stop = Stop(now, error=error, stays=stays)
            self.reload = None
        elif self.stop.stays and not stays:
            self.stop.stays = False
            self.stop.error = error

    def begin_reload(self, kind: ReloadKind) -> int:
        """Something new is wanted; the id of the reload that brings it. One that runs is followed by another."""
        running = self.reload
        if running is None:
            self.last_reload += 1
            self._set_off(self.last_reload, kind)
            return self.last_reload
        if not running.again:
            self.last_reload += 1
            running.again, running.again_kind = self.last_reload, kind
        elif RANK[kind] >= RANK[running.again_kind]:
            running.again_kind = kind
        return running.again

    def skip_loading(self) -> None:
        """Without workers there is nothing to load."""
        if self.reload is not None and self.reload.stage is Stage.LOADING and not self.size:
            self.reload.stage = Stage.ROLLING

    def begin_loading(self) -> None:
        """The running reload loads the new application. A template that was started meanwhile, for another that died,
        has the old settings."""
        assert self.reload is not None
        self.reload.stage, self.reload.beyond = Stage.LOADING, self.last_generation
        self._gateways_are_old()
        self.skip_loading()

    def end_reload(self, *, ok: bool, message: str) -> Reload:
        """The running reload is over; one that waits begins. Returns the one that ended."""
        ended = self.reload
        assert ended is not None
        self.reload = None
        if ended.kind is not ReloadKind.RETURN:
            self.outcomes = [*self.outcomes[1 - MOST_OUTCOMES :], Outcome(ended.id, ok, message)]
        if ended.again:
            self._set_off(ended.again, ended.again_kind)
        return ended

    def give_up_reload(self, reason: str) -> Reload:
        """The running reload has failed. What it replaced already returns, if a template of that time is left."""
        running = self.reload
        assert running is not None
        back = [t for t in self.templates if t.ready and not t.stopping and t.generation <= running.beyond]
        mixed = any(worker.generation > running.beyond and worker.stays for worker in self.workers())
        mixed = mixed or any(not process.is_old for slot in self.gateways for process in slot.staying)
        follows, running.again = running.again, 0
        ended = self.end_reload(ok=False, message=reason)
        if (back or not self.size) and mixed and ended.kind is not ReloadKind.RETURN:
            self._set_off(ended.id, ReloadKind.RETURN)
            assert self.reload is not None
            self.reload.target = back[-1].generation if back else None
            self.reload.again, self.reload.again_kind = follows, ended.again_kind
        elif follows:
            self._set_off(follows, ended.again_kind)
        return ended

    def _gateways_are_old(self) -> None:
        for slot in self.gateways:
            slot.failures = 0
            for process in slot.processes:
                process.is_old = True

    def _set_off(self, number: int, kind: ReloadKind) -> None:
        self._gateways_are_old()
        for daemon in self.daemons:
            daemon.is_old = True
        stage = FIRST_STAGE[kind]
        if stage is Stage.CHECKING and not self.can_execute:
            stage = Stage.EMPTYING if kind is ReloadKind.RESTART else Stage.LOADING
        self.reload = Reload(number, kind, stage, self.last_generation, self.last_serial)

    def try_again(self) -> None:
        """What was broken may be mended: start as if nothing had failed."""
        self.awaits_change = False
        for slot in self.slots:
            slot.failures, slot.not_before = 0, 0.0

    def boot(self) -> None:
        """Every worker serves; a reload that was wanted meanwhile begins."""
        self.booted = True
        if self.reload is not None:
            self.reload.beyond, self.reload.after = self.last_generation, self.last_serial
