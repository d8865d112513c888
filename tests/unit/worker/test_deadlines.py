"""Deadlines of a worker's requests: who sets them, what may be interrupted, and what the watchdog does when."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from math import inf
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest

from uwsgi_deploy.api import deadlines as api
from uwsgi_deploy.config.settings import HarakiriSettings, Settings
from uwsgi_deploy.errors import HarakiriTimeout
from uwsgi_deploy.process import signals
from uwsgi_deploy.protocol.messages import Facts
from uwsgi_deploy.reports.incident import Incident, Kind, Outcome
from uwsgi_deploy.shared import stack_dump
from uwsgi_deploy.shared.scoreboard import Field, RequestPhase, Scoreboard
from uwsgi_deploy.worker import injection
from uwsgi_deploy.worker.deadlines import CALLERS, WAITS, Deadlines, is_interruptible
from uwsgi_deploy.worker.evidence import Evidence
from uwsgi_deploy.worker.reporting import Reporting
from uwsgi_deploy.worker.watchdog import FIRST_REPEAT, LEFT_REPORTS, PULSE, Watchdog
from uwsgi_deploy.wsgi.failures import Failures
from uwsgi_deploy.wsgi.lifecycle import CUT, SERVED, TAKEN, TIMED_OUT, handle_request
from uwsgi_deploy.wsgi.response import Delivery, Response

ENVIRON = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/slow", "REMOTE_ADDR": "10.0.0.1"}


class FakeConnection:
    """Takes what is sent."""

    def __init__(self) -> None:
        self.environ = dict(ENVIRON)
        self.facts = Facts(False, True, True, 0, 0)
        self.sent = b""
        self.keep_alive, self.may_hold, self.held = True, False, None
        self.body, self.live_length, self.deadline, self.body_since = None, 0, 0.0, 0.0
        self.outbox: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent += data


class FakeEngine:
    """An engine whose interrupts are counted, and land when `lands` says so."""

    def __init__(self) -> None:
        self.here: int | None = 0
        self.asked: list[tuple[int, float]] = []
        self.lands: Callable[[int], object] = lambda _core: None

    def run(self) -> None:
        """Nothing."""

    def core_here(self) -> int | None:
        return self.here

    def hub_blocked(self) -> float:
        return 0.0

    def frame_of(self, core: int) -> FrameType | None:
        return sys._getframe() if core == 0 else None

    def interrupt(self, core: int, started: float) -> bool:
        self.asked.append((core, started))
        self.lands(core)
        return True


class Filed:
    """What was filed."""

    def __init__(self) -> None:
        self.filed: list[Incident] = []
        self.ends: list[tuple[str, int]] = []

    def file(self, incident: Incident) -> str:
        self.filed.append(incident)
        return f"report {len(self.filed)}"

    def follow_up(self, report_id: str, *, outcome: str, status: int, age: float) -> None:
        assert outcome == "completed"
        assert age >= 0
        self.ends.append((report_id, status))


class Bench:
    """One worker of two cores, without threads: `look` is what the watchdog does at an instant."""

    def __init__(self, **options: Any) -> None:
        self.board = Scoreboard(2, 2)
        self.board.occupy(1, 0, generation=3, started=1)
        self.records = self.board.core_records(1)
        self.lines: list[str] = []
        self.settings = HarakiriSettings(**{"harakiri": 30.0, **options})
        self.deadlines = Deadlines(self.settings, self.records, self.lines.append)
        self.engine, self.reports, self.given_up = FakeEngine(), Filed(), list[tuple[int, float, int]]()
        self.deadlines.core_here = self.engine.core_here
        evidence = Evidence(self.board, 1, self.deadlines, self.engine, engine_name="threads", born=time.monotonic())
        reporting = Reporting(Settings(), self.lines.append, evidence, aside=None)
        reporting._filed = self.reports
        self.watchdog = Watchdog(
            self.deadlines,
            self.engine,
            lambda: reporting,
            grace=self.settings.harakiri_graceful_timeout,
            give_up=lambda core, started, _response, phase: self.given_up.append((core, started, phase)),
            part=lambda: self.lines.append("parts"),
            record=self.board.record(1),
            alone=False,
        )
        self.watchdog._started = True  # no thread: the tests look

    def begin(self, core: int = 0, *, ago: float = 0.0) -> float:
        """A request begins, or began some seconds ago."""
        started = time.monotonic() - ago
        self.records.begin(core, started, started + self.deadlines.usual_limit, "10.0.0.1 GET /slow", 9)
        delivery = Delivery(cast(Any, None), phases=self.records.phases)
        self.deadlines.running[core] = Response(cast(Any, FakeConnection()), delivery, "GET", core)
        return started

    def end(self, core: int = 0, outcome: Any = SERVED) -> Any:
        """It ends as `Worker.serve` ends it."""
        response = self.deadlines.running[core]
        assert response is not None
        self.deadlines.running[core] = None
        if self.deadlines.watched[core]:
            self.deadlines.settle(core)
            outcome = self.deadlines.conclude(core, ENVIRON, response, outcome)
        self.records.end(core)
        return outcome, cast(FakeConnection, response.connection).sent

    def look(self) -> float:
        """Seconds until the watchdog looks again."""
        now = time.monotonic()
        return self.watchdog.look(now) - now


# --- which limit ------------------------------------------------------------------------------------------------------


def test_the_nearest_limit_counts_and_blocks_take_theirs_with_them() -> None:
    bench = Bench()
    deadlines, started = bench.deadlines, bench.begin()
    assert deadlines.due(0) == started + 30
    assert deadlines.origin(0) == "harakiri"
    assert deadlines.set_user_limit(20)
    outer = deadlines.enter(10)
    inner = deadlines.enter(15)
    assert deadlines.due(0) == pytest.approx(started + 10, abs=1)
    assert deadlines.origin(0) == "deadline()"
    deadlines.leave(inner)
    deadlines.leave(inner)
    assert deadlines.due(0) == pytest.approx(started + 10, abs=1)
    deadlines.leave(outer)
    assert deadlines.due(0) == pytest.approx(started + 20, abs=1)
    assert deadlines.origin(0) == "uwsgi.set_user_harakiri"
    deadlines.set_user_limit(0)
    assert deadlines.due(0) == started + 30


def test_a_limit_of_the_view_counts_from_the_begin_and_may_be_extended() -> None:
    bench = Bench()
    deadlines, started = bench.deadlines, bench.begin(ago=3)
    deadlines.limit(5, "@harakiri")
    assert deadlines.due(0) == started + 5
    deadlines.extend(4)
    assert deadlines.due(0) == started + 9
    assert deadlines.origin(0) == "@harakiri and extend_deadline()"
    deadlines.extend(1)
    assert deadlines.origin(0) == "@harakiri and extend_deadline()"
    deadlines.limit(1, "@harakiri")  # over two seconds ago
    deadlines.extend(4)
    assert deadlines.due(0) == pytest.approx(time.monotonic() + 4, abs=1)
    deadlines.limit(None, "@harakiri")
    deadlines.extend(4)
    assert deadlines.due(0) == inf


def test_wishes_end_with_their_request() -> None:
    bench = Bench()
    deadlines = bench.deadlines
    bench.begin()
    deadlines.limit(None, "@harakiri")
    block = deadlines.enter(1)
    bench.end()
    started = bench.begin()
    assert deadlines.due(0) == started + 30
    deadlines.leave(block)  # a generator that was collected late
    assert deadlines.due(0) == started + 30


def test_nothing_happens_where_no_request_runs() -> None:
    bench = Bench()
    started = bench.begin()
    bench.engine.here = None
    bench.deadlines.limit(1, "@harakiri")
    bench.deadlines.extend(1)
    assert not bench.deadlines.set_user_limit(1)
    assert bench.deadlines.enter(1) is None
    bench.deadlines.leave(None)
    bench.deadlines.timed_out()
    assert bench.deadlines.due(0) == started + 30


def test_routes_by_name_and_by_path() -> None:
    bench = Bench(harakiri_routes=("^/export/=90", "shop:detail=2", "/items/<pk>=off"))
    deadlines, started = bench.deadlines, bench.begin()
    deadlines.name_route({}, "/things", "shop:list")
    assert deadlines.due(0) == started + 30
    deadlines.name_route({}, "/shop/<pk>", "shop:detail")
    assert deadlines.due(0) == started + 2
    assert deadlines.origin(0) == "harakiri-routes: shop:detail"
    assert bench.board.own_request(1, 0).route == "/shop/<pk>"
    deadlines.name_route({}, "/items/<pk>", "")
    assert deadlines.due(0) == inf
    assert deadlines.limit_of_path("/export/1", 1, 77.0) == 90
    assert deadlines.limit_of_path("/", 1, 77.0) == 30


def test_a_route_is_found_by_its_environ_from_another_thread() -> None:
    bench = Bench()
    bench.begin(core=1)
    response = bench.deadlines.running[1]
    assert response is not None
    bench.engine.here = None
    bench.deadlines.name_route(cast(Any, response.connection.environ), "/a", "")
    bench.deadlines.name_route({}, "/b", "")
    assert bench.board.own_request(1, 1).route == "/a"


# --- what may be interrupted ------------------------------------------------------------------------------------------


def run(application: Callable[..., Any], connection: FakeConnection | None = None) -> tuple[Any, bytes]:
    """Handle a request of this application; how it ended, or what it raised, and what was sent."""
    connection = connection or FakeConnection()
    response = Response(cast(Any, connection), Delivery(cast(Any, NoFlusher())), "GET")
    try:
        return handle_request(application, cast(Any, connection.environ), response, Failures(lambda _text: None)), b""
    except HarakiriTimeout as timeout:
        return timeout, connection.sent


class NoFlusher:
    """Streams are sent at their end."""

    def watch(self, stream: object) -> None:
        """Nothing."""

    forget = watch


def innermost() -> bool:
    """Whether the place that calls this may be interrupted."""
    return is_interruptible(sys._getframe(1))


def test_the_application_may_be_interrupted_wherever_it_runs() -> None:
    seen: list[bool] = []

    class Result:
        def __iter__(self) -> Iterator[bytes]:
            seen.append(innermost())
            yield b"one"
            seen.append(innermost())
            yield b"two"

        def close(self) -> None:
            seen.append(innermost())

    @api.harakiri(5)
    def application(_environ: object, start_response: Callable[..., Any]) -> Result:
        seen.append(innermost())
        start_response("200 OK", [])
        return Result()

    assert run(application)[0] is SERVED
    assert seen == [True] * 4


def test_what_is_let_through_is_there() -> None:
    """A function that is renamed would make late requests behind it uninterruptible, and nobody would notice."""
    for module, name in (*CALLERS, *WAITS):
        found: Any = import_module(module)
        for part in name.partition(".<locals>")[0].split("."):
            found = getattr(found, part)
        assert found.__code__.co_qualname == name.partition(".<locals>")[0]
    for application in ("Mounts.__call__", "StaticFiles.__call__", "Front.__call__"):
        assert application in {name for _, name in CALLERS}


def test_the_server_may_not_be_interrupted() -> None:
    seen: list[bool] = []

    class Spy(FakeConnection):
        def send(self, data: bytes) -> None:
            frame: FrameType | None = sys._getframe(1)  # Response's, which is sending
            seen.append(is_interruptible(frame))
            super().send(data)

    def application(_environ: object, start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])(b"first")
        return [b"second"]

    assert run(application, Spy())[0] is SERVED
    assert len(seen) >= 2
    assert not any(seen)
    assert not is_interruptible(sys._getframe())  # no request at all
    assert not is_interruptible(None)


def test_a_timeout_is_left_to_whoever_ends_requests_and_everything_else_is_not() -> None:
    def application(_environ: object, _start_response: object) -> list[bytes]:
        raise HarakiriTimeout

    assert isinstance(run(application)[0], HarakiriTimeout)


# --- interrupting -----------------------------------------------------------------------------------------------------


def test_the_signal_handler_raises_in_what_is_late_only(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr("uwsgi_deploy.worker.deadlines.is_interruptible", lambda _frame: True)
    deadlines = bench.deadlines
    deadlines.on_signal(1, sys._getframe())  # idle
    bench.begin()
    deadlines.on_signal(1, sys._getframe())  # in time
    bench.end()
    bench.begin(ago=31)
    bench.engine.here = 1
    deadlines.on_signal(1, sys._getframe())  # not here
    bench.engine.here = 0
    with pytest.raises(HarakiriTimeout, match="longer than 30 s") as raised:
        deadlines.on_signal(1, sys._getframe())
    assert raised.value.limit == 30
    deadlines.timed_out()
    deadlines.on_signal(1, sys._getframe())  # somebody has caught it and answers
    deadlines.running[0] = None
    deadlines.on_signal(1, sys._getframe())  # it is over


def test_exceptions_at_random_instants_hit_requests_only() -> None:
    """A thread serves as `Worker.serve` does; what it does between requests stands outside of any `try`."""
    bench = Bench()
    deadlines = bench.deadlines
    hits, between, over = [0], [0], threading.Event()
    died: list[BaseException] = []

    def serve() -> None:
        running, watched = deadlines.running, deadlines.watched
        response = Response(cast(Any, FakeConnection()), Delivery(cast(Any, None)), "GET")
        while not over.is_set():
            running[0] = response
            try:
                for _ in range(50):
                    str(len(str(response)))
                running[0] = None
            except HarakiriTimeout:
                running[0] = None
                watched[0] = 1.0
                hits[0] += 1
            if watched[0]:
                try:
                    try:
                        deadlines.settle(0)
                    except HarakiriTimeout:
                        deadlines.settle(0)
                except HarakiriTimeout:
                    deadlines.settle(0)
            for _ in range(20):
                between[0] += len(str(response)) > 0

    def core() -> None:
        try:
            serve()
        except BaseException as error:
            died.append(error)

    thread = threading.Thread(target=core)
    thread.start()
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        until = time.monotonic() + 2
        while time.monotonic() < until and not died:
            time.sleep(random.random() / 5000)
            with deadlines.lock:
                deadlines.watched[0] = 1.0
                if deadlines.running[0] is not None:
                    injection.raise_in(cast(int, thread.ident), HarakiriTimeout)
    finally:
        sys.setswitchinterval(former)
        over.set()
        thread.join(10)
    assert died == []
    assert hits[0] > 100
    assert between[0] > 1000


# --- what the watchdog does -------------------------------------------------------------------------------------------


def test_it_sleeps_as_long_as_nothing_can_be_due() -> None:
    bench = Bench()
    assert bench.look() == pytest.approx(30, abs=0.1)
    bench.begin(ago=10)
    assert bench.look() == pytest.approx(20, abs=0.1)
    assert Bench(harakiri=0.0).look() == inf
    assert Bench(harakiri=0.0, soft_harakiri=4.0).look() == pytest.approx(4, abs=0.1)
    assert Bench(harakiri_routes=("^/a=7",)).look() == pytest.approx(7, abs=0.1)
    assert bench.board.record(1)[Field.PULSE] == 0


def test_a_late_request_is_interrupted_and_reported_as_it_was() -> None:
    bench = Bench()
    started = bench.begin(ago=31)
    assert bench.look() < 0.1
    assert bench.engine.asked == [(0, started)]
    assert bench.reports.filed == []  # it is not known yet how it ends
    assert bench.board.record(1)[Field.PULSE] > 0
    outcome, sent = bench.end(outcome=None)
    assert outcome is TIMED_OUT
    assert sent.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    bench.look()
    (incident,) = bench.reports.filed
    assert (incident.kind, incident.outcome, incident.status) == (Kind.DEADLINE, Outcome.ANSWERED, 504)
    assert (incident.method, incident.uri, incident.client) == ("GET", "/slow", "10.0.0.1")
    assert (incident.limit, incident.limit_origin, incident.generation) == (30, "harakiri", 3)
    assert incident.age == pytest.approx(31, abs=1)
    assert incident.victim is not None
    assert incident.victim.frames[0].function == "FakeEngine.frame_of"
    assert bench.look() == pytest.approx(30, abs=0.1)
    assert len(bench.reports.filed) == 1


def test_an_interrupt_is_repeated_soon_if_it_did_not_come_and_later_if_it_did() -> None:
    bench = Bench()
    bench.begin(ago=31)
    bench.look()
    time.sleep(0.06)
    bench.look()
    assert len(bench.engine.asked) == 2
    bench.engine.lands = bench.deadlines.interrupted
    time.sleep(0.06)
    bench.look()
    assert len(bench.engine.asked) == 3
    time.sleep(0.06)
    bench.look()
    assert len(bench.engine.asked) == 3  # its `finally` has its time
    time.sleep(FIRST_REPEAT)
    bench.look()
    assert len(bench.engine.asked) == 4


def test_a_response_that_has_begun_is_cut() -> None:
    bench = Bench()
    bench.begin(ago=31)
    response = bench.deadlines.running[0]
    assert response is not None
    response.started = True
    bench.look()
    outcome, sent = bench.end(outcome=None)
    assert (outcome, sent) == (CUT, b"")
    assert response.status == 504
    assert not response.connection.keep_alive
    bench.look()
    assert bench.reports.filed[0].outcome is Outcome.CUT


def test_one_that_was_caught_goes_on() -> None:
    bench = Bench()
    bench.begin()
    block = bench.deadlines.enter(0.01)
    time.sleep(0.02)
    bench.look()
    assert len(bench.engine.asked) == 1
    bench.deadlines.leave(block)
    assert bench.look() == pytest.approx(30, abs=1)
    assert [(i.limit_origin, i.outcome) for i in bench.reports.filed] == [("deadline()", Outcome.CONTINUES)]
    response = bench.deadlines.running[0]
    assert response is not None
    response.status = 200
    assert bench.end()[0] is SERVED
    bench.look()
    assert bench.reports.ends == [("report 1", 200)]


def test_patience_ends() -> None:
    bench = Bench(harakiri_graceful_timeout=2.0)
    started = bench.begin(ago=31)
    bench.look()
    assert bench.given_up == []
    bench.end()
    bench.look()
    started = bench.begin(ago=33)
    assert bench.look() == pytest.approx(PULSE, abs=0.05)
    assert bench.given_up == [(0, started, RequestPhase.APPLICATION)]
    assert bench.records.phases[0] == RequestPhase.ANSWERED
    assert bench.reports.filed[-1].kind is Kind.HARD
    assert bench.lines == ["parts"]
    bench.look()
    assert len(bench.given_up) == 1
    assert bench.end() == (TAKEN, b"")
    bench.look()
    assert [incident.kind for incident in bench.reports.filed] == [Kind.DEADLINE, Kind.HARD]


def test_soft_reports_tell_how_the_request_ended() -> None:
    bench = Bench(soft_harakiri=10.0)
    bench.begin(ago=11)
    assert bench.look() == pytest.approx(10, abs=0.2)  # what begins now may take ten seconds
    assert [(i.kind, i.outcome, i.limit) for i in bench.reports.filed] == [(Kind.SOFT, Outcome.CONTINUES, 10)]
    bench.look()
    assert len(bench.reports.filed) == 1
    response = bench.deadlines.running[0]
    assert response is not None
    response.status = 200
    assert bench.end()[0] is SERVED
    bench.look()
    assert bench.reports.ends == [("report 1", 200)]


def test_who_is_exempt_is_not_reported_as_slow() -> None:
    bench = Bench(soft_harakiri=10.0)
    bench.begin(ago=11)
    bench.deadlines.limit(None, "@harakiri")
    bench.look()
    assert bench.reports.filed == []


def test_callbacks_are_called_once_and_may_fail() -> None:
    called: list[str] = []

    def callback() -> None:
        called.append("here")
        raise ValueError("no")

    api.on_timeout(callback)
    try:
        bench = Bench()
        bench.begin(ago=31)
        bench.look()
        bench.deadlines.timed_out()  # a middleware
        bench.deadlines.timed_out()
        assert called == ["here"]
        assert bench.end()[0] is SERVED
        bench.begin(ago=31)
        bench.look()
        assert bench.end(outcome=None)[0] is TIMED_OUT
        assert called == ["here"] * 2
        assert bench.lines[0].startswith("a function of uwsgi_deploy.on_timeout failed:\nTraceback")
    finally:
        api.on_timeout_callbacks.remove(callback)


def test_the_thread_is_woken_by_a_nearer_deadline_only() -> None:
    bench = Bench()
    rung: list[bool] = []
    bench.watchdog._bell = cast(Any, SimpleNamespace(ring=lambda: rung.append(True)))
    bench.watchdog._next_look = time.monotonic() + 10
    bench.begin()
    bench.deadlines.limit(20, "@harakiri")
    bench.deadlines.limit(None, "@harakiri")
    assert rung == []
    bench.deadlines.enter(5)
    assert rung == [True]


def test_signals_between_master_and_workers_are_all_different() -> None:
    numbers = [signals.INTERRUPT, stack_dump.DUMP_SIGNAL, stack_dump.GREENLETS_SIGNAL, *signals.HANDLED]
    assert len(set(numbers)) == len(numbers)


# --- reports that others have left ------------------------------------------------------------------------------------


def test_left_reports_are_looked_for_only_where_there_may_be_some() -> None:
    bench, looked = Bench(), list[float]()
    watchdog = bench.watchdog
    watchdog._look_for_reports = lambda: looked.append(0.0)
    now = time.monotonic()
    assert watchdog._run_errand(now + 1000.0) == inf
    watchdog.expect_reports()
    assert watchdog._run_errand(now) == pytest.approx(now + LEFT_REPORTS[0], abs=1.0)
    assert not looked
    assert watchdog._run_errand(now + LEFT_REPORTS[0] + 1.0) == pytest.approx(now + LEFT_REPORTS[1], abs=1.0)
    assert watchdog._run_errand(now + 1000.0) == inf
    assert len(looked) == 2
