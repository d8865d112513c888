"""Workers that are older than `max-worker-lifetime` are replaced, however busy or idle they are. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from uwsgi_deploy.master.actions import Action, Recycle, WakeAt
from uwsgi_deploy.master.fleet import Fleet, Phase


def lifetime(fleet: Fleet, now: float) -> Iterator[Action]:
    """Recycle who has lived long enough; of the others, wait for the oldest's day."""
    settings = fleet.recycling
    if not settings.max_worker_lifetime or fleet.stop is not None:
        return
    for worker in fleet.workers():
        if worker.phase is not Phase.READY or worker.outlived:
            continue
        age = now - worker.born
        most = settings.max_worker_lifetime + settings.max_worker_lifetime_delta * (worker.wid - 1)
        if age >= most:
            reason = f"worker {worker.wid} lifetime reached, it was running for {int(age)} second(s)"
            yield Recycle(worker.serial, reason)
        else:
            yield WakeAt(worker.born + most)
