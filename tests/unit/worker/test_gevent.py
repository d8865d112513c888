"""The gevent engine with a real reactor and real sockets, in one process: pool, contexts, waiting, looking inside."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import gevent
import pytest
from gevent.event import Event

from tests.support.waiting import wait_until
from uwsgi_deploy.errors import HarakiriTimeout
from uwsgi_deploy.net.connection import Connection, Limits
from uwsgi_deploy.net.watched import WatchedReactor
from uwsgi_deploy.protocol.http1 import Http1Codec
from uwsgi_deploy.worker.engines import gevent as engines
from uwsgi_deploy.worker.engines.gevent import GeventEngine
from uwsgi_deploy.worker.held import HeldResponses

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIMITS = Limits(5.0, 5.0, 5.0, 5.0, 65536, 0)

Application = Callable[[Connection, int], bytes]


class Stage:
    """A reactor with connected clients, and an engine that runs `application` for each of their requests."""

    def __init__(self, *, cores: int) -> None:
        self.reactor = WatchedReactor(
            (), LIMITS, cores=cores, accept_at_once=1, wait=engines.wait, on_refused=print, on_gone=print
        )
        self.application: Application = lambda _connection, _core: b"ok"
        self.over = False
        self.cores_used: list[int] = []
        self.engine = GeventEngine(
            self.reactor,
            self.serve,
            lambda: self.over,
            HeldResponses(self.reactor.release, self.reactor.abort),
            cores=cores,
        )

    def serve(self, connection: Connection, core: int, _hold: bool) -> float:
        self.cores_used.append(core)
        connection.send(self.application(connection, core))
        self.reactor.release(connection)
        self.reactor.now = time.monotonic()
        return 0.0

    def client(self) -> socket.socket:
        codec = Http1Codec({"REMOTE_ADDR": None}, max_head=10000, max_line=1000, max_fields=10)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(10)
        self.reactor.admit(ours.detach(), "", codec)
        return theirs

    def play(self, script: Callable[[], None]) -> None:
        """Run the engine while `script` runs in a thread of its own; its failure is raised here."""
        failure: list[BaseException] = []

        def act() -> None:
            try:
                script()
            except BaseException as error:
                failure.append(error)
            self.over = True
            self.reactor.wake()

        thread = threading.Thread(target=act)
        thread.start()
        self.engine.run()
        thread.join()
        if failure:
            raise failure[0]


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(cores=3)
    yield stage
    stage.reactor.close()


def ask(client: socket.socket) -> bytes:
    client.sendall(REQUEST)
    return client.recv(100)


def test_requests_that_do_not_wait_share_a_greenlet(stage: Stage) -> None:
    clients = [stage.client() for _ in range(5)]
    stage.play(lambda: [ask(client) for client in clients] and None)
    assert stage.cores_used == [0] * 5


def test_requests_that_wait_have_a_core_each_and_the_rest_waits_for_one(stage: Stage) -> None:
    """Three cores: the fourth request begins when one of the first three is over."""
    clients = [stage.client() for _ in range(4)]
    running: list[int] = []
    most: list[int] = []
    go = Event()

    def application(_connection: Connection, core: int) -> bytes:
        running.append(core)
        most.append(len(running))
        go.wait()
        running.remove(core)
        return b"ok"

    def script() -> None:
        for client in clients:
            client.sendall(REQUEST)
        wait_until(lambda: len(running) == 3, 5)
        stage.engine._hub.loop.run_callback_threadsafe(go.set)
        assert [client.recv(10) for client in clients] == [b"ok"] * 4

    stage.application = application
    stage.play(script)
    assert (max(most), sorted(set(stage.cores_used))) == (3, [0, 1, 2])


def test_context_is_empty_for_each_request_of_a_greenlet(stage: Stage) -> None:
    variable: ContextVar[bytes] = ContextVar("variable", default=b"empty")

    def application(_connection: Connection, _core: int) -> bytes:
        before = variable.get()
        variable.set(b"set")
        gevent.sleep(0)
        assert variable.get() == b"set"
        return before

    stage.application = application
    client = stage.client()
    answers: list[bytes] = []
    stage.play(lambda: answers.extend(ask(client) for _ in range(3)))
    assert (answers, set(stage.cores_used)) == ([b"empty"] * 3, {0})


def test_idle_connections_own_no_greenlet(stage: Stage) -> None:
    clients = [stage.client() for _ in range(20)]
    stage.play(lambda: [ask(client) for client in clients] and None)
    assert len(stage.engine._cores) == 1
    assert len(stage.reactor.connections) == 20


def test_request_knows_its_core_and_the_rest_knows_none(stage: Stage) -> None:
    def application(_connection: Connection, core: int) -> bytes:
        assert stage.engine.core_here() == core
        assert gevent.spawn(stage.engine.core_here).get() is None
        return b"ok"

    stage.application = application
    client = stage.client()
    stage.play(lambda: ask(client) and None)
    assert stage.engine.core_here() is None


def names(stage: Stage, core: int) -> list[str]:
    frame, found = stage.engine.frame_of(core), []
    while frame is not None:
        found.append(frame.f_code.co_name)
        frame = frame.f_back
    return found


def test_frames_of_a_request_that_waits(stage: Stage) -> None:
    go = Event()

    def waiting_place(_connection: Connection, _core: int) -> bytes:
        go.wait()
        return b"ok"

    stage.application = waiting_place
    client = stage.client()

    def script() -> None:
        client.sendall(REQUEST)
        wait_until(lambda: "waiting_place" in names(stage, 0), 5)
        stage.engine._hub.loop.run_callback_threadsafe(go.set)
        assert client.recv(10) == b"ok"
        wait_until(lambda: names(stage, 0) == [], 5)

    stage.play(script)
    assert names(stage, 1) == []


def test_frames_of_a_request_that_blocks_the_hub(stage: Stage) -> None:
    go = threading.Event()

    def blocking_place(_connection: Connection, _core: int) -> bytes:
        go.wait(10)
        return b"ok"

    stage.application = blocking_place
    client = stage.client()

    def script() -> None:
        client.sendall(REQUEST)
        wait_until(lambda: "blocking_place" in names(stage, 0), 5)
        go.set()
        assert client.recv(10) == b"ok"

    stage.play(script)


def test_unused_cores_end_but_for_some(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_SPARE", 1)
    monkeypatch.setattr(engines, "_UNUSED", -1.0)
    monkeypatch.setattr(engines, "_TICK", 0.01)
    clients = [stage.client() for _ in range(3)]

    def application(_connection: Connection, _core: int) -> bytes:
        gevent.sleep(0.05)
        return b"ok"

    stage.application = application

    def script() -> None:
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            assert client.recv(10) == b"ok"
        wait_until(lambda: len(stage.engine._cores) == 1, 5)
        assert ask(clients[0]) == b"ok"

    stage.play(script)


def test_wait_lets_others_run_and_ends_in_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        events = 1  # POLLIN
        assert not engines.wait(ours.fileno(), events, 0.01)
        gevent.spawn(theirs.send, b"x")
        assert engines.wait(ours.fileno(), events, 10)
    assert sys.exc_info() == (None, None, None)


def test_request_that_waits_is_interrupted(stage: Stage) -> None:
    """Only the one that is meant: the engine is asked about core 0, whose request began at 1.0."""
    ended: list[str] = []

    def application(_connection: Connection, core: int) -> bytes:
        try:
            gevent.sleep(5 if core == 0 else 0.3)
        except HarakiriTimeout:
            ended.append(f"core {core} interrupted")
        return b"ok"

    asked: list[tuple[int, float]] = []

    def may_interrupt(core: int, started: float, frame: object) -> bool:
        asked.append((core, started))
        return frame is not None

    stage.engine._may_interrupt = may_interrupt
    stage.application = application
    clients = [stage.client() for _ in range(2)]

    def script() -> None:
        for client in clients:
            client.sendall(REQUEST)
        wait_until(lambda: "sleep" in names(stage, 1), 5)
        assert stage.engine.interrupt(0, 1.0)
        assert [client.recv(10) for client in clients] == [b"ok", b"ok"]
        assert not stage.engine.interrupt(2, 1.0)

    stage.play(script)
    assert (ended, asked) == (["core 0 interrupted"], [(0, 1.0)])


def test_interrupt_that_comes_too_late_hits_nobody(stage: Stage) -> None:
    client = stage.client()
    stage.engine._may_interrupt = lambda _core, _started, _frame: False

    def script() -> None:
        assert ask(client) == b"ok"
        wait_until(lambda: stage.engine._parked, 5)
        assert stage.engine.interrupt(0, 1.0)  # the core is there, its request is not
        assert ask(client) == b"ok"

    stage.play(script)


def test_function_aside_runs_in_a_greenlet(stage: Stage) -> None:
    ran: list[bool] = []

    def function() -> None:
        gevent.sleep(0.01)
        ran.append(True)

    def script() -> None:
        stage.engine.aside(function)
        wait_until(lambda: ran, 5)

    stage.play(script)


def test_who_blocks_the_hub_is_told_once(stage: Stage) -> None:
    lines: list[str] = []
    stage.engine.watch_hub(0.05, lambda core: f"core {core}, GET /", lines.append)
    blocked: list[float] = []

    def blocking_place(_connection: Connection, _core: int) -> bytes:
        wait_until(lambda: lines, 10)
        blocked.append(stage.engine.hub_blocked())
        return b"ok"

    stage.application = blocking_place
    client = stage.client()

    def script() -> None:
        assert ask(client) == b"ok"
        wait_until(lambda: len(lines) == 2, 5)
        assert ask(client) == b"ok"  # the second time within the ten seconds

    stage.play(script)
    assert lines[0].startswith("gevent: core 0, GET / (while 0 other requests run) has kept all others waiting for 0.")
    assert "in blocking_place" in lines[0]
    assert lines[1].startswith("gevent: the hub runs again after 0.")
    assert len(lines) == 2
    assert blocked[0] >= 0.05


def test_hub_that_is_idle_or_busy_with_many_is_not_blocked(stage: Stage) -> None:
    lines: list[str] = []
    stage.engine.watch_hub(0.05, str, lines.append)

    def application(_connection: Connection, _core: int) -> bytes:
        for _ in range(40):
            time.sleep(0.005)
            gevent.sleep(0)
        return b"ok"

    stage.application = application
    client = stage.client()

    def script() -> None:
        assert ask(client) == b"ok"
        threading.Event().wait(0.3)

    stage.play(script)
    assert (lines, stage.engine.hub_blocked()) == ([], 0.0)


def test_requests_that_can_go_on_come_before_new_ones(stage: Stage) -> None:
    """Many requests that compute are ready at once; one that has only let others run for a moment is not the last."""
    ended: list[str] = []

    def application(connection: Connection, _core: int) -> bytes:
        if connection is first:
            gevent.sleep(0.001)
            ended.append("first")
        else:
            deadline = time.monotonic() + 0.002
            while time.monotonic() < deadline:
                pass
            ended.append("other")
        return b"ok"

    stage.application = application
    clients = [stage.client() for _ in range(31)]
    first = next(iter(stage.reactor.connections.values()))

    def script() -> None:
        for client in clients:
            assert client.recv(10) == b"ok"

    for client in clients:
        client.sendall(REQUEST)
    stage.play(script)
    assert len(ended) == 31
    assert ended.index("first") < 10


def test_requests_beyond_the_cores_are_begun_as_cores_come_back(stage: Stage) -> None:
    """Many more than there are cores, in several rounds, and nobody is forgotten."""

    def application(_connection: Connection, _core: int) -> bytes:
        gevent.sleep(0.002)
        return b"ok"

    stage.application = application
    clients = [stage.client() for _ in range(40)]

    def script() -> None:
        for _ in range(3):
            for client in clients:
                client.sendall(REQUEST)
            for client in clients:
                assert client.recv(10) == b"ok"

    stage.play(script)
    assert set(stage.cores_used) == {0, 1, 2}
