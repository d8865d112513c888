"""Every slot has a worker: replace those that ended, with growing pauses for those that end soon after their birth.

Pure: reads the fleet, returns actions; never waits. The pause is per worker number, so that one that crashes at once
does not hold up its siblings.
"""

from __future__ import annotations

from collections.abc import Iterator

from uwsgi_deploy.master.actions import Action, OrderWorker, StartTemplate
from uwsgi_deploy.master.fleet import Fleet, WorkerSlot
from uwsgi_deploy.master.reload_rows import Stage

# A worker that lived this long (seconds) was no failed start.
SOUND_LIFE = 10.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def respawn(fleet: Fleet, now: float) -> Iterator[Action]:
    """Order workers for slots that have none; load a template first when there is none."""
    if fleet.stop is not None or fleet.awaits_change:
        return
    if fleet.reload is not None and fleet.reload.stage is Stage.EMPTYING:
        return
    needy = [slot for slot in fleet.slots if _needs_worker(slot, now)]
    if not needy and (fleet.booted or fleet.active):
        return  # a server that starts without workers (cheap) still wants to know whether its application loads
    if fleet.template is None:
        if fleet.candidate is None and fleet.template_not_before <= now:
            yield StartTemplate()
        return
    for slot in needy:
        bank = slot.free_bank
        # A template from before the number of workers grew cannot fork those that are new.
        if bank is not None and slot.wid <= fleet.template.processes:
            yield OrderWorker(slot.wid, bank)


def _needs_worker(slot: WorkerSlot, now: float) -> bool:
    if slot.cheap:
        return False
    if slot.cramped and slot.workers:
        return False  # there is no memory for two
    return slot.wanted and not slot.staying and slot.free_bank is not None and slot.not_before <= now


def pause_after(failures: int) -> float:
    """Seconds until the next try after so many short lives in a row: 0, 0.1, 0.2, 0.4 … 5."""
    if failures <= 1:
        return 0.0
    return min(FIRST_PAUSE * 2.0 ** min(failures - 2, 10), LONGEST_PAUSE)


def failures_after(failures: int, lifetime: float) -> int:
    """Short lives in a row, after one more unexpected end."""
    return failures + 1 if lifetime < SOUND_LIFE else 0
