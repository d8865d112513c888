"""The rules about overdue requests, with simulated time, and what the log says about them."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from tests.unit.config.support import configure, refusal
from tests.unit.master.test_policies import add_worker, fleet_of
from uwsgi_deploy.config.settings import HarakiriSettings
from uwsgi_deploy.master.actions import (
    Action,
    AskForStacks,
    AwaitSiblings,
    Execute,
    Isolate,
    Nudge,
    PutOffHarakiri,
    Spare,
    WakeAt,
    Warn,
)
from uwsgi_deploy.master.cases import CaseStage, HarakiriCase
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.master.harakiri_report import Instant, by_itself, status, warned
from uwsgi_deploy.master.manifest import restored, row_of
from uwsgi_deploy.master.policies.harakiri import (
    ISOLATED_PACE,
    LOOK_AGAIN,
    NUDGE_PACE,
    PARTING_TIME,
    PULSE_TIME,
    STACKS_TIME,
    THRESHOLD_PAUSE,
    UNANSWERED_TIME,
    harakiri,
    shortest_limit,
)
from uwsgi_deploy.shared.scoreboard import RequestPhase, Running, Scoreboard
from uwsgi_deploy.shared.stack_dump import arrange

LIMIT = 30.0
ANSWERED = RequestPhase.ANSWERED
FIRST_LOOK = PULSE_TIME + LOOK_AGAIN
# A worker whose interpreter is held has this to show its stacks.
WHOLE_TIME = UNANSWERED_TIME + STACKS_TIME


def one_worker(*running: Running, **rules: Any) -> tuple[Fleet, Worker]:
    """A fleet with harakiri = 30, and 5 more seconds for the worker, whose only worker runs these requests."""
    fleet = fleet_of(1)
    fleet.harakiri = replace(HarakiriSettings(harakiri=LIMIT), **rules)
    fleet.shortest_limit = shortest_limit(fleet.harakiri)
    worker = add_worker(fleet, 1)
    worker.running = running
    return fleet, worker


def since(started: float, core: int = 0, phase: RequestPhase = RequestPhase.APPLICATION) -> Running:
    """A request that has the option's deadline."""
    return Running(core, started, started + LIMIT, by_user=False, phase=phase)


def decisions(fleet: Fleet, now: float) -> list[Action]:
    """What is done, without what is waited for."""
    return [action for action in harakiri(fleet, now) if not isinstance(action, WakeAt)]


def wake_up(fleet: Fleet, now: float) -> float | None:
    """When the master looks again."""
    return min((action.instant for action in harakiri(fleet, now) if isinstance(action, WakeAt)), default=None)


def open_case(worker: Worker, running: Running, stage: CaseStage = CaseStage.STACKS_ASKED, until: float = inf) -> None:
    """The stacks of a worker were asked for, or more."""
    worker.case = HarakiriCase(running.core, running.started, running.deadline, running.by_user, until, stage=stage)


def isolate(fleet: Fleet, worker: Worker, judged: Running, until: float) -> None:
    """What `Isolate` leads to."""
    open_case(worker, judged, CaseStage.ISOLATED, until)
    worker.judged += ((judged.core, judged.started),)
    fleet.told(worker, signal.SIGHUP, None)


def test_idle_master_looks_when_something_can_be_due() -> None:
    """Whatever begins after a look has the whole limit, what runs has the rest of it; then the pulse is looked at."""
    fleet, worker = one_worker()
    assert wake_up(fleet, 100.0) == 130.0 + FIRST_LOOK
    worker.running = (since(90.0), since(95.0, core=1))
    assert wake_up(fleet, 100.0) == 120.0 + FIRST_LOOK
    worker.shortest = 4.0
    assert wake_up(fleet, 100.0) == 104.0 + FIRST_LOOK


def test_limits_by_route_wake_the_master_sooner() -> None:
    """What begins now may have the shortest of them."""
    limits = HarakiriSettings(harakiri=30.0, harakiri_routes=("^/quick=3", "report=off", "list=2"))
    assert shortest_limit(limits) == 2.0
    assert shortest_limit(HarakiriSettings(harakiri=0.0)) == inf
    fleet, _ = one_worker(harakiri_routes=limits.harakiri_routes)
    assert wake_up(fleet, 100.0) == 102.0 + FIRST_LOOK


