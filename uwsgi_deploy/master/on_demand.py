"""What the server does at this moment, for whoever asks: the requests that run (INFLIGHT), and the stacks of all
threads (DUMP). Nothing is stopped or ended by it.

INFLIGHT answers from the scoreboard: `{"requests": [...], "total": N}`, the oldest first, with

    worker, pid, generation, core, client, method, uri, route ("" where no middleware said it),
    age (seconds), limit (seconds until the deadline, negative when it has passed; null for none),
    phase (application: nothing was sent; responding; closing: all was sent; answered: by the server, in its place)

DUMP asks each worker's faulthandler, which needs no interpreter, and answers when the stacks are here or the time is
up: `{"workers": [...]}` with

    id, pid, generation, state (of the process, as in proc(5): R, S, D, T), waits_in (the kernel's name of it, or ""),
    shown (stacks, nothing), note (why nothing is shown, or what is missing; else ""), requests (as above),
    stacks: name, core (null for a thread that is none), request ("" for none), frames: file, line, function;
        the most recent call first, without the server's frames around the application
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from os.path import dirname
from typing import Any

from uwsgi_deploy.master.cases import CaseStage
from uwsgi_deploy.master.commands import Command, Reply, Request
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.master.resources import Resources
from uwsgi_deploy.shared import stack_text
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.shared.stack_dump import StackChannel
from uwsgi_deploy.shared.stack_text import OWN_THREAD, FoundStack

# How long workers may take to show their stacks. One that hangs in the kernel, or has no processor, shows none.
PATIENCE = 1.0
LOOK_AGAIN = 0.01
# Requests in one answer unless more are asked for, and at most.
MOST_REQUESTS = 1000
MOST_EVER = 10_000

SUSPENDED = "suspended by a signal or a debugger: it shows nothing until it goes on (SIGCONT)"
NO_HANDLER = "it shows no stacks: it is starting or ending, or the application took the signal's handler away"
IN_KERNEL = "it did not show its stacks in time: it waits in the kernel ({place}) and takes no signals"
NOT_IN_TIME = "it did not show its stacks in time: the machine is busy, or a C library blocks the signal"
HUB_BLOCKED = "the hub is blocked by what its thread does; the other greenlets wait for it and cannot be shown"
GONE = "it has ended"
_PACKAGE = f"{dirname(dirname(__file__))}/"


@dataclass(slots=True)
class Asked:
    """A worker that is to show its stacks. pending: they are not all here. has_greenlets: its cores are greenlets,
    which are asked for when the threads are here; asked_again: they were."""

    worker: Worker
    has_greenlets: bool
    pending: bool = True
    asked_again: bool = False
    note: str = ""
    text: str = ""


@dataclass(slots=True)
class Dump:
    """A request for stacks that was not answered yet. until: monotonic seconds."""

    request: Request
    until: float
    asked: list[Asked] = field(default_factory=list)


class OnDemand:
    """`answer` takes requests; `look` is called in each round of the master."""

    def __init__(self, resources: Resources, fleet: Fleet) -> None:
        self._fleet, self._scoreboard, self._channel = fleet, resources.scoreboard, resources.stacks
        self._has_greenlets = bool(resources.settings.gevent.gevent)
        self._dumps: list[Dump] = []
        self._answers: dict[Command, Callable[[Request, float], Reply]] = {
            Command.INFLIGHT: self._inflight,
            Command.DUMP: self._dump,
        }

    def answer(self, request: Request, now: float) -> Reply:
        """INFLIGHT and DUMP; see the module."""
        return self._answers[request.command](request, now)

    def _inflight(self, request: Request, now: float) -> Reply:
        try:
            least = float(request.arguments[0]) if request.arguments else 0.0
            most = min(int(request.arguments[1]), MOST_EVER) if len(request.arguments) > 1 else MOST_REQUESTS
        except ValueError:
            return Reply(ok=False, message="the arguments are a number of seconds and how many requests at most")
        rows = [
            row
            for worker in self._present()
            for row in requests_of(worker, self._scoreboard, now)
            if row["age"] >= least
        ]
        rows.sort(key=lambda row: -float(row["age"]))
        return Reply(ok=True, message=_count(len(rows)), data={"requests": rows[:most], "total": len(rows)})

    def _present(self) -> Iterator[Worker]:
        return (worker for worker in self._fleet.workers() if worker.phase is not Phase.ORDERED)

    # --- stacks -------------------------------------------------------------------------------------------------------

    def _dump(self, request: Request, now: float) -> Reply:
        wanted = set(request.arguments)
        workers = [worker for worker in self._present() if not wanted or str(worker.wid) in wanted]
        if unknown := wanted - {str(worker.wid) for worker in workers}:
            return Reply(ok=False, message=f"no worker {', '.join(sorted(unknown))} runs")
        if not workers:
            return Reply(ok=True, message="no worker runs", data={"workers": []})
        self._dumps.append(Dump(request, now + PATIENCE, [Asked(worker, self._has_greenlets) for worker in workers]))
        return Reply(ok=True, message="the workers are asked", final=False)  # `look` follows in this very round

    def look(self, now: float) -> None:
        """Ask who was not asked, and answer those whose dumps are complete."""
        for dump in tuple(self._dumps):
            for asked in dump.asked:
                if asked.pending:
                    _advance(asked, self._channel, late=now >= dump.until)
            if any(asked.pending for asked in dump.asked):
                self._fleet.alarm = min(self._fleet.alarm or dump.until, now + LOOK_AGAIN)
                continue
            self._dumps.remove(dump)
            data = {"workers": [worker_data(asked, self._scoreboard, now) for asked in dump.asked]}
            shown = sum(bool(asked.text) for asked in dump.asked)
            dump.request.reply(
                Reply(ok=True, message=f"{shown} of {len(dump.asked)} workers showed their stacks", data=data)
            )


def _advance(asked: Asked, channel: StackChannel, *, late: bool) -> None:
    """The next step for one worker. Harakiri may have asked for its stacks, too: it takes them, a dump then looks."""
    worker = asked.worker
    state = _state(worker.pid)
    if state in ("", "Z", "X"):
        channel.take(worker.pid)
        asked.pending, asked.note = False, GONE
    elif state in ("T", "t"):
        asked.pending, asked.note = False, SUSPENDED
    elif channel.is_whole(worker.pid) and _has_all(asked, channel, late=late):
        # `take` forgets them; a case that waits for them must find them.
        case = worker.case
        judged = case is not None and case.stage is CaseStage.STACKS_ASKED
        asked.text = channel.peek(worker.pid) if judged else channel.take(worker.pid)
        asked.pending = False
    elif late:
        asked.text = channel.take(worker.pid) if worker.case is None else channel.peek(worker.pid)
        asked.note = IN_KERNEL.format(place=_waits_in(worker.pid) or "?") if state == "D" else NOT_IN_TIME
        asked.pending = False
    elif not channel.is_asked(worker.pid):
        try:
            sent = channel.ask(worker.pid)
        except OSError:
            asked.pending, asked.note = False, GONE
            return
        if not sent:
            asked.pending, asked.note = False, NO_HANDLER


def _has_all(asked: Asked, channel: StackChannel, *, late: bool) -> bool:
    """The threads are here; whether the greenlets are, which can only be shown when none of them keeps the hub."""
    pid = asked.worker.pid
    if not asked.has_greenlets or stack_text.END_OF_GREENLETS in channel.peek(pid):
        return True
    if not asked.asked_again:
        asked.asked_again = True
        try:
            if not channel.ask_for_greenlets(pid):
                return True
        except OSError:
            return True
    if late:
        asked.note = HUB_BLOCKED
    return late


# --- plain values -----------------------------------------------------------------------------------------------------


def requests_of(worker: Worker, scoreboard: Scoreboard, now: float) -> Iterator[dict[str, Any]]:
    """What the cores of a worker run at this moment; see the module."""
    for running in scoreboard.running(worker.wid, worker.bank):
        request = scoreboard.request(worker.wid, worker.bank, running.core)
        yield {
            "worker": worker.wid,
            "pid": worker.pid,
            "generation": worker.generation,
            "core": running.core,
            "client": request.address,
            "method": request.method,
            "uri": request.uri,
            "route": request.route,
            "age": round(max(0.0, now - running.started), 3),
            "limit": None if running.deadline == inf else round(running.deadline - now, 3),
            "phase": request.phase.name.lower(),
        }


def worker_data(asked: Asked, scoreboard: Scoreboard, now: float) -> dict[str, Any]:
    """A worker in the answer to DUMP; see the module."""
    worker = asked.worker
    requests = list(requests_of(worker, scoreboard, now))
    by_core = {row["core"]: row for row in requests}
    threads = {
        thread: core
        for core in range(scoreboard.cores)
        if (thread := scoreboard.request(worker.wid, worker.bank, core).thread)
    }
    found: list[tuple[tuple[bool, bool, int, int], dict[str, Any]]] = []
    parsed = list(stack_text.parse(asked.text))
    # faulthandler shows the thread that was there first last: all greenlets run in that one.
    shared = next((stack.thread for stack in reversed(parsed) if stack.thread), 0) if asked.has_greenlets else 0
    for stack in parsed:
        frames = [
            {"file": frame.file, "line": frame.line, "function": frame.function}
            for frame in stack_text.inner(stack.frames)
        ]
        # Those at the same place stay together.
        first = stack.cores[0] if stack.cores else threads.get(stack.thread, 0)
        for name, core in _owners(stack, threads, shared):
            row = by_core.get(core) if core is not None else None
            request = "" if row is None else f"{row['method']} {row['uri']}"
            order = (not request, core is None, first, core or 0)
            found.append((order, {"name": name, "core": core, "request": request, "frames": frames}))
    stacks = [stack for _, stack in sorted(found, key=lambda pair: pair[0])]
    return {
        "id": worker.wid,
        "pid": worker.pid,
        "generation": worker.generation,
        "state": _state(worker.pid),
        "waits_in": _waits_in(worker.pid),
        "shown": "stacks" if stacks else "nothing",
        "note": asked.note,
        "requests": sorted(requests, key=lambda row: -float(row["age"])),
        "stacks": stacks,
    }


def _owners(stack: FoundStack, threads: Mapping[int, int], shared: int) -> Iterator[tuple[str, int | None]]:
    """The names and cores of what is at this place. threads: which core a thread is; shared: the one of all greenlets,
    or 0."""
    if stack.cores:
        yield from ((f"core {core}", core) for core in stack.cores)
    elif stack.others:
        yield f"{stack.others} other greenlet{'s' if stack.others > 1 else ''}", None
    elif stack.thread == shared:
        yield "the thread of all greenlets", None
    elif stack.thread not in threads:
        ours = all(frame.file.startswith(_PACKAGE) for frame in stack.frames)
        yield OWN_THREAD if ours else "another thread", None
    else:
        yield f"core {threads[stack.thread]}", threads[stack.thread]


def _count(number: int) -> str:
    return "no request runs" if not number else f"{number} request{'s run' if number > 1 else ' runs'}"


def _state(pid: int) -> str:
    """One letter, see proc(5); empty when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1].decode("ascii")
    except OSError:
        return ""


def _waits_in(pid: int) -> str:
    """The function of the kernel in which the main thread waits; empty when it runs, or that is not to be known."""
    try:
        with open(f"/proc/{pid}/wchan") as file:
            place = file.read().strip()
    except OSError:
        return ""
    return "" if place == "0" else place
