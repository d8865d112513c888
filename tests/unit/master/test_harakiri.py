"""The rules about overdue requests, with simulated time, and what the log says about them."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from math import inf

import pytest

from tests.unit.config.support import configure, refusal
from tests.unit.master.test_policies import add_worker, fleet_of
from uwsgi_deploy.config.settings import HarakiriSettings
from uwsgi_deploy.master.actions import Action, AskForStacks, Execute, Isolate, PutOffHarakiri, Spare, WakeAt, Warn
from uwsgi_deploy.master.cases import CaseStage, HarakiriCase
from uwsgi_deploy.master.fleet import Fleet, Phase, Worker
from uwsgi_deploy.master.harakiri_report import Instant, report, warned
from uwsgi_deploy.master.policies.harakiri import (
    LOOK_AGAIN,
    SIBLINGS_TIME,
    STACKS_TIME,
    THRESHOLD_PAUSE,
    harakiri,
)
from uwsgi_deploy.shared.scoreboard import Running, Scoreboard
from uwsgi_deploy.shared.stack_dump import arrange

LIMIT = 30.0


def one_worker(*running: Running, **rules: float) -> tuple[Fleet, Worker]:
    """A fleet with harakiri = 30 whose only worker runs these requests."""
    fleet = fleet_of(1)
    fleet.harakiri = replace(HarakiriSettings(harakiri=LIMIT), **rules)
    worker = add_worker(fleet, 1)
    worker.running = running
    return fleet, worker


def since(started: float, core: int = 0) -> Running:
    """A request that has the option's deadline."""
    return Running(core, started, started + LIMIT, by_user=False)


def decisions(fleet: Fleet, now: float) -> list[Action]:
    """What is done, without what is waited for."""
    return [action for action in harakiri(fleet, now) if not isinstance(action, WakeAt)]


def wake_up(fleet: Fleet, now: float) -> float | None:
    """When the master looks again."""
    return min((action.instant for action in harakiri(fleet, now) if isinstance(action, WakeAt)), default=None)


def open_case(worker: Worker, running: Running, stage: CaseStage = CaseStage.STACKS_ASKED, until: float = inf) -> None:
    """The stacks of a worker were asked for, or more."""
    worker.case = HarakiriCase(running.core, running.started, running.deadline, running.by_user, until, stage=stage)


def test_idle_master_looks_when_something_can_be_due() -> None:
    """Whatever begins after a look has the whole limit; what runs has the rest of it."""
    fleet, worker = one_worker()
    assert wake_up(fleet, 100.0) == 130.0
    worker.running = (since(90.0), since(95.0, core=1))
    assert wake_up(fleet, 100.0) == 120.0
    assert decisions(fleet, 119.9) == []


def test_without_a_limit_there_is_nothing_to_wait_for() -> None:
    """Only an application's own deadline wakes the master then."""
    fleet, worker = one_worker(Running(0, 90.0, inf, by_user=False), harakiri=0.0)
    assert list(harakiri(fleet, 1e9)) == []
    worker.running = (Running(0, 90.0, 95.0, by_user=True),)
    assert list(harakiri(fleet, 91.0)) == [WakeAt(95.0)]
    assert decisions(fleet, 95.0) == [AskForStacks(worker.serial, worker.running[0], 95.0 + STACKS_TIME)]


@pytest.mark.parametrize("phase", [Phase.READY, Phase.LEAVING])
def test_overdue_request_has_its_stacks_asked_for(phase: Phase) -> None:
    """Also in a worker that leaves: its mercy may be longer than the limit."""
    overdue = since(90.0, core=1)
    fleet, worker = one_worker(since(100.0), overdue)
    if phase is Phase.LEAVING:
        fleet.told(worker, signal.SIGHUP, 1e9)
    assert decisions(fleet, 120.0) == [AskForStacks(worker.serial, overdue, 120.0 + STACKS_TIME)]


def test_stacks_come_before_the_end_but_not_for_ever() -> None:
    """The worker is killed when its stacks are here, or when they have not come in time."""
    overdue = since(90.0)
    fleet, worker = one_worker(overdue)
    open_case(worker, overdue, until=120.3)
    assert decisions(fleet, 120.1) == []
    assert wake_up(fleet, 120.1) == 120.1 + LOOK_AGAIN
    assert decisions(fleet, 120.3) == [Execute(worker.serial)]
    assert worker.case is not None
    worker.case.has_stacks = True
    assert decisions(fleet, 120.1) == [Execute(worker.serial)]