def test_without_a_limit_there_is_nothing_to_wait_for() -> None:
    """Only an application's own deadline wakes the master then."""
    fleet, worker = one_worker(Running(0, 90.0, inf, by_user=False), harakiri=0.0)
    assert list(harakiri(fleet, 1e9)) == []
    worker.running = (Running(0, 90.0, 95.0, by_user=True),)
    assert list(harakiri(fleet, 91.0)) == [WakeAt(95.0 + FIRST_LOOK), WakeAt(100.0)]
    assert decisions(fleet, 100.0) == [AskForStacks(worker.serial, worker.running[0], 100.0 + WHOLE_TIME)]


def test_master_leaves_the_deadline_to_the_worker() -> None:
    """It only observes until the worker's own time is over."""
    fleet, worker = one_worker(since(90.0))
    for now in (120.0, 122.0, 124.9):
        worker.pulse = now
        assert decisions(fleet, now) == []
    assert wake_up(fleet, 120.0) == 120.0 + FIRST_LOOK
    assert wake_up(fleet, 122.0) == 122.0 + NUDGE_PACE
    assert wake_up(fleet, 124.9) == 125.0


def test_held_interpreter_is_told_of_the_deadline() -> None:
    """Its watchdog cannot run; a signal may reach what holds it. Now and then, until the hard instant."""
    fleet, worker = one_worker(since(90.0))
    assert decisions(fleet, 120.4) == []
    assert decisions(fleet, 120.6) == [Nudge(worker.serial, 120.6 + NUDGE_PACE)]
    worker.next_nudge = 121.1
    assert decisions(fleet, 121.0) == []
    assert decisions(fleet, 121.1) == [Nudge(worker.serial, 121.1 + NUDGE_PACE)]


@pytest.mark.parametrize("phase", [Phase.READY, Phase.LEAVING])
def test_held_interpreter_has_its_stacks_asked_for_at_once(phase: Phase) -> None:
    """Also in a worker that leaves: its mercy may be longer than the limit. Its pulse is old, or never came."""
    overdue = since(90.0, core=1)
    fleet, worker = one_worker(since(100.0), overdue)
    if phase is Phase.LEAVING:
        fleet.told(worker, signal.SIGHUP, 1e9)
    for pulse in (0.0, 125.0 - PULSE_TIME - 0.1):
        worker.pulse = pulse
        assert decisions(fleet, 125.0) == [AskForStacks(worker.serial, overdue, 125.0 + WHOLE_TIME)]


def test_free_worker_may_answer_first() -> None:
    """The worker's watchdog has half a second; then the master does it."""
    overdue = since(90.0)
    fleet, worker = one_worker(overdue)
    worker.pulse = 124.95
    assert decisions(fleet, 125.1) == []
    assert wake_up(fleet, 125.1) == pytest.approx(124.95 + PULSE_TIME)
    worker.pulse = 125.45
    assert wake_up(fleet, 125.45) == 125.0 + UNANSWERED_TIME
    assert decisions(fleet, 125.5) == [AskForStacks(worker.serial, overdue, 125.5 + STACKS_TIME)]


def test_without_grace_the_pulse_has_its_time() -> None:
    """harakiri-graceful-timeout = 0: a worker whose request was not overdue had no reason to show one."""
    overdue = since(90.0)
    fleet, _worker = one_worker(overdue, harakiri_graceful_timeout=0.0)
    assert decisions(fleet, 120.0) == []
    assert wake_up(fleet, 120.0) == 120.0 + UNANSWERED_TIME
    assert len(decisions(fleet, 120.5)) == 1


def test_answered_request_isolates_its_worker() -> None:
    """The client has its answer: a successor starts at once, the siblings keep their own deadlines."""
    answered = since(90.0, phase=ANSWERED)
    fleet, worker = one_worker(answered, since(119.0, core=1))
    worker.pulse = 124.9
    assert decisions(fleet, 124.9) == []
    assert decisions(fleet, 125.0) == [Isolate(worker.serial, 125.0 + PARTING_TIME)]
    isolate(fleet, worker, answered, until=126.0)
    for now in (130.0, 149.0, 153.9):
        worker.pulse = now
        assert decisions(fleet, now) == [AwaitSiblings(worker.serial, now + PARTING_TIME)]
        assert wake_up(fleet, now) == now + ISOLATED_PACE
    worker.running = (answered,)
    worker.pulse, worker.case.until = 140.0, 140.5  # type: ignore[union-attr]
    assert decisions(fleet, 140.0) == []
    worker.pulse = 140.5
    assert decisions(fleet, 140.5) == [Execute(worker.serial)]


