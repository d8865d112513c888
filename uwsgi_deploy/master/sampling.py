"""What the master finds out about its workers by looking, in coarse ticks and only when an option needs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.master.load import Load, WorkerLoad
from uwsgi_deploy.master.policies.cheaper import CYCLE
from uwsgi_deploy.net.listener import Listener
from uwsgi_deploy.net.queue_length import queue_length
from uwsgi_deploy.process import memory
from uwsgi_deploy.shared.scoreboard import BANKS, Field, Scoreboard


class Sampler:
    """Writes samples into the fleet's rows; `Fleet.next_look` says when the next one is due."""

    def __init__(self, settings: Settings, scoreboard: Scoreboard, listeners: Iterable[Listener]) -> None:
        recycling, cheaper = settings.recycling, settings.cheaper
        self._scoreboard, self._listeners = scoreboard, tuple(listeners)
        self._weighs = bool(recycling.evil_reload_on_as or recycling.evil_reload_on_rss)
        self._weighs_load = bool(cheaper.cheaper_rss_limit_soft or cheaper.cheaper_rss_limit_hard)
        self._counts = bool(cheaper.cheaper or cheaper.idle)
        self._interval = max(recycling.mem_collector_freq, 0.1)
        self._memory_due = self._load_due = -inf
        self._requests = -1

    def look(self, fleet: Fleet, now: float) -> None:
        """Sample what is due."""
        fleet.load = None
        dues = []
        if self._weighs:
            if now >= self._memory_due:
                self._memory_due = now + self._interval
                self._weigh(fleet)
            dues.append(self._memory_due)
        if self._counts and not fleet.asleep:
            if now >= self._load_due:
                self._load_due = now + CYCLE
                fleet.load = self._load(fleet, now)
                self._note_activity(fleet, now)
            dues.append(self._load_due)
        fleet.next_look = min(dues, default=None)
        for slot in fleet.slots:
            if any(worker.outlived and worker.stays for worker in slot.workers):
                _measure_room(fleet, slot.wid)

    def _weigh(self, fleet: Fleet) -> None:
        for worker in fleet.workers():
            if worker.phase is not Phase.ORDERED:
                worker.usage = memory.usage(worker.pid)

    def _load(self, fleet: Fleet, now: float) -> Load:
        if self._weighs_load:
            self._weigh(fleet)
        # While one worker replaces another both may be ready; the number counts once.
        ready = [[worker for worker in slot.workers if worker.phase is Phase.READY] for slot in fleet.active]
        return Load(
            now,
            tuple(self._worker(workers, now) for workers in ready if workers),
            arriving=sum(1 for workers in ready if not workers),
            spare=len(fleet.spare),
            backlog=sum(queue_length(listener.socket) or 0 for listener in self._listeners),
            memory=sum(worker.usage.resident for worker in fleet.workers() if worker.usage is not None),
        )

    def _worker(self, workers: Sequence[Worker], now: float) -> WorkerLoad:
        """Time in requests is counted when they end; of those that run it is what they have taken so far."""
        board, wid = self._scoreboard, workers[0].wid
        running = [max(0.0, now - request.started) for worker in workers for request in board.running(wid, worker.bank)]
        counted = sum(int(board.record_in(wid, bank)[Field.RUNNING_TIME]) for bank in range(BANKS)) / 1e6
        return WorkerLoad(wid, bool(running), counted + sum(running))

    def _note_activity(self, fleet: Fleet, now: float) -> None:
        """Whether anybody wanted anything since the last look."""
        requests = self._scoreboard.total(Field.REQUESTS)
        busy = fleet.load is not None and any(worker.busy for worker in fleet.load.workers)
        if busy or requests != self._requests or not fleet.is_settled:
            fleet.last_activity = now
        self._requests = requests


def _measure_room(fleet: Fleet, wid: int) -> None:
    """Whether a second process of this number fits, which may grow as large as the first."""
    slot = fleet.slot(wid)
    if len(slot.workers) > 1:
        return
    room = memory.available()
    slot.workers[0].usage = used = memory.usage(slot.workers[0].pid)
    slot.cramped = room is not None and used is not None and room < used.resident
