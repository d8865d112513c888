"""Commands about single workers and their number: what they change in the fleet, and the answer. No system call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from uwsgi_deploy.master.commands import Command, Reply, Request
from uwsgi_deploy.master.fleet import Fleet, Phase
from uwsgi_deploy.master.policies.cheaper import dispensable

FLEET_COMMANDS = (
    Command.RECYCLE_WORKERS,
    Command.MORE_WORKERS,
    Command.FEWER_WORKERS,
    Command.GO_CHEAP,
    Command.WAKE,
)


def change_fleet(fleet: Fleet, request: Request, now: float) -> Reply:
    """Obey one of the commands about workers."""
    match request.command:
        case Command.RECYCLE_WORKERS:
            return recycle_workers(fleet, request.arguments)
        case Command.MORE_WORKERS:
            return more_workers(fleet, request.arguments, now)
        case Command.FEWER_WORKERS:
            return fewer_workers(fleet, request.arguments, now)
        case Command.GO_CHEAP:
            return go_cheap(fleet)
        case _:
            return wake(fleet, now)


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
    return Reply(ok=True, message=f"replacing {_named(worker.wid for worker in recycled)}")


def more_workers(fleet: Fleet, arguments: Sequence[str], now: float) -> Reply:
    """Start as many workers as the argument says, one without it."""
    count = _count(arguments)
    if count is None or fleet.stop is not None:
        return _refusal(fleet, arguments)
    chosen = fleet.spare[:count]
    if not chosen:
        return Reply(ok=False, message=f"all {fleet.size} workers run already (option processes)")
    fleet.asleep = False
    fleet.adjusted = fleet.last_activity = now
    for slot in chosen:
        slot.cheap = False
    return Reply(ok=True, message=f"starting {_named(slot.wid for slot in chosen)}")


def fewer_workers(fleet: Fleet, arguments: Sequence[str], now: float) -> Reply:
    """Stop as many workers as the argument says, one without it; as many as cheaper says, at least one, stay."""
    count = _count(arguments)
    if count is None or fleet.stop is not None:
        return _refusal(fleet, arguments)
    least = max(1, fleet.cheaper.cheaper)
    chosen: list[int] = []
    while len(chosen) < count and len(fleet.active) > least and (wid := dispensable(fleet)) is not None:
        fleet.slot(wid).cheap = True
        chosen.append(wid)
    if not chosen:
        return Reply(ok=False, message=f"{least} worker{'s' if least > 1 else ''} must stay")
    fleet.adjusted = now
    return Reply(ok=True, message=f"stopping {_named(chosen)}")


def go_cheap(fleet: Fleet) -> Reply:
    """Stop all workers until a client connects."""
    if not fleet.is_settled or fleet.reload is not None:
        return Reply(ok=False, message="not while the server starts, reloads, stops or is paused")
    if fleet.asleep:
        return Reply(ok=False, message="the server is in cheap mode already")
    fleet.sleep()
    return Reply(ok=True, message="all workers leave until a client connects")


def wake(fleet: Fleet, now: float) -> Reply:
    """A client connects."""
    if fleet.asleep and fleet.stop is None:
        fleet.wake(now)
        return Reply(ok=True, message="a client connects: leaving cheap mode")
    return Reply(ok=True, message="the server is awake")


def _count(arguments: Sequence[str]) -> int | None:
    """The number of workers that was asked for; None when it is no number."""
    if not arguments:
        return 1
    text = arguments[0]
    return int(text) if len(arguments) == 1 and text.isascii() and text.isdigit() and int(text) > 0 else None


def _refusal(fleet: Fleet, arguments: Sequence[str]) -> Reply:
    if fleet.stop is not None:
        return Reply(ok=False, message="the server is stopping")
    return Reply(ok=False, message=f"how many workers is {' '.join(arguments)!r}? a number from 1 is needed")


def _named(numbers: Iterable[int]) -> str:
    names = [str(number) for number in numbers]
    return f"worker{'s' if len(names) > 1 else ''} {', '.join(names)}"
