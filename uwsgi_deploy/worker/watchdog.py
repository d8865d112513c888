"""A worker's watchdog: sees to it that late requests are reported, interrupted, and at last answered by somebody else.

One thread of the operating system in each worker, for every engine, with a master and without one. It sleeps until a
request that runs can be due, and at most as long as the shortest limit lasts, because what begins meanwhile cannot be
due before; so requests do not have to tell it anything. Whoever sets a nearer deadline wakes it (`Deadlines.wake`).

The thread needs the interpreter like any other. With a master that one sees from the pulse when it cannot run, and acts
from outside. Without one faulthandler's own watchdog, which needs no interpreter, is set a moment later than the
nearest end of all patience, and set again at every look.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

from uwsgi_deploy.native import Bell, sleep, start_new_thread
from uwsgi_deploy.shared.scoreboard import Field, RequestPhase
from uwsgi_deploy.worker.deadlines import Deadlines
from uwsgi_deploy.worker.engines.engine import Engine
from uwsgi_deploy.wsgi.response import Response

if TYPE_CHECKING:
    from uwsgi_deploy.reports.incident import Incident
    from uwsgi_deploy.worker.reporting import Reporting

_LOG = 2
_ANSWERED = int(RequestPhase.ANSWERED)
# While a request is overdue the pulse beats, and ends of requests are noticed, this often.
PULSE = 0.1
# An exception that could not be raised is tried again soon, then at least this often. Not much more often: a wait in C
# code that begins anew with every signal and looks for exceptions when it is over (psycopg's, 0.1 s) would never be.
FIRST_RETRY, LAST_RETRY = 0.005, 0.15
# One that was raised, and did not end the request, is repeated after this time, doubled each time: `finally` and
# rollbacks must come to their end.
FIRST_REPEAT, LAST_REPEAT = 0.5, 2.0
# Calls that can be ended from outside are so when the exception has not come through them for so long.
HALT_AFTER = 0.3
# When it is looked whether other workers have left reports, in seconds from the time there may be some: successors are
# born while those whom they follow still live, and these may be killed before they have told everybody.
LEFT_REPORTS = (2.0, 5.0, 15.0)
# How much later than this thread faulthandler's watchdog acts.
_SLACK = 0.5
# More seconds than this no lock can wait.
_LONGEST_SLEEP = 1e6


@dataclass(slots=True)
class Case:
    """A request that the watchdog has taken note of. Monotonic seconds.

    soft: the id of its soft report. incident: how it was when its time was over; filed when it is known how it ended.
    tried, fails, hits: when it was to be interrupted last, how often that failed in a row, how often it was done.
    filed: the report of a request that was given up is on its way.
    """

    core: int
    started: float
    soft: str = ""
    incident: Incident | None = None
    next_try: float = 0.0
    tried: float = 0.0
    fails: int = 0
    hits: int = 0
    given_up: bool = False
    filed: bool = False


class Watchdog:
    """See the module.

    reporting: gives what is loaded for the first late request. give_up: answers in the place of a request that does not
    end, on this thread; part: sees to it that the worker is replaced then. record: the worker's in the scoreboard.
    alone: there is no master. look_for_reports: see `expect_reports`; returns at once.
    """

    def __init__(
        self,
        deadlines: Deadlines,
        engine: Engine,
        reporting: Callable[[], Reporting],
        *,
        grace: float,
        give_up: Callable[[int, float, Response, int], object],
        part: Callable[[], object],
        record: memoryview,
        alone: bool,
        look_for_reports: Callable[[], object] | None = None,
    ) -> None:
        self._look_for_reports = look_for_reports
        self._looks_for_reports: list[float] = []
        self._deadlines, self._engine, self._reporting = deadlines, engine, reporting
        self._grace, self._give_up, self._part = grace, give_up, part
        self._record, self._alone = record, alone
        self._shortest = min(deadlines.usual_limit, deadlines.soft_limit, deadlines.routes.shortest)
        self._cases: dict[int, Case] = {}
        self._bell = Bell()
        self._next_look = inf
        self._started = self._is_finishing = False
        self._overdue = False
        deadlines.wake, deadlines.witness = self.wake, self.witness

    def start(self) -> None:
        """Watch from now on, until the process ends. Without any limit the thread waits for the first one to be set."""
        if self._shortest != inf and not self._started:
            self._started = True
            if self._alone:
                # The thread may come to run after a request that holds the interpreter.
                self._act_at_the_latest(self._shortest + self._grace)
            start_new_thread(self._run, ())

    def expect_reports(self) -> None:
        """Look for reports at the instants of `LEFT_REPORTS` from now on."""
        now = monotonic()
        self._looks_for_reports = [now + after for after in LEFT_REPORTS]
        self.wake(now + LEFT_REPORTS[0])

    def wake(self, instant: float) -> None:
        """Something may be due at this instant, monotonic seconds. From any thread."""
        if instant >= self._next_look:
            return
        if not self._started:
            self._started = True
            start_new_thread(self._run, ())
        self._bell.ring()

    def owes(self) -> bool:
        """Whether something about a request that is over or was given up is not on its way to the reports yet."""
        begun = self._deadlines.records.begun
        cases = [*self._cases.values()]
        open_ones = any(begun[case.core] != case.started or (case.given_up and not case.filed) for case in cases)
        return open_ones or self._is_finishing

    def witness(self, core: int, started: float, frame: FrameType | None) -> None:
        """In the main thread: it is about to interrupt itself, before the watchdog came to it."""
        response, case = self._deadlines.running[core], self._cases.get(core)
        if response is None:
            return
        if case is None or case.started != started:
            case = self._cases[core] = Case(core, started)
        if case.incident is None:  # the watchdog may be at it, and will find that the request has ended
            case.incident = self._reporting().evidence.incident("deadline", core, started, response, frame=frame)

    # -- looking -------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._next_look = inf  # whoever sets a deadline while this thread looks has it look again
            now = monotonic()
            self._next_look = instant = min(self.look(now), self._run_errand(now))
            if self._alone:
                # Also while nothing runs: what begins now and never lets go could not set it any more.
                self._act_at_the_latest(min(instant - now, self._shortest) + self._grace + PULSE)
            self._bell.wait(-1 if instant == inf else max(0.0, min(instant - monotonic(), _LONGEST_SLEEP)))

    def _run_errand(self, now: float) -> float:
        """Look after reports that somebody left, if it is time; when it will be again."""
        looks = self._looks_for_reports
        if looks and now >= looks[0] and self._look_for_reports is not None:
            looks[:] = [instant for instant in looks if instant > now]
            self._look_for_reports()
        return looks[0] if looks else inf

    @staticmethod
    def _act_at_the_latest(after: float) -> None:
        if after == inf:
            faulthandler.cancel_dump_traceback_later()
        else:
            faulthandler.dump_traceback_later(after + _SLACK, exit=True, file=_LOG)

    def look(self, now: float) -> float:
        """See to every request once; when to look again, monotonic seconds."""
        instant, cases, records = now + self._shortest, self._cases, self._deadlines.records
        # With gevent there may be thousands, nearly all of them in time: whole columns, and one comparison for each.
        user, soft = records.user_deadlines.tolist(), self._deadlines.soft_limit
        self._overdue = False
        for core, (started, due) in enumerate(zip(records.begun.tolist(), records.deadlines.tolist(), strict=True)):
            if core in cases and cases[core].started != started:
                self._is_finishing = True
                self._finish(cases.pop(core))
                self._is_finishing = False
            if not started:
                continue
            nearest = min(due, user[core], started + soft)
            if nearest <= now or core in cases:
                nearest = self._attend(core, started, now)
            if nearest < instant:
                instant = nearest
        if self._overdue:
            self._record[Field.PULSE] = int(monotonic() * 1_000_000)
            instant = min(instant, now + PULSE)
        return instant

    def _attend(self, core: int, started: float, now: float) -> float:
        """One request that runs; when to look at it again."""
        deadlines, case = self._deadlines, self._cases.get(core)
        due = deadlines.due(core)
        if due > now:
            if case is not None and case.incident is not None:
                self._went_on(case)
            return min(due, self._soft(core, started, case, now))
        self._overdue = True
        self._record[Field.PULSE] = int(now * 1_000_000)  # what follows may take its time
        response = deadlines.running[core]
        if case is None:
            case = self._cases[core] = Case(core, started)
        if case.given_up:
            return now + PULSE
        if response is None:
            return now + 4 * FIRST_RETRY  # it is ending at this moment
        if case.incident is None:
            incident = self._reporting().evidence.incident("deadline", core, started, response)
            if deadlines.running[core] is not response:
                return now  # by itself, or by its own hand: then `witness` has left an incident
            case.incident = case.incident or incident
        if now >= due + self._grace:
            self._end_patience(case, response)
            return now + PULSE
        if now >= case.next_try:
            self._interrupt(case, now)
        if now >= due + HALT_AFTER:
            self._halt_calls(case)
        return min(case.next_try, due + self._grace)

    def _soft(self, core: int, started: float, case: Case | None, now: float) -> float:
        """Report a request that takes long and may; when it will be one."""
        deadlines = self._deadlines
        wishes, instant = deadlines.wishes(core), started + deadlines.soft_limit
        if instant == inf or (case is not None and case.soft) or (wishes is not None and wishes.unlimited):
            return inf
        if instant > now:
            return instant
        response = deadlines.running[core]
        if response is not None:
            incident = self._reporting().evidence.incident("soft", core, started, response)
            with deadlines.lock:
                if deadlines.running[core] is not response:
                    return inf
                deadlines.watched[core] = started  # so that its end is known
            if case is None:
                case = self._cases[core] = Case(core, started)
            case.soft = self._reporting().file(incident)
        return inf

    # -- acting --------------------------------------------------------------------------------------------------------

    def _interrupt(self, case: Case, now: float) -> None:
        deadlines, core, started = self._deadlines, case.core, case.started
        hit_at = deadlines.interrupted_at[core]
        if case.tried and hit_at >= case.tried:
            # The last one was raised, and the request still runs.
            self._reporting().prepare()  # there may be no time for it at the hard instant
            case.hits, case.fails, case.tried = case.hits + 1, 0, 0.0
            case.next_try = hit_at + min(FIRST_REPEAT * 2.0 ** (case.hits - 1), LAST_REPEAT)
            if case.next_try > now:
                return
        sleep(0)  # begins a turn with the interpreter: whoever is looked at now does not run before it is over
        case.tried = monotonic()
        with deadlines.lock:
            deadlines.watched[core] = started
            if (
                deadlines.running[core] is None
                or deadlines.records.begun[core] != started
                or deadlines.due(core) > case.tried
            ):
                return
            self._engine.interrupt(core, started)
        case.next_try = case.tried + min(FIRST_RETRY * 2.0**case.fails, LAST_RETRY)
        case.fails += 1
        if case.fails > 1:
            self._reporting().prepare()

    def _halt_calls(self, case: Case) -> None:
        """The exception does not come through: end what the request waits for, where its library can do that."""
        wishes = self._deadlines.wishes(case.core)
        if case.incident is not None and not (wishes is not None and wishes.handled):
            self._reporting().halt_calls(case.incident)

    def _end_patience(self, case: Case, response: Response) -> None:
        deadlines, core, started = self._deadlines, case.core, case.started
        incident = self._reporting().evidence.incident("hard", core, started, response)
        with deadlines.lock:
            deadlines.watched[core] = started
            if deadlines.running[core] is not response or deadlines.records.begun[core] != started:
                return
            phase = deadlines.records.phases[core]
            deadlines.records.phases[core] = _ANSWERED
        case.given_up = True
        self._give_up(core, started, response, phase)  # first: the master does not answer any more
        self._reporting().file(incident, follows=case.soft)
        case.filed = True
        self._part()

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _went_on(self, case: Case) -> None:
        """Its time was over, and it is not any more: it left a `deadline()` block, or has got more time."""
        assert case.incident is not None
        report_id = self._reporting().file_going_on(case.incident, follows=case.soft)
        case.soft = case.soft or report_id
        case.incident, case.next_try, case.tried, case.fails, case.hits = None, 0.0, 0.0, 0, 0

    def _finish(self, case: Case) -> None:
        """The request of a case is over."""
        end = self._deadlines.ends.get(case.core)
        if end is not None and end.started != case.started:
            end = None
        if case.given_up:
            return
        if case.incident is not None:
            self._reporting().file_ended(case.incident, end, follows=case.soft)
        elif case.soft and end is not None:
            self._reporting().completed(case.soft, end)
