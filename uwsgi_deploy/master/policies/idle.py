"""A server that nobody uses stops its workers, or itself; the first client wakes them. Pure.

While it sleeps the master watches the listening sockets. Who connects waits in the kernel's queue until a worker is
there, so nobody is refused: the template, which has the application, stays.
"""

from __future__ import annotations

from collections.abc import Iterator

from uwsgi_deploy.master.actions import Action, EndServer, Sleep, UnwatchListeners, WatchListeners
from uwsgi_deploy.master.fleet import Fleet


def idle(fleet: Fleet, now: float) -> Iterator[Action]:
    """Let everybody go after the idle time."""
    settings = fleet.cheaper
    if fleet.asleep or not settings.idle or not fleet.is_settled or fleet.reload is not None:
        return
    quiet = now - fleet.last_activity
    if quiet < settings.idle:
        return
    line = f"workers have been inactive for more than {settings.idle:g} seconds ({int(quiet)})"
    yield EndServer(line) if settings.die_on_idle else Sleep(line)


def watch_clients(fleet: Fleet, _now: float) -> Iterator[Action]:
    """Look for clients exactly while there is nobody else who does."""
    if fleet.asleep and not fleet.watching and fleet.booted and fleet.stop is None:
        yield WatchListeners()
    if fleet.watching and not fleet.asleep:
        yield UnwatchListeners()


def die_on_no_workers(fleet: Fleet, _now: float) -> Iterator[Action]:
    """End when the last worker was stopped and no other is wanted."""
    if not fleet.cheaper.die_on_no_workers or not fleet.is_settled or not fleet.size:
        return
    if all(slot.cheap and not slot.workers for slot in fleet.slots):
        yield EndServer("no more workers running, the server ends (die-on-no-workers)")
