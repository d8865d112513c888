"""The hard stage on a process that stands for a worker: who is answered with what, and what is told of it."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.config.support import configure
from tests.unit.master.test_policies import add_worker, fleet_of
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.master import hard_filing, hard_stage
from uwsgi_deploy.master.actions import Action, AskForStacks, Execute, Isolate, Spare
from uwsgi_deploy.master.cases import CaseStage
from uwsgi_deploy.master.fleet import Phase
from uwsgi_deploy.master.resources import Resources
from uwsgi_deploy.reports.incident import Incident, Outcome
from uwsgi_deploy.shared.lodging import LodgingScoreboard
from uwsgi_deploy.shared.scoreboard import RequestPhase

APPLICATION, RESPONDING, CLOSING, ANSWERED = RequestPhase
CORES = 4
NOW = 200.0
# With harakiri = 30 and 5 seconds for the worker.
OVERDUE, IN_TIME = 36.0, 10.0


class Bench:
    """A worker with four cores; a client of each is here. `log` and `incidents` are what was told."""

    def __init__(self, log: list[str], incidents: list[Incident]) -> None:
        self.log, self.incidents = log, incidents
        pairs = [socket.socketpair() for _ in range(CORES)]
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # the worker leaves when it likes
        self.pid = os.fork()
        if not self.pid:
            while True:
                signal.pause()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        self.clients = [ours for ours, _ in pairs]
        self.numbers = [theirs.fileno() for _, theirs in pairs]
        for _, theirs in pairs:
            theirs.close()
        options = ("--harakiri", "30", "--threads", str(CORES), "--log-format", "%(method) %(uri) %(status)")
        settings = configure(*options).settings
        self.board = LodgingScoreboard(1, CORES)
        self.cores = self.board.core_records(1)
        self.fleet = fleet_of(1)
        self.fleet.harakiri = settings.harakiri
        self.worker = add_worker(self.fleet, 1)
        self.worker.pid = self.pid
        resources = Resources(settings, (), self.board, lambda _context, _application: 0)
        self.stage = hard_stage.HardStage(resources, self.fleet, lambda _instant: None)

    def run(self, core: int, age: float, request: str, phase: RequestPhase = APPLICATION) -> None:
        """A request runs on a core, whose connection is the one of that number."""
        self.cores.begin(core, NOW - age, NOW - age + 30, request, self.numbers[core])
        self.cores.set_phase(core, phase)

    def perform(self, *actions: Action) -> None:
        """One after the other, each after a look at the scoreboard."""
        for action in actions:
            self.worker.running = list(self.board.running(1, self.worker.bank))
            self.stage.perform(action, NOW)

    def ask(self) -> AskForStacks:
        """The stacks, because of the first request that runs."""
        return AskForStacks(self.worker.serial, next(iter(self.board.running(1, self.worker.bank))), NOW)

    def received(self, core: int) -> bytes:
        """What the client has; `...` at the end when its connection is still open."""
        client, data = self.clients[core], b""
        client.settimeout(0.05)
        try:
            while block := client.recv(65536):
                data += block
        except TimeoutError:
            return data + b"..."
        return data

    @property
    def is_alive(self) -> bool:
        """Whether the worker is."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def close(self) -> None:
        """End the worker."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for client in self.clients:
            client.close()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """See `Bench`."""
    incidents: list[Incident] = []
    lines: list[str] = []

    class Filing:
        def __init__(self, _settings: Settings) -> None:
            pass

        def file(self, incident: Incident) -> str:
            incidents.append(incident)
            return "an-id"

    monkeypatch.setattr(hard_filing, "HardFiling", Filing)
    monkeypatch.setattr(hard_stage, "log", lines.append)
    made = Bench(lines, incidents)
    yield made
    made.close()


def test_everybody_has_an_answer(bench: Bench) -> None:
    """504 for whose time was over, 503 for who goes down with the worker, nothing where something was sent before."""
    bench.run(0, OVERDUE, "10.0.0.1 GET /late")
    bench.run(1, IN_TIME, "10.0.0.2 POST /sibling")
    bench.run(2, IN_TIME, "10.0.0.3 GET /streaming", RESPONDING)
    bench.run(3, IN_TIME, "10.0.0.4 GET /closing", CLOSING)
    bench.perform(bench.ask(), Execute(bench.worker.serial))
    assert not bench.is_alive
    assert bench.received(0).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert bench.received(1).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert bench.received(2) == bench.received(3) == b""
    assert bench.log[:4] == ["GET /late 504", "POST /sibling 503", "GET /streaming 503", "GET /closing 503"]
    (incident,) = bench.incidents
    assert (incident.uri, incident.outcome, incident.status, incident.core) == ("/late", Outcome.KILLED, 504, 0)
    assert (incident.age, incident.limit, incident.limit_origin) == (OVERDUE, 30.0, "harakiri")
    assert {other.uri for other in incident.in_flight} == {"/sibling", "/streaming", "/closing"}
    assert incident.capture == ("proc",)
    assert incident.worker["cores"] == CORES
    assert {"rss", "fds", "cpu_user", "threads"} <= set(incident.worker)
    assert "state" in incident.kernel
    assert "HARAKIRI [core 2] 10.0.0.3 - GET /streaming since " in bench.log[4]
    assert bench.fleet.slot(1).harakiri_count == 1


def test_isolated_worker_lives(bench: Bench) -> None:
    """Its overdue request is answered once, its siblings are left alone; the end comes later, without new answers."""
    bench.run(0, OVERDUE, "10.0.0.1 GET /late")
    bench.run(1, IN_TIME, "10.0.0.2 GET /sibling")
    bench.perform(bench.ask(), Isolate(bench.worker.serial, NOW))
    assert bench.is_alive
    assert bench.worker.phase is Phase.LEAVING
    assert (bench.worker.told, bench.worker.judged) == (signal.SIGHUP, ((0, NOW - OVERDUE),))
    assert bench.received(0).startswith(b"HTTP/1.1 504 ")
    assert bench.received(1) == b"..."
    assert [incident.outcome for incident in bench.incidents] == [Outcome.ANSWERED]
    assert "takes no new requests and is replaced; its other request has its own time to end" in bench.log[-1]
    bench.perform(Isolate(bench.worker.serial, NOW))
    bench.cores.end(1)
    bench.perform(Execute(bench.worker.serial))
    assert not bench.is_alive
    assert bench.received(1) == b""
    assert len(bench.incidents) == 1
    assert bench.fleet.slot(1).harakiri_count == 1
    assert sum("/late 504" in line for line in bench.log) == 1


def test_request_that_the_worker_answered_is_its_own(bench: Bench) -> None:
    """The worker wrote the answer, the line and the report; the master only sees to the worker."""
    bench.run(0, OVERDUE, "10.0.0.1 GET /late", ANSWERED)
    bench.run(1, IN_TIME, "10.0.0.2 GET /sibling")
    bench.perform(Isolate(bench.worker.serial, NOW))
    assert bench.received(0) == bench.received(1) == b"..."
    assert bench.incidents == []
    assert len(bench.log) == 1
    assert bench.worker.case is not None
    assert bench.worker.case.stage is CaseStage.ISOLATED
    bench.cores.end(1)
    bench.perform(Execute(bench.worker.serial))
    assert bench.received(0) == b""
    assert bench.log[1:] == [
        f"HARAKIRI: killing worker 1 (pid: {bench.pid}), which still runs a request that was answered"
    ]


def test_request_that_ended_in_the_last_moment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed worker's records say counts: its core was quicker, and nobody writes into its answer."""
    bench.run(0, OVERDUE, "10.0.0.1 GET /late")
    bench.run(1, OVERDUE, "10.0.0.1 GET /later")

    def kill(pid: int) -> None:
        bench.cores.end(0)
        bench.cores.set_phase(1, ANSWERED)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    monkeypatch.setattr(hard_stage, "_kill", kill)
    gc.collect()  # of other tests
    before = len(os.listdir("/proc/self/fd"))
    bench.perform(bench.ask(), Execute(bench.worker.serial))
    assert bench.received(0) == bench.received(1) == b""
    assert bench.incidents == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_kernel_that_refuses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox: said once, and everything else is done."""

    def refuse(_process: int, _descriptor: int) -> Any:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(hard_stage.answering, "borrow", refuse)
    bench.run(0, OVERDUE, "10.0.0.1 GET /late")
    bench.run(1, IN_TIME, "10.0.0.1 GET /sibling")
    bench.perform(bench.ask(), Isolate(bench.worker.serial, NOW), Execute(bench.worker.serial))
    assert not bench.is_alive
    assert bench.received(0) == b""
    assert sum("pidfd_getfd" in line for line in bench.log) == 1
    assert bench.log.count("GET /late 504") == bench.log.count("GET /sibling 503") == 1
    assert len(bench.incidents) == 1


def test_spared_worker_says_nothing_before_it_was_warned(bench: Bench) -> None:
    """The stacks that it showed are forgotten."""
    bench.run(0, OVERDUE, "10.0.0.1 GET /late")
    bench.perform(bench.ask(), Spare(bench.worker.serial))
    assert bench.worker.case is None
    assert bench.log == []
    assert bench.is_alive


def test_reports_that_cannot_be_loaded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jail without their code: everything else is done, and the log has what there is."""
    monkeypatch.setattr(hard_stage, "FILING", "uwsgi_deploy.no_such_module")
    bench.run(0, OVERDUE, "10.0.0.1 GET /late")
    bench.perform(bench.ask(), Execute(bench.worker.serial))
    assert bench.received(0).startswith(b"HTTP/1.1 504 ")
    assert bench.log[1].startswith(f"*** HARAKIRI ON WORKER 1 (pid: {bench.pid}, try: 1, graceful: no) ***\n")
    assert "HARAKIRI triggered by worker 1 core 0 !!!" in bench.log[1]
    assert "no_such_module" in bench.log[2]


def test_nobody_loads_it_before_it_is_needed() -> None:
    """A master that never sees a case has nothing of it in memory."""
    script = "import sys, uwsgi_deploy.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "uwsgi_deploy.master.executor" in loaded
    late = ("hard_stage", "hard_filing", "hard_incident", "answering", "access_line", "harakiri_report")
    assert not {f"uwsgi_deploy.master.{name}" for name in late} & set(loaded)
    assert not {"uwsgi_deploy.reports.filing", "uwsgi_deploy.reports.ring", "json"} & set(loaded)