@pytest.mark.parametrize("stage", [CaseStage.STACKS_ASKED, CaseStage.WARNED, CaseStage.ISOLATED])
def test_request_that_ends_is_spared(stage: CaseStage) -> None:
    """Also when its core runs the next one already."""
    fleet, worker = one_worker()
    open_case(worker, since(90.0), stage, until=100.0)
    assert decisions(fleet, 120.0) == [Spare(worker.serial)]
    worker.running = (since(119.0),)
    assert decisions(fleet, 120.0) == [Spare(worker.serial)]


def test_other_cores_may_finish_first() -> None:
    """Half a second, or less when they are done; those that are overdue themselves are not waited for."""
    overdue = since(90.0)
    fleet, worker = one_worker(overdue, since(119.0, core=1))
    open_case(worker, overdue, until=120.0)
    assert decisions(fleet, 120.0) == [Isolate(worker.serial, 120.0 + SIBLINGS_TIME)]
    open_case(worker, overdue, CaseStage.ISOLATED, until=120.5)
    assert decisions(fleet, 120.4) == []
    assert decisions(fleet, 120.5) == [Execute(worker.serial)]
    worker.running = (overdue, since(90.0, core=1))
    assert decisions(fleet, 120.4) == [Execute(worker.serial)]


def test_all_together_takes_less_than_a_second() -> None:
    """The promise: killed within a second of the deadline."""
    assert STACKS_TIME + SIBLINGS_TIME + 2 * LOOK_AGAIN < 1


def test_graceful_attempt_comes_first() -> None:
    """A signal, more time, then the stacks again and the end."""
    overdue = since(90.0)
    fleet, worker = one_worker(overdue, harakiri_graceful_timeout=5.0, harakiri_graceful_signal=12)
    open_case(worker, overdue, until=120.0)
    assert decisions(fleet, 120.0) == [Warn(worker.serial, 12, 125.0)]
    open_case(worker, overdue, CaseStage.WARNED, until=125.0)
    assert decisions(fleet, 124.9) == []
    assert wake_up(fleet, 124.9) == 125.0
    assert decisions(fleet, 125.0) == [AskForStacks(worker.serial, overdue, 125.0 + STACKS_TIME)]
    open_case(worker, overdue, until=125.0)
    assert worker.case is not None
    worker.case.attempt = 2
    assert decisions(fleet, 125.1) == [Execute(worker.serial)]


def test_few_waiting_clients_put_it_off() -> None:
    """harakiri-queue-threshold; a queue that cannot be measured saves nobody."""
    fleet, worker = one_worker(since(90.0), harakiri_queue_threshold=3)
    fleet.listen_queue = 2
    assert decisions(fleet, 120.0) == [PutOffHarakiri(worker.serial, 120.0 + THRESHOLD_PAUSE)]
    worker.harakiri_not_before = 121.0
    assert decisions(fleet, 120.5) == []
    assert wake_up(fleet, 120.5) == 121.0
    for length in (3, None):
        fleet.listen_queue = length
        assert [type(action) for action in decisions(fleet, 121.0)] == [AskForStacks]


def test_killed_worker_is_not_killed_again() -> None:
    """Its end is seen later."""
    overdue = since(90.0)
    fleet, worker = one_worker(overdue)
    open_case(worker, overdue, CaseStage.KILLED)
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
    text = report(board, worker, stacks, Instant(120.5, 1_000_000.0), graceful=False, verbose=True)
    lines = text.splitlines()
    what = r"GET /slow?\x0a*** forged"
    assert lines[:2] == [
        f"*** HARAKIRI ON WORKER 1 (pid: {worker.pid}, try: 1, graceful: no) ***",
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


def test_report_without_stacks_says_so() -> None:
    """And tells an application's own limit from the option's."""
    _, worker = one_worker(Running(0, 90.0, 95.0, by_user=True))
    open_case(worker, worker.running[0])
    text = report(Scoreboard(1), worker, "", Instant(95.0, 1e6), graceful=True, verbose=False)
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
    for option in ("--harakiri-graceful-signal=1", "--harakiri-queue-threshold=1", "--harakiri-verbose"):
        assert "needs a master" in refusal("--master=false", option)