def test_sibling_of_an_isolated_worker_has_its_own_case() -> None:
    """It is answered when its own time is over, by its worker or by the master; then nobody is waited for."""
    answered, sibling = since(90.0, phase=ANSWERED), since(119.0, core=1)
    fleet, worker = one_worker(answered, sibling)
    isolate(fleet, worker, answered, until=150.0)
    worker.pulse = 154.1
    assert decisions(fleet, 154.1) == []
    worker.pulse = 154.6
    assert decisions(fleet, 154.6) == [AskForStacks(worker.serial, sibling, 154.6 + STACKS_TIME)]
    worker.running = (answered, replace(sibling, phase=ANSWERED))
    assert decisions(fleet, 154.6) == [Isolate(worker.serial, 154.6 + PARTING_TIME)]
    worker.judged += ((1, 119.0),)
    assert decisions(fleet, 155.0) == [Execute(worker.serial)]


def test_siblings_are_not_waited_for_when_they_cannot_run() -> None:
    """Somebody holds the interpreter of an isolated worker: the stacks, and the end."""
    answered = since(90.0, phase=ANSWERED)
    fleet, worker = one_worker(answered, since(119.0, core=1))
    isolate(fleet, worker, answered, until=150.0)
    worker.pulse = 130.0
    assert decisions(fleet, 130.6) == [AskForStacks(worker.serial, answered, 130.6 + STACKS_TIME)]
    open_case(worker, answered, until=130.9)
    assert decisions(fleet, 130.9) == [Execute(worker.serial)]


def test_siblings_are_not_waited_for_where_nobody_can_serve() -> None:
    """The successor is leaving, too, and there is no third place."""
    answered = since(90.0, phase=ANSWERED)
    fleet, worker = one_worker(answered, since(119.0, core=1))
    isolate(fleet, worker, answered, until=126.0)
    worker.pulse = 130.0
    successor = add_worker(fleet, 1)
    assert decisions(fleet, 130.0) == [AwaitSiblings(worker.serial, 130.0 + PARTING_TIME)]
    fleet.told(successor, signal.SIGHUP, None)
    assert decisions(fleet, 130.0) == [Execute(worker.serial)]


def test_next_image_of_the_master_goes_on() -> None:
    """It knows who was judged, and neither reports nor answers it again."""
    judged = since(90.0)
    fleet, worker = one_worker(judged, since(119.0, core=1))
    fleet.told(worker, signal.SIGHUP, None)
    worker.judged = ((judged.core, judged.started),)
    assert restored(Worker, row_of(worker)).judged == worker.judged
    assert decisions(fleet, 130.0) == [Isolate(worker.serial, 130.0 + PARTING_TIME)]


def test_stacks_come_before_the_end_but_not_for_ever() -> None:
    """The worker is killed when its stacks are here, or when they have not come in time."""
    overdue = since(90.0)
    fleet, worker = one_worker(overdue)
    open_case(worker, overdue, until=125.3)
    assert decisions(fleet, 125.1) == []
    assert wake_up(fleet, 125.1) == 125.1 + LOOK_AGAIN
    assert decisions(fleet, 125.3) == [Execute(worker.serial)]
    assert worker.case is not None
    worker.case.has_stacks = True
    assert decisions(fleet, 125.1) == [Execute(worker.serial)]


def test_siblings_that_can_run_are_spared_an_unanswered_request() -> None:
    """The master answers, and lets them finish."""
    overdue = since(90.0)
    fleet, worker = one_worker(overdue, since(119.0, core=1))
    open_case(worker, overdue, until=125.0)
    worker.pulse = 124.9
    assert decisions(fleet, 125.0) == [Isolate(worker.serial, 125.0 + PARTING_TIME)]
    worker.running = (overdue, since(90.0, core=1))
    assert decisions(fleet, 125.0) == [Execute(worker.serial)]


@pytest.mark.parametrize("stage", [CaseStage.STACKS_ASKED, CaseStage.WARNED, CaseStage.ISOLATED])
def test_request_that_ends_is_spared(stage: CaseStage) -> None:
    """Also when its core runs the next one already."""
    fleet, worker = one_worker()
    open_case(worker, since(90.0), stage, until=100.0)
    assert decisions(fleet, 126.0) == [Spare(worker.serial)]
    worker.running = (since(119.0),)
    assert decisions(fleet, 126.0) == [Spare(worker.serial)]


