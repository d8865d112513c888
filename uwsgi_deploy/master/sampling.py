"""What the master finds out about its workers by looking, in coarse ticks and only when an option needs it."""

from __future__ import annotations

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.process import memory


class Sampler:
    """Writes samples into the fleet's rows; `Fleet.next_look` says when the next one is due."""

    def __init__(self, settings: Settings) -> None:
        recycling = settings.recycling
        self._weighs = bool(recycling.evil_reload_on_as or recycling.evil_reload_on_rss)
        self._interval = max(recycling.mem_collector_freq, 0.1)

    def look(self, fleet: Fleet, now: float) -> None:
        """Sample what is due."""
        if self._weighs and (fleet.next_look is None or now >= fleet.next_look):
            fleet.next_look = now + self._interval
            for worker in fleet.workers():
                if worker.phase is not Phase.ORDERED:
                    worker.usage = memory.usage(worker.pid)
        for slot in fleet.slots:
            if any(worker.outlived and worker.stays for worker in slot.workers):
                _measure_room(fleet, slot.wid)


def _measure_room(fleet: Fleet, wid: int) -> None:
    """Whether a second process of this number fits, which may grow as large as the first."""
    slot = fleet.slot(wid)
    if len(slot.workers) > 1:
        return
    room = memory.available()
    slot.workers[0].usage = used = memory.usage(slot.workers[0].pid)
    slot.cramped = room is not None and used is not None and room < used.resident
