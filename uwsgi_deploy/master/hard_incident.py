"""What the master knows of a request that its worker could not end: the facts for its report, taken from outside.

From the scoreboard, from faulthandler's text, and from /proc, which needs nobody's help.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

from uwsgi_deploy.config.routes import routes_of
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.process import memory
from uwsgi_deploy.reports.incident import Frame, Incident, InFlight, Kind, Outcome, Stack
from uwsgi_deploy.shared.scoreboard import Field, RequestPhase, Running, RunningRequest, Scoreboard
from uwsgi_deploy.shared.stack_text import FoundStack, inner, parse

# Other requests in a report.
MOST_IN_FLIGHT = 50
_TICK = os.sysconf("SC_CLK_TCK")
_PHASES = {
    RequestPhase.APPLICATION: "application",
    RequestPhase.RESPONDING: "streaming",
    RequestPhase.CLOSING: "closing",
    RequestPhase.ANSWERED: "application",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found about a worker before it was killed: all that is not about one request of it.

    stacks: as faulthandler writes them. kernel: where the process is (wchan, syscall, state). worker: numbers, see
    `reports.incident`. in_flight: everything that ran in the server.
    """

    stacks: str
    kernel: Mapping[str, str]
    worker: Mapping[str, float]
    in_flight: tuple[InFlight, ...]


def evidence_of(fleet: Fleet, scoreboard: Scoreboard, worker: Worker, stacks: str, now: float) -> Evidence:
    """Look at a worker that still lives; `now` in monotonic seconds."""
    return Evidence(
        stacks=stacks,
        kernel=dict(_kernel(worker.pid)),
        worker=dict(_numbers(scoreboard, worker, now)),
        in_flight=tuple(_in_flight(fleet, scoreboard, now)),
    )


def incident_of(
    settings: Settings,
    worker: Worker,
    running: Running,
    request: RunningRequest,
    evidence: Evidence,
    *,
    engine: str,
    outcome: Outcome,
    status: int,
    sent: int,
    at: float,
    now: float,
    follows: str = "",
) -> Incident:
    """One request of that worker. at: unix time of the monotonic instant `now`. status, sent: of the answer."""
    victim, others = _stacks(evidence.stacks, running, request)
    case = worker.case
    capture = (*(["faulthandler"] if victim or others else []), *(["proc"] if evidence.kernel else []))
    return Incident(
        kind=Kind.HARD,
        outcome=outcome,
        at=at,
        wid=worker.wid,
        pid=worker.pid,
        core=running.core,
        engine=engine,
        method=request.method,
        uri=request.uri,
        client=request.address,
        route=request.route,
        age=now - running.started,
        limit=running.deadline - running.started,
        limit_origin=_limit_origin(settings, running, request),
        phase=_PHASES[request.phase],
        status=status,
        bytes_sent=sent,
        victim=victim,
        others=others,
        in_flight=tuple(other for other in evidence.in_flight if (other.wid, other.core) != (worker.wid, running.core))[
            :MOST_IN_FLIGHT
        ],
        capture=capture,
        kernel=evidence.kernel,
        worker=evidence.worker,
        generation=worker.generation,
        attempt=1 if case is None else case.attempt,
        graceful=False,
        follows=follows,
    )


def _limit_origin(settings: Settings, running: Running, request: RunningRequest) -> str:
    """What must have set the limit. The master sees only which it was."""
    limit = running.deadline - running.started
    if running.by_user:
        return "uwsgi.set_user_harakiri"
    path = request.uri.partition("?")[0]
    routes = routes_of(settings.harakiri.harakiri_routes)
    by_path = routes.of_path(path)
    if by_path is not None and _same(by_path[0], limit):
        return f"harakiri-routes: {by_path[1]}"
    if request.route in routes.names and _same(routes.names[request.route], limit):
        return f"harakiri-routes: {request.route}"
    return "harakiri" if _same(limit, settings.harakiri.harakiri or inf) else "the application (@harakiri)"


def _same(limit: float, other: float) -> bool:
    return abs(limit - other) < 0.001


# --- stacks -----------------------------------------------------------------------------------------------------------


def _stacks(text: str, running: Running, request: RunningRequest) -> tuple[Stack | None, tuple[Stack, ...]]:
    """The stack of the request, and the others' without the server's frames around them.

    Greenlets have one thread together. Where they could be shown one by one, those of the core are among them; else the
    thread shows the request that keeps it from all others, and these wait for that.
    """
    found = [stack for stack in parse(text) if stack.frames]
    victim = next((stack for stack in found if running.core in stack.cores), None)
    if victim is None:
        victim = next((stack for stack in found if _is_of(stack, request)), None)
    others = tuple(_stack(other, _name(other)) for other in found if other is not victim)
    return None if victim is None else _stack(victim, f"{request.method} {request.uri.partition('?')[0]}"), others


def _is_of(stack: FoundStack, request: RunningRequest) -> bool:
    return stack.thread == request.thread if request.thread else len(inner(stack.frames)) < len(stack.frames)


def _name(stack: FoundStack) -> str:
    if stack.thread:
        return f"thread 0x{stack.thread:x}"
    if stack.cores:
        return f"cores {' '.join(map(str, stack.cores))}"
    return f"{stack.others} other greenlets"


def _stack(found: FoundStack, name: str) -> Stack:
    return Stack(name, tuple(Frame(line.file, line.line, line.function) for line in inner(found.frames)))


# --- the process ------------------------------------------------------------------------------------------------------


def _kernel(pid: int) -> Iterator[tuple[str, str]]:
    """Where the process is, as the kernel calls it; what cannot be read is left out."""
    for name in ("wchan", "syscall"):
        if text := _read(pid, name).strip():
            yield name, text
    for line in _read(pid, "status").splitlines():
        if line.startswith("State:"):
            yield "state", line.partition(":")[2].strip()


def _numbers(scoreboard: Scoreboard, worker: Worker, now: float) -> Iterator[tuple[str, float]]:
    yield "age", now - worker.born
    yield "requests", scoreboard.record_in(worker.wid, worker.bank)[Field.DELTA_REQUESTS]
    yield "cores", scoreboard.cores
    used = memory.usage(worker.pid)
    if used is not None:
        yield "rss", used.resident
    # proc(5): what follows the name, which may hold anything, begins with field 3.
    fields = _read(worker.pid, "stat").rpartition(")")[2].split()
    if len(fields) > 17:
        yield "cpu_user", int(fields[11]) / _TICK
        yield "cpu_system", int(fields[12]) / _TICK
        yield "threads", int(fields[17])
    try:
        yield "fds", len(os.listdir(f"/proc/{worker.pid}/fd"))
    except OSError:
        pass  # of another user's, or gone
    for line in _read(worker.pid, "limits").splitlines():
        if line.startswith("Max open files") and (limit := line.split()[3]).isdigit():
            yield "max_fds", int(limit)


def _read(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _in_flight(fleet: Fleet, scoreboard: Scoreboard, now: float) -> Iterator[InFlight]:
    for worker in fleet.workers():
        if worker.phase is Phase.ORDERED:
            continue
        for running in scoreboard.running(worker.wid, worker.bank):
            request = scoreboard.request(worker.wid, worker.bank, running.core)
            yield InFlight(worker.wid, running.core, request.method, request.uri, request.route, now - running.started)
