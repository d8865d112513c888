"""Gateways run while the server does: start what is missing, exchange in a reload, stop them before the workers. Pure.

A gateway's clients wait for answers of workers, so at the end of the server it goes first, and workers are there until
the last gateway has gone. In a reload that brings new settings a new process accepts before the old one is told to
leave, which finishes what its clients have begun.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

from uwsgi_deploy.master.actions import Action, KillGateway, StartGateway, TellGateway, WakeAt
from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.master.gateways import GatewaySlot
from uwsgi_deploy.master.policies.stop import IMMEDIATE_GRACE, mercy_of
from uwsgi_deploy.master.reload_rows import Stage


def gateways(fleet: Fleet, now: float) -> Iterator[Action]:
    """The next step for each gateway."""
    for slot in fleet.gateways:
        for process in slot.processes:
            if process.deadline is not None and process.deadline <= now:
                yield KillGateway(process.pid)
            elif process.deadline is not None:
                yield WakeAt(process.deadline)
        if fleet.stop is not None:
            yield from _stop(fleet, slot)
        elif not slot.wanted:
            yield from _dismiss_unwanted(fleet, slot)
        else:
            yield from _keep(fleet, slot, now)


def _stop(fleet: Fleet, slot: GatewaySlot) -> Iterator[Action]:
    assert fleet.stop is not None
    number = signal.SIGQUIT if fleet.stop.immediate else signal.SIGTERM
    grace = IMMEDIATE_GRACE if fleet.stop.immediate else mercy_of(fleet)
    for process in slot.processes:
        if process.told not in (number, signal.SIGQUIT):
            yield TellGateway(process.pid, number, grace)


def _dismiss_unwanted(fleet: Fleet, slot: GatewaySlot) -> Iterator[Action]:
    """The new settings have fewer gateways, or none; a reload that fails brings the former ones back."""
    if fleet.reload is not None and fleet.reload.stage is not Stage.ROLLING:
        return
    for process in slot.staying:
        yield TellGateway(process.pid, signal.SIGHUP, mercy_of(fleet))


def _keep(fleet: Fleet, slot: GatewaySlot, now: float) -> Iterator[Action]:
    staying = slot.staying
    old = [process for process in staying if process.is_old] if fleet.exchanges_gateways else []
    fresh = [process for process in staying if process not in old]
    if fresh:
        for process in old:
            if fresh[-1].ready:
                yield TellGateway(process.pid, signal.SIGHUP, mercy_of(fleet))
    elif (old or _may_start(fleet)) and slot.not_before <= now:
        yield StartGateway(slot.number, slot.kind)
    elif slot.not_before > now:
        yield WakeAt(slot.not_before)


def _may_start(fleet: Fleet) -> bool:
    """At a server's start only when the application is loaded: before that it would invite clients in vain."""
    return fleet.booted or fleet.template is not None or not fleet.slots