def test_all_together_takes_less_than_a_second() -> None:
    """The promise: answered within a second of the hard instant."""
    assert UNANSWERED_TIME + STACKS_TIME + 2 * LOOK_AGAIN < 1


def test_graceful_signal_comes_at_the_deadline() -> None:
    """Where there is one: its report, the signal, the worker's time, and the end."""
    overdue = since(90.0)
    fleet, worker = one_worker(overdue, harakiri_graceful_signal=12)
    assert wake_up(fleet, 110.0) == 120.0
    assert decisions(fleet, 120.0) == [AskForStacks(worker.serial, overdue, 120.0 + STACKS_TIME, warns=True)]
    open_case(worker, overdue, until=120.0)
    assert worker.case is not None
    worker.case.warns = True
    assert decisions(fleet, 120.0) == [Warn(worker.serial, 12, 125.0)]
    open_case(worker, overdue, CaseStage.WARNED, until=125.0)
    assert decisions(fleet, 124.9) == []
    assert wake_up(fleet, 124.9) == 125.0
    assert decisions(fleet, 125.0) == [AskForStacks(worker.serial, overdue, 125.0 + WHOLE_TIME)]
    open_case(worker, overdue, until=125.0)
    assert decisions(fleet, 125.1) == [Execute(worker.serial)]


def test_few_waiting_clients_put_it_off() -> None:
    """harakiri-queue-threshold; a queue that cannot be measured saves nobody."""
    fleet, worker = one_worker(since(90.0), harakiri_queue_threshold=3)
    fleet.listen_queue = 2
    assert decisions(fleet, 125.0) == [PutOffHarakiri(worker.serial, 125.0 + THRESHOLD_PAUSE)]
    worker.harakiri_not_before = 126.0
    assert decisions(fleet, 125.5) == []
    assert wake_up(fleet, 125.5) == 126.0
    for length in (3, None):
        fleet.listen_queue = length
        assert [type(action) for action in decisions(fleet, 126.0)] == [AskForStacks]


def test_killed_worker_is_not_killed_again() -> None:
    """Its end is seen later."""
    overdue = since(90.0)
    fleet, worker = one_worker(overdue)
    open_case(worker, overdue, CaseStage.KILLED)
    assert decisions(fleet, 1000.0) == []
    worker.running = ()
    assert decisions(fleet, 1000.0) == []


# --- the log ----------------------------------------------------------------------------------------------------------


def test_report_names_everything() -> None:
    """uWSGI's lines, a sentence, the stacks by core; no client can forge a line with its request."""
    _, worker = one_worker(since(90.0, core=1), since(115.0, core=0))
    worker.pid = os.getpid()
    open_case(worker, worker.running[0])
    board = Scoreboard(1, cores=2)
    cores = board.core_records(1)
    cores.begin(1, 90.0, 120.0, "10.0.0.1 GET /slow?\n*** forged")
    cores.begin(0, 115.0, 145.0, " POST /other")
    cores.set_thread(1, 0xABC)
    stacks = (
        'Thread 0x00000abc (most recent call first):\n  File "a.py", line 1 in stuck\n\n'
        'Current thread 0x00000def (most recent call first):\n  File "b.py", line 2 in fine\n'
    )
    text = by_itself(board, worker, stacks, Instant(120.5, 1_000_000.0), graceful=True, verbose=True)
    lines = text.splitlines()
    what = r"GET /slow?\x0a*** forged"
    assert lines[:2] == [
        f"*** HARAKIRI ON WORKER 1 (pid: {worker.pid}, try: 1, graceful: yes) ***",
        f"HARAKIRI: {what} from 10.0.0.1 has run for 30.5 s on core 1 of worker 1 (pid: {worker.pid}); "
        "harakiri allows 30 s",
    ]
    assert [line.partition("> ")[0] for line in lines[2:4]] == ["HARAKIRI: -- syscall", "HARAKIRI: -- wchan"]
    assert lines[4:] == [
        "HARAKIRI !!! worker 1 status !!!",
        f"HARAKIRI [core 1] 10.0.0.1 - {what} since 999969",
        "HARAKIRI [core 0] a Unix socket - POST /other since 999994",
        "HARAKIRI !!! end of worker 1 status !!!",
        f"HARAKIRI: stacks of worker 1 (pid: {worker.pid}):",
        f"core 1, {what} (0xabc), most recent call first:",
        '  File "a.py", line 1 in stuck',
        "another thread (0xdef), most recent call first:",
        '  File "b.py", line 2 in fine',
        "HARAKIRI triggered by worker 1 core 1 !!!",
    ]


