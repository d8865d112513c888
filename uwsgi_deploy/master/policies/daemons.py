"""Daemons run while the server does: start what is missing, restart what should be, stop them after the workers. Pure.

Smart daemons, those with a pid file, are looked for there, started when they are missing, and never stopped.
"""

from __future__ import annotations

from collections.abc import Iterator

from uwsgi_deploy.master.actions import Action, KillDaemon, LookAtDaemon, StartDaemon, TellDaemon
from uwsgi_deploy.master.daemons import Daemon
from uwsgi_deploy.master.fleet import Fleet


def daemons(fleet: Fleet, now: float) -> Iterator[Action]:
    """The next step for each daemon."""
    for index, daemon in enumerate(fleet.daemons):
        if daemon.deadline is not None and daemon.deadline <= now:
            yield KillDaemon(index)
        elif fleet.stop is not None:
            yield from _stop(fleet, index, daemon)
        else:
            yield from _keep(fleet, index, daemon, now)


def _stop(fleet: Fleet, index: int, daemon: Daemon) -> Iterator[Action]:
    """Requests may need a daemon to their end, so it goes after the workers; not so when everything goes at once."""
    assert fleet.stop is not None
    is_its_turn = fleet.stop.immediate or not any(slot.workers for slot in fleet.slots)
    if is_its_turn and daemon.pid and daemon.ends_with_server and not daemon.told:
        yield TellDaemon(index, daemon.spec.stop_signal)


def _keep(fleet: Fleet, index: int, daemon: Daemon, now: float) -> Iterator[Action]:
    if daemon.leaving:
        # A reload that fails brings the former settings back, and this daemon with them.
        if daemon.pid and not daemon.told and fleet.reload is None and daemon.ends_with_server:
            yield TellDaemon(index, daemon.spec.stop_signal)
    elif daemon.pending and daemon.pid:
        if not daemon.told:
            yield TellDaemon(index, daemon.pending)
    elif daemon.spec.is_smart:
        if daemon.next_look <= now:
            yield LookAtDaemon(index)
    elif not daemon.pid and daemon.not_before <= now:
        yield StartDaemon(index)
