"""What the log says about an overdue request: uWSGI's lines, which tools look for, and the stacks, which uWSGI lacks.

Reads the scoreboard and /proc; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from uwsgi_deploy.logs.access import escape
from uwsgi_deploy.master.cases import HarakiriCase
from uwsgi_deploy.master.fleet import Fleet, Worker
from uwsgi_deploy.master.policies.harakiri import overdue_of
from uwsgi_deploy.process.signals import name as signal_name
from uwsgi_deploy.shared.scoreboard import Running, RunningRequest, Scoreboard
from uwsgi_deploy.shared.stack_dump import arrange

_NOTHING_SHOWN = "none: the worker did not show them in time (it hangs in the kernel, or is suspended)"


@dataclass(frozen=True, slots=True)
class Instant:
    """The same moment by two clocks, in seconds: what records have, and what people read."""

    monotonic: float
    unix: float

    def unix_of(self, monotonic: float) -> int:
        """When something was, in unix time."""
        return int(self.unix - (self.monotonic - monotonic))


def by_itself(
    scoreboard: Scoreboard, worker: Worker, stacks: str, now: Instant, *, graceful: bool, verbose: bool
) -> str:
    """All lines about the case of a worker of which there is no other report. stacks: as faulthandler writes them.

    graceful: it is sent the graceful signal and not killed.
    """
    case = worker.case
    assert case is not None
    requests = {r.core: scoreboard.request(worker.wid, worker.bank, r.core) for r in worker.running}
    overdue = [running for running in _overdue_first(worker, case) if running.deadline <= now.monotonic]
    return "\n".join(
        (
            f"*** HARAKIRI ON WORKER {worker.wid} (pid: {worker.pid}, try: {case.attempt}, "
            f"graceful: {'yes' if graceful else 'no'}) ***",
            *(_sentence(worker, running, requests[running.core], now) for running in overdue),
            *(_kernel_lines(worker.pid) if verbose else ()),
            *_status_lines(worker, worker.running, requests, now),
            *_stack_lines(worker, case, requests, stacks),
            *_trigger_lines(worker, overdue),
        )
    )


def status(
    scoreboard: Scoreboard, worker: Worker, now: Instant, fleet: Fleet, *, verbose: bool, others: bool = False
) -> str:
    """uWSGI's lines about a worker in the hard stage. others: only what is not in the reports' own blocks, that is
    requests that are not overdue; empty when there are none."""
    requests = {r.core: scoreboard.request(worker.wid, worker.bank, r.core) for r in worker.running}
    overdue = overdue_of(fleet, worker, now.monotonic)
    if not others:
        kernel = _kernel_lines(worker.pid) if verbose else ()
        return "\n".join(
            (*kernel, *_status_lines(worker, worker.running, requests, now), *_trigger_lines(worker, overdue))
        )
    innocent = [running for running in worker.running if running not in overdue]
    return "\n".join(_status_lines(worker, innocent, requests, now)) if innocent else ""


def _status_lines(
    worker: Worker, running_here: Iterable[Running], requests: Mapping[int, RunningRequest], now: Instant
) -> Iterator[str]:
    yield f"HARAKIRI !!! worker {worker.wid} status !!!"
    for running in running_here:
        request = requests[running.core]
        since = now.unix_of(running.started)
        yield f"HARAKIRI [core {running.core}] {_client(request)} - {_what(request)} since {since}"
    yield f"HARAKIRI !!! end of worker {worker.wid} status !!!"


def _trigger_lines(worker: Worker, overdue: Iterable[Running]) -> Iterator[str]:
    for running in overdue:
        kind = "(user) " if running.by_user else ""
        yield f"HARAKIRI {kind}triggered by worker {worker.wid} core {running.core} !!!"


def _overdue_first(worker: Worker, case: HarakiriCase) -> list[Running]:
    """What the worker runs. Others than the case's may be overdue, too, when they wait for the same thing."""
    return sorted(worker.running, key=lambda running: running.core != case.core)


def _sentence(worker: Worker, running: Running, request: RunningRequest, now: Instant) -> str:
    age, limit = now.monotonic - running.started, running.deadline - running.started
    whose = "uwsgi.set_user_harakiri" if running.by_user else "harakiri"
    return (
        f"HARAKIRI: {_what(request)} from {_client(request)} has run for {age:.1f} s on core {running.core} of worker "
        f"{worker.wid} (pid: {worker.pid}); {whose} allows {round(limit, 1):g} s"
    )


def _what(request: RunningRequest) -> str:
    route = f" ({request.route})" if request.route else ""
    return escape(f"{request.method} {request.uri}{route}")


def _client(request: RunningRequest) -> str:
    return escape(request.address) or "a Unix socket"


def _kernel_lines(pid: int) -> Iterator[str]:
    for name in ("syscall", "wchan"):
        try:
            with open(f"/proc/{pid}/{name}") as file:
                text = file.read().strip()
        except OSError as error:
            text = f"cannot be read: {error.strerror}"
        yield f"HARAKIRI: -- {name}> {text}"


def _stack_lines(worker: Worker, case: HarakiriCase, requests: dict[int, RunningRequest], stacks: str) -> Iterator[str]:
    yield f"HARAKIRI: stacks of worker {worker.wid} (pid: {worker.pid}):"
    cores = [running.core for running in _overdue_first(worker, case)]
    # With gevent one thread is all cores: it shows what runs, which is the overdue one most likely.
    names = {requests[core].thread: f"core {core}, {_what(requests[core])}" for core in reversed(cores)}
    names = dict(reversed(names.items()))
    yield arrange(stacks, names) or _NOTHING_SHOWN


def warned(worker: Worker, number: int, now: Instant) -> str:
    """The line about a graceful signal; the case says until when."""
    assert worker.case is not None
    return (
        f"HARAKIRI: graceful termination attempt on worker {worker.wid} with signal {number} ({signal_name(number)}). "
        f"Next harakiri: {now.unix_of(worker.case.until)}"
    )


def isolated(worker: Worker, others: int) -> str:
    """The line about siblings."""
    them = "its other request has its own time" if others == 1 else f"its {others} other requests have their own time"
    rest = f"; {them} to end" if others else ""
    return f"HARAKIRI: worker {worker.wid} (pid: {worker.pid}) takes no new requests and is replaced{rest}"


def ended(worker: Worker) -> str:
    """The line about an isolated worker whose other requests are over."""
    return f"HARAKIRI: killing worker {worker.wid} (pid: {worker.pid}), which still runs a request that was answered"


def spared(worker: Worker) -> str:
    """The line about a request that ended after all."""
    assert worker.case is not None
    return f"HARAKIRI: the request on core {worker.case.core} of worker {worker.wid} ended in time"


def put_off(worker: Worker, waiting: int, threshold: int) -> str:
    """uWSGI's line about harakiri-queue-threshold."""
    return (
        f"HARAKIRI: Skipping harakiri on worker {worker.wid}. "
        f"Listen queue is smaller than the threshold ({waiting} < {threshold})"
    )
