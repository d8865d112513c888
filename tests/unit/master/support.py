"""Fleets for tests of policies: no process, no clock."""

from __future__ import annotations

import signal

from uwsgi_deploy.config.settings import CheaperSettings, RecyclingSettings
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.master.rows import Template


def fleet_of(
    processes: int,
    *,
    recycling: RecyclingSettings | None = None,
    cheaper: CheaperSettings | None = None,
    ready: bool = False,
) -> Fleet:
    """A fleet with a loaded template of generation 1; `ready`: with workers that serve, born at 0."""
    fleet = Fleet(processes, mercy=60.0, recycling=recycling, cheaper=cheaper)
    fleet.templates.append(Template(fleet.next_generation(), pid=1000, ready=True))
    if ready:
        fleet.booted = True
        for wid in range(1, processes + 1):
            add_worker(fleet, wid)
    return fleet


def add_worker(fleet: Fleet, wid: int, phase: Phase = Phase.READY, *, now: float = 0.0) -> Worker:
    """A worker in a phase, in a free bank."""
    bank = fleet.slot(wid).free_bank
    assert bank is not None
    worker = fleet.ordered(wid, bank, 1, now)
    if phase is not Phase.ORDERED:
        fleet.born(worker, 100 + worker.serial, now)
    if phase in (Phase.READY, Phase.LEAVING):
        worker.move(Phase.READY)
    if phase is Phase.LEAVING:
        fleet.told(worker, signal.SIGHUP, None)
    return worker