def test_status_in_the_hard_stage() -> None:
    """uWSGI's lines, with the route where it is known; who is not overdue did not trigger it."""
    fleet, worker = one_worker(since(90.0, core=1), since(115.0, core=0))
    board = Scoreboard(1, cores=2)
    cores = board.core_records(1)
    cores.begin(1, 90.0, 120.0, "10.0.0.1 GET /slow")
    cores.set_route(1, "/<name>")
    cores.begin(0, 115.0, 145.0, " POST /other")
    assert status(board, worker, Instant(125.0, 1_000_000.0), fleet, verbose=False).splitlines() == [
        "HARAKIRI !!! worker 1 status !!!",
        "HARAKIRI [core 1] 10.0.0.1 - GET /slow (/<name>) since 999965",
        "HARAKIRI [core 0] a Unix socket - POST /other since 999990",
        "HARAKIRI !!! end of worker 1 status !!!",
        "HARAKIRI triggered by worker 1 core 1 !!!",
    ]
    others = status(board, worker, Instant(125.0, 1_000_000.0), fleet, verbose=True, others=True).splitlines()
    assert others == [
        "HARAKIRI !!! worker 1 status !!!",
        "HARAKIRI [core 0] a Unix socket - POST /other since 999990",
        "HARAKIRI !!! end of worker 1 status !!!",
    ]
    worker.running = worker.running[:1]
    assert status(board, worker, Instant(125.0, 1_000_000.0), fleet, verbose=True, others=True) == ""


def test_report_without_stacks_says_so() -> None:
    """And tells an application's own limit from the option's."""
    _, worker = one_worker(Running(0, 90.0, 95.0, by_user=True))
    open_case(worker, worker.running[0])
    text = by_itself(Scoreboard(1), worker, "", Instant(95.0, 1e6), graceful=True, verbose=False)
    assert "none: the worker did not show them in time" in text
    assert "uwsgi.set_user_harakiri allows 5 s" in text
    assert text.endswith("HARAKIRI (user) triggered by worker 1 core 0 !!!")
    assert worker.case is not None
    worker.case.until = 100.0
    line = "HARAKIRI: graceful termination attempt on worker 1 with signal 15 (SIGTERM). Next harakiri: 1000005"
    assert warned(worker, int(signal.SIGTERM), Instant(95.0, 1e6)) == line


def test_stacks_of_unknown_threads_keep_their_order() -> None:
    """Named ones first, in the order of their names."""
    stacks = "".join(f"Thread 0x{n} (most recent call first):\n  frame {n}\n" for n in (1, 2, 3, 4))
    headings = [line for line in arrange(stacks, {4: "core 1", 2: "core 0"}).splitlines() if "0x" in line]
    assert [heading.partition(" (")[0] for heading in headings] == [
        "core 1",
        "core 0",
        "another thread",
        "another thread",
    ]


def test_frames_outside_of_a_request_are_left_out() -> None:
    """They are the same in every worker; another thread keeps all that it has."""
    entrance = '  File "/x/uwsgi_deploy/wsgi/lifecycle.py", line 38 in handle_request'
    stacks = (
        f"Thread 0x1 (most recent call first):\n  view\n{entrance}\n  serve\n  main\n"
        "Thread 0x2 (most recent call first):\n  poll\n"
    )
    assert arrange(stacks, {1: "core 0"}).splitlines() == [
        "core 0 (0x1), most recent call first:",
        "  view",
        "another thread (0x2), most recent call first:",
        "  poll",
    ]


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings() -> None:
    """uWSGI's names; times may have units."""
    assert configure("-t", "30").settings.harakiri.harakiri == 30
    assert configure("--harakiri", "1m").settings.harakiri.harakiri == 60
    assert "1 to 64" in refusal("--harakiri-graceful-signal", "65")
    for option in ("--harakiri-graceful-signal=12", "--harakiri-queue-threshold=1", "--harakiri-verbose"):
        assert "needs a master" in refusal("--master=false", option)
