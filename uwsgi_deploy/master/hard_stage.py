"""The hard stage of harakiri, performed: what the master does to a worker that cannot end a request, and for clients.

Called by the executor with the actions of `policies.harakiri`; loaded with the first of them, since most servers never
see one. A worker is killed first and looked at then: what its records say does not change any more, so nobody answers a
request a second time that ended in the last moment.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.settings.reports import sinks_of
from uwsgi_deploy.logs.access import ProcessFacts
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master import access_line, answering, harakiri_report
from uwsgi_deploy.master.actions import (
    Action,
    AskForStacks,
    AwaitSiblings,
    Execute,
    Isolate,
    Nudge,
    PutOffHarakiri,
    Spare,
    Warn,
)
from uwsgi_deploy.master.cases import CaseStage, HarakiriCase
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.master.harakiri_report import Instant
from uwsgi_deploy.master.hard_incident import Evidence, evidence_of, incident_of
from uwsgi_deploy.master.policies.harakiri import LOOK_AGAIN, is_judged, overdue_of
from uwsgi_deploy.master.policies.stop import mercy_of
from uwsgi_deploy.master.resources import Resources
from uwsgi_deploy.process import signals
from uwsgi_deploy.protocol.responses import TIMEOUT_TEXT
from uwsgi_deploy.reports.incident import Outcome
from uwsgi_deploy.shared.scoreboard import Field, RequestPhase, Running, RunningRequest
from uwsgi_deploy.shared.stack_dump import handles

# How long a killed process may take to end: one with much memory, or in the kernel.
END_TIME = 0.25
FILING = "uwsgi_deploy.master.hard_filing"
TIMED_OUT, LOST = 504, 503
_TEXTS = {
    TIMED_OUT: f"504 Gateway Timeout: {TIMEOUT_TEXT}",
    LOST: "503 Service Unavailable: The process that ran the request had to be ended.",
}
# RFC 9110 §9.2.1: these change nothing, so that a client, or a proxy on its own, may ask again.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(slots=True)
class Victim:
    """A request that its worker will not answer. connection: a copy of its descriptor, if there is one to write on.
    given: what was sent on it."""

    running: Running
    request: RunningRequest
    status: int
    given: access_line.Given
    connection: socket.socket | None = None
    outcome: Outcome = Outcome.ANSWERED


class HardStage:
    """See the module. `wake_at`: have the master look again at a monotonic instant at the latest."""

    def __init__(self, resources: Resources, fleet: Fleet, wake_at: Callable[[float], object]) -> None:
        self._resources, self._fleet, self._wake_at = resources, fleet, wake_at
        self._board = resources.scoreboard
        self._now = 0.0
        self._complained = False
        self._filing: Any = None
        self._engine = _engine_of(resources.settings)
        self._steps: dict[type[Action], Callable[[Any, Worker], None]] = {
            Nudge: self._nudge,
            AskForStacks: self._ask_for_stacks,
            Warn: self._warn,
            Isolate: self._isolate,
            AwaitSiblings: self._await_siblings,
            Execute: self._execute,
            Spare: self._spare,
            PutOffHarakiri: self._put_off,
        }

    def perform(self, action: Any, now: float) -> None:
        """Do what the action says, which was decided at `now`; nothing if its worker is gone."""
        self._now = now
        worker = self._fleet.worker_of_serial(action.serial)
        if worker is not None:
            self._steps[type(action)](action, worker)

    # --- at the deadline ----------------------------------------------------------------------------------------------

    def _nudge(self, action: Nudge, worker: Worker) -> None:
        """C code that looks for signals, as regular expressions do, ends with what the worker's handler raises."""
        worker.next_nudge = action.until
        if handles(worker.pid, signals.INTERRUPT):
            _signal(worker.pid, signals.INTERRUPT)

    # --- looking and waiting ------------------------------------------------------------------------------------------

    def _ask_for_stacks(self, action: AskForStacks, worker: Worker) -> None:
        last = worker.case
        try:
            asked = self._resources.stacks.ask(worker.pid)
        except OSError:
            asked = False  # it is ending
        self._open_case(
            worker,
            action.overdue,
            # The process has all of its time from now on, also where this module had to be loaded first.
            until=time.monotonic() + action.until - self._now if asked else self._now,
            attempt=1 if last is None else last.attempt + 1,
            warns=action.warns,
        )
        self._wake_at(self._now + LOOK_AGAIN)

    def _open_case(
        self, worker: Worker, overdue: Running, *, until: float, attempt: int = 1, warns: bool = False
    ) -> HarakiriCase:
        case = worker.case = HarakiriCase(
            overdue.core, overdue.started, overdue.deadline, overdue.by_user, until, attempt=attempt, warns=warns
        )
        return case

    def _await_siblings(self, action: AwaitSiblings, worker: Worker) -> None:
        if worker.case is not None:
            worker.case.until = action.until

    def _spare(self, _action: Spare, worker: Worker) -> None:
        case = worker.case
        if case is None:
            return
        self._resources.stacks.take(worker.pid)
        if case.stage is CaseStage.WARNED:
            log(harakiri_report.spared(worker))
        worker.case = None
        self._wake_at(self._now + LOOK_AGAIN)  # another request may be overdue

    def _put_off(self, action: PutOffHarakiri, worker: Worker) -> None:
        worker.harakiri_not_before = action.until
        threshold = self._fleet.harakiri.harakiri_queue_threshold
        log(harakiri_report.put_off(worker, self._fleet.listen_queue or 0, threshold))
        self._wake_at(action.until)

    # --- acting -------------------------------------------------------------------------------------------------------

    def _warn(self, action: Warn, worker: Worker) -> None:
        case = worker.case
        if case is None:
            return
        stacks = self._resources.stacks.take(worker.pid)
        verbose = self._fleet.harakiri.harakiri_verbose
        now = self._instant()
        log(harakiri_report.by_itself(self._board, worker, stacks, now, graceful=True, verbose=verbose))
        case.stage, case.until = CaseStage.WARNED, action.until
        log(harakiri_report.warned(worker, action.signal, self._instant()))
        if action.signal in signals.LIFE:  # a worker leaves then
            self._tell_to_leave(worker, action.signal)
        else:
            _signal(worker.pid, action.signal)

    def _isolate(self, action: Isolate, worker: Worker) -> None:
        """Its interpreter is free: what of its requests nobody answered is answered, all others may finish."""
        new = [running for running in overdue_of(self._fleet, worker, self._now) if not is_judged(worker, running)]
        known = [running for running in worker.running if is_judged(worker, running)]
        if not new and not known:
            return
        case = worker.case or self._open_case(worker, (new or known)[0], until=action.until)
        victims = [victim for running in new if (victim := self._victim(worker, running)) is not None]
        if new and not worker.judged:
            self._fleet.slot(worker.wid).harakiri_count += 1
        worker.judged += tuple((running.core, running.started) for running in new)
        case.stage, case.until = CaseStage.ISOLATED, action.until
        if victims:
            evidence, status = self._evidence(worker), self._status(worker)
            self._borrow_connections(worker, victims)
            self._settle(worker, victims)
            self._report(worker, victims, evidence, status)
        if worker.phase is not Phase.LEAVING:
            log(harakiri_report.isolated(worker, len(worker.running) - len(new) - len(known)))
            self._tell_to_leave(worker, signal.SIGHUP)
        self._wake_at(self._now + LOOK_AGAIN)

    def _execute(self, _action: Execute, worker: Worker) -> None:
        """The worker ends, with everything that it runs. Clients first, then what is told of it."""
        case = worker.case
        if case is None:
            return
        new = [running for running in worker.running if not is_judged(worker, running)]
        if not worker.judged:
            self._fleet.slot(worker.wid).harakiri_count += 1
        evidence, status = self._evidence(worker), self._status(worker)
        victims = [victim for running in new if (victim := self._victim(worker, running)) is not None]
        self._borrow_connections(worker, victims)
        case.stage = CaseStage.KILLED
        worker.judged += tuple((running.core, running.started) for running in new)
        _kill(worker.pid)
        victims = self._still_unanswered(worker, victims)
        for victim in victims:
            victim.outcome = Outcome.KILLED
        self._settle(worker, victims)
        if any(victim.status == TIMED_OUT for victim in victims):
            self._report(worker, victims, evidence, status)
        else:
            log(harakiri_report.ended(worker))

    def _still_unanswered(self, worker: Worker, victims: list[Victim]) -> list[Victim]:
        """Those whose request did not end, and was not answered, while their worker was being killed."""
        living = {(running.core, running.started) for running in self._board.running(worker.wid, worker.bank)}
        left = []
        for victim in victims:
            victim.request = self._board.request(worker.wid, worker.bank, victim.running.core)
            is_same = (victim.running.core, victim.running.started) in living
            if is_same and victim.request.phase is not RequestPhase.ANSWERED:
                left.append(victim)
            elif victim.connection is not None:
                victim.connection.close()
        return left

    def _tell_to_leave(self, worker: Worker, number: int) -> None:
        if worker.phase is not Phase.LEAVING:
            grace = mercy_of(self._fleet)
            self._fleet.told(worker, number, None if grace is None else self._now + grace)
        _signal(worker.pid, number)

    # --- the clients --------------------------------------------------------------------------------------------------

    def _victim(self, worker: Worker, running: Running) -> Victim | None:
        """None when the request has been answered by its worker."""
        request = self._board.request(worker.wid, worker.bank, running.core)
        if request.phase is RequestPhase.ANSWERED:
            return None
        # Also one that still had time to end after its deadline: it has taken too long itself.
        status = TIMED_OUT if running.deadline <= self._now else LOST
        return Victim(running, request, status, access_line.Given(status))

    def _borrow_connections(self, worker: Worker, victims: Iterable[Victim]) -> None:
        """Copies of the descriptors of those that can be answered or cut."""
        wanted = [v for v in victims if v.request.fd >= 0 and v.request.phase is not RequestPhase.CLOSING]
        if not wanted:
            return
        try:
            process = os.pidfd_open(worker.pid)
        except OSError as error:
            self._note_refusal(error)
            return
        try:
            for victim in wanted:
                victim.connection = answering.borrow(process, victim.request.fd)
        except OSError as error:
            self._note_refusal(error)
        finally:
            os.close(process)

    def _note_refusal(self, error: OSError) -> None:
        """Once: it will hardly be otherwise for the next worker. One that ends at this moment has no connections."""
        if self._complained or error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            return
        self._complained = True
        log(
            "HARAKIRI: clients cannot be answered in the worker's place: the kernel does not give its connections to "
            f"the master (pidfd_getfd: {error.strerror})"
        )

    def _settle(self, worker: Worker, victims: Iterable[Victim]) -> None:
        """Answer each client, or cut its response short, and write its request line."""
        for victim in victims:
            request, given = victim.request, victim.given
            if request.phase is RequestPhase.RESPONDING:
                victim.outcome = Outcome.CUT if victim.outcome is Outcome.ANSWERED else victim.outcome
            try:
                if victim.connection is not None and request.phase is RequestPhase.APPLICATION:
                    data = self._response(victim)
                    wire = answering.translate(data, victim.connection, self._resources.listeners)
                    if wire is None:
                        answering.cut(victim.connection)
                    elif answering.answer(victim.connection, wire):
                        given = victim.given = access_line.Given.of(victim.status, data)
                elif victim.connection is not None and request.phase is RequestPhase.RESPONDING:
                    answering.cut(victim.connection)
            finally:
                if victim.connection is not None:
                    victim.connection.close()
                    victim.connection = None
            self._log_request(worker, victim, given)

    def _response(self, victim: Victim) -> bytes:
        request = victim.request
        retry_after = int(victim.status == LOST and request.method in _SAFE)
        return answering.response(victim.status, _TEXTS[victim.status], method=request.method, retry_after=retry_after)

    def _log_request(self, worker: Worker, victim: Victim, given: access_line.Given) -> None:
        settings, running = self._resources.settings, victim.running
        duration = self._now - running.started
        if not access_line.is_wanted(settings, given.status, duration):
            return
        record = self._board.record_in(worker.wid, worker.bank)
        text = access_line.line(
            settings,
            ProcessFacts(worker.pid, worker.wid),
            victim.request,
            given,
            core=running.core,
            started=time.time() - duration,
            duration=duration,
            counts=(record[Field.DELTA_REQUESTS], self._board.total(Field.REQUESTS)),
        )
        log(text)

    # --- the report ---------------------------------------------------------------------------------------------------

    def _evidence(self, worker: Worker) -> Evidence:
        stacks = self._resources.stacks.take(worker.pid)
        return evidence_of(self._fleet, self._board, worker, stacks, self._now)

    def _status(self, worker: Worker) -> str:
        """uWSGI's lines about the worker: those that the reports' blocks have not, if there are such blocks."""
        is_told = "log" in sinks_of(self._resources.settings.reports)
        verbose = self._fleet.harakiri.harakiri_verbose
        return harakiri_report.status(
            self._board, worker, self._instant(), self._fleet, verbose=verbose, others=is_told
        )

    def _report(self, worker: Worker, victims: Iterable[Victim], evidence: Evidence, status: str) -> None:
        """A report for each request whose time was over, and uWSGI's lines about the worker."""
        if self._filing is None:
            try:
                self._filing = import_module(FILING).HardFiling(self._resources.settings)
            except ImportError as error:  # a jail, or a directory that is closed to the server's user
                now = self._instant()
                log(harakiri_report.by_itself(self._board, worker, evidence.stacks, now, graceful=False, verbose=False))
                log(f"HARAKIRI: there is no report but this: {error}")
                return
        offset = time.time() - time.monotonic()
        for victim in victims:
            if victim.status == TIMED_OUT:
                incident = incident_of(
                    self._resources.settings,
                    worker,
                    victim.running,
                    victim.request,
                    evidence,
                    engine=self._engine,
                    outcome=victim.outcome,
                    status=victim.status,
                    sent=victim.given.sent_body,
                    at=self._now + offset,
                    now=self._now,
                )
                self._filing.file(incident)
        if status:
            log(status)

    def _instant(self) -> Instant:
        return Instant(self._now, time.time())


def _engine_of(settings: Settings) -> str:
    if settings.gevent.gevent:
        return "gevent"
    return "threads" if settings.cores > 1 else "prefork"


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it ended by itself; its exit is about to be seen
        os.kill(pid, number)


def _kill(pid: int) -> None:
    """Kill a worker and wait until it does nothing more, in all likelihood."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        _signal(pid, signal.SIGKILL)
        return
    try:
        _signal(pid, signal.SIGKILL)
        answering.await_end(process, END_TIME)
    finally:
        os.close(process)
