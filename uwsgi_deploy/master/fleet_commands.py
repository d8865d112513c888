"""Commands about single workers and their number: what they change in the fleet, and the answer. No system call."""

from __future__ import annotations

from collections.abc import Sequence

from uwsgi_deploy.master.commands import Reply
from uwsgi_deploy.master.fleet import Fleet, Phase


def recycle_workers(fleet: Fleet, numbers: Sequence[str]) -> Reply:
    """Have the workers with these numbers replaced, all when none is given; each serves until its successor does."""
    if fleet.stop is not None:
        return Reply(ok=False, message="the server is stopping")
    known = {str(slot.wid) for slot in fleet.slots}
    unknown = [number for number in numbers if number not in known]
    if unknown:
        return Reply(ok=False, message=f"there is no worker {unknown[0]}: workers are numbered 1 to {len(fleet.slots)}")
    wanted = set(numbers) or known
    recycled = [worker for worker in fleet.workers() if worker.phase is Phase.READY and str(worker.wid) in wanted]
    for worker in recycled:
        worker.outlived = True
    if not recycled:
        return Reply(ok=False, message="no such worker runs at the moment")
    names = ", ".join(str(worker.wid) for worker in recycled)
    return Reply(ok=True, message=f"replacing worker {names}" if len(recycled) == 1 else f"replacing workers {names}")
