"""A worker that eats the machine's memory inside a request is killed there: `evil-reload-on-rss` and `-as`.

The gentle limits (`reload-on-…`) are the workers' own business, see `worker.retirement`. Pure: memory is sampled by
`master.sampling`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

from uwsgi_deploy.master.actions import Action, Dismiss
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.policies.stop import IMMEDIATE_GRACE
from uwsgi_deploy.process.memory import MEBIBYTE


def memory(fleet: Fleet, _now: float) -> Iterator[Action]:
    """Kill who is beyond a limit; `respawn` sees to the successor."""
    settings = fleet.recycling
    limits = (
        ("ADDRESS SPACE", settings.evil_reload_on_as * MEBIBYTE),
        ("RSS", settings.evil_reload_on_rss * MEBIBYTE),
    )
    if fleet.stop is not None or not any(limit for _, limit in limits):
        return
    for worker in fleet.workers():
        if worker.usage is None or worker.phase not in (Phase.READY, Phase.STARTING):
            continue
        for (name, limit), size in zip(limits, worker.usage, strict=True):
            if limit and size >= limit:
                reason = f"*** EVIL RELOAD ON WORKER {worker.wid} {name}: {size} (pid: {worker.pid}) ***"
                yield Dismiss(worker.serial, signal.SIGKILL, IMMEDIATE_GRACE, reason)
                break
