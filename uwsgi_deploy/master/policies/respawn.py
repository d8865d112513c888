"""Every slot has a worker, and there is a template: replace what ended, with growing pauses for failed starts.

The pause is per worker number, so that one that crashes at once does not hold up its siblings. It grows for workers
that end before they serve. One that has served shows that its successor can: pauses must not keep the service down
because of a request that kills, so they stay short; and who was killed with SIGKILL (by an operator, or by the kernel
that needed memory) did not fail at all. Pure: reads the fleet, returns actions; never waits.
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
# Killed before it served: perhaps only because it was there, perhaps for want of memory.
PAUSE_OF_KILLED = 0.5
# So many failed starts of a worker in a row are called what they are; a server that never served ends.
MOST_FAILED_STARTS = 5


def respawn(fleet: Fleet, now: float) -> Iterator[Action]:
    """Order workers for slots that have none; load a template when there is none."""
    if (fleet.stop is not None and not fleet.is_draining) or fleet.awaits_change:
        return
    if fleet.reload is not None and fleet.reload.stage is Stage.EMPTYING and fleet.booted:
        return
    needy = [slot for slot in fleet.slots if _needs_worker(slot, now)]
    if fleet.template is None:
        is_due = fleet.stop is None and fleet.candidate is None and fleet.template_not_before <= now
        if is_due and (needy or _is_wanted(fleet)):
            yield StartTemplate()
        return
    for slot in needy:
        bank = slot.free_bank
        # A template from before the number of workers grew cannot fork those that are new.
        if bank is not None and slot.wid <= fleet.template.processes:
            yield OrderWorker(slot.wid, bank)


def _is_wanted(fleet: Fleet) -> bool:
    """Whether there should be a template although no worker is missing.

    While the server serves, so that a worker that dies later does not wait for an import; not when loading fails again
    and again, nor when a reload is about to bring one. A reload that replaces workers needs one. A server that starts
    without workers (cheap) wants to know whether its application loads.
    """
    if not fleet.size:
        return False  # a router alone: nobody serves an application
    if not fleet.booted:
        return not fleet.active
    brings_one = fleet.reload is not None and fleet.reload.stage is not Stage.ROLLING
    return not brings_one and fleet.template_failures < MOST_FAILED_STARTS


def _needs_worker(slot: WorkerSlot, now: float) -> bool:
    if slot.cheap:
        return False
    if slot.cramped and slot.workers:
        return False  # there is no memory for two
    return slot.wanted and not slot.staying and slot.free_bank is not None and slot.not_before <= now


def pause_after(failures: int, *, served: bool = False, killed: bool = False) -> float:
    """Seconds until the next try after so many short lives in a row: 0, 0.1, 0.2, 0.4 … 5; at most 0.1 after a worker
    that served, and 0.5 after one that was killed with SIGKILL."""
    if failures <= 1:
        return 0.0
    longest = FIRST_PAUSE if served else PAUSE_OF_KILLED if killed else LONGEST_PAUSE
    return min(FIRST_PAUSE * 2.0 ** min(failures - 2, 10), longest)


def failures_after(failures: int, lifetime: float, *, served: bool = False, killed: bool = False) -> int:
    """Short lives in a row, after one more unexpected end. served: it had begun to accept. killed: with SIGKILL."""
    if lifetime >= SOUND_LIFE or (served and killed):
        return 0
    return min(failures + 1, MOST_FAILED_STARTS - 1) if served else failures + 1
