"""Which worker gets a request, when connections to workers are kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.gateway import pool as module
from uwsgi_deploy.gateway.backends import Backend
from uwsgi_deploy.gateway.pool import Pool
from uwsgi_deploy.types import Protocol


class FakeUpstream:
    """A connection whose worker is told by the test."""

    def __init__(self) -> None:
        self.pid, self.since, self.is_reused, self.is_closed = 0, 0.0, False, False
        self.is_ahead = False

    def watch(self) -> None:
        """Nothing can be heard of it."""

    def close(self) -> None:
        """Close it."""
        assert not self.is_closed
        self.is_closed = True


class FakeExchange:
    """A request that knows which connection it was given."""

    def __init__(self, router: Any) -> None:
        self.router, self.tried, self.deadline = router, [], 0.0
        self.upstream: FakeUpstream | None = None
        self.failure: ProtocolError | None = None
        self.is_idempotent = True

    def use(self, upstream: FakeUpstream) -> None:
        """It has one."""
        self.upstream = upstream

    def fail(self, error: ProtocolError, **_more: object) -> None:
        """It gets none."""
        self.failure = error


class Stage:
    """A pool, the clock, and the connections that it has made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
        self.now = 1000.0
        self.made: list[FakeUpstream] = []
        self.failure: OSError | None = None
        self.shortages = 0
        reactor = SimpleNamespace(now=0.0)
        self.router = SimpleNamespace(reactor=reactor, connect_timeout=60.0, workers_wait_for_bodies=True)
        self.router.shortage = self._shortage
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        monkeypatch.setattr(module, "connect", self._connect)
        backend = Backend("private", Protocol.ROUTED, is_local=True)
        self.heard: list[FakeUpstream] = []
        hear, forget = cast(Any, self.heard.append), cast(Any, self.heard.remove)
        self.pool = Pool(backend, cast(Any, None), hear, forget, cores=cores)

    def _shortage(self, _error: OSError) -> None:
        self.shortages += 1

    def _connect(self, *_arguments: object) -> FakeUpstream:
        if self.failure is not None:
            raise self.failure
        self.made.append(FakeUpstream())
        return self.made[-1]

    def ask(self) -> FakeExchange:
        """Another request."""
        exchange = FakeExchange(self.router)
        self.pool.assign(cast(Any, exchange))
        return exchange

    def greet(self, upstream: FakeUpstream | None, pid: int) -> None:
        """Its worker has accepted it."""
        assert upstream is not None
        upstream.pid = pid
        self.pool.greeted(cast(Any, upstream))

    def answer(self, exchange: FakeExchange, *, after: float = 0.0, reusable: bool = True) -> None:
        """The request of this connection is over."""
        self.now += after
        self.pool.leave(cast(Any, exchange.upstream), reusable=reusable)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Workers with one core each."""
    return Stage(monkeypatch, 1)


def test_a_connection_is_kept_for_the_next_request(stage: Stage) -> None:
    first = stage.ask()
    stage.greet(first.upstream, 7)
    stage.answer(first)
    second = stage.ask()
    assert second.upstream is first.upstream
    assert len(stage.made) == 1


def test_a_request_goes_to_a_worker_that_is_free(stage: Stage) -> None:
    one, two = stage.ask(), stage.ask()
    assert two.upstream is None  # whose worker the first connection has is not known yet
    stage.greet(one.upstream, 7)
    stage.greet(two.upstream, 8)
    stage.answer(two, after=1.0)
    assert stage.ask().upstream is two.upstream


def test_when_all_are_busy_the_first_that_is_free_gets_the_oldest_request(stage: Stage) -> None:
    one = stage.ask()
    stage.greet(one.upstream, 7)
    probing, waiting, last = stage.ask(), stage.ask(), stage.ask()
    assert [request.upstream is None for request in (probing, waiting, last)] == [False, True, True]
    assert stage.pool.waiting == 2
    stage.answer(one, after=1.0)
    assert waiting.upstream is one.upstream
    assert last.upstream is None
    stage.answer(waiting, after=1.0)
    assert last.upstream is one.upstream


def test_a_connection_that_leads_to_a_busy_worker_puts_the_next_off(stage: Stage) -> None:
    one, two, three = stage.ask(), stage.ask(), stage.ask()
    stage.greet(one.upstream, 7)
    stage.greet(two.upstream, 7)
    assert three.upstream is None
    stage.pool.sweep()
    assert len(stage.made) == 2
    stage.now += 0.06
    stage.pool.sweep()
    assert three.upstream is stage.made[2]


def test_quick_workers_get_requests_ahead_of_time_and_slow_ones_do_not(stage: Stage) -> None:
    one, two = stage.ask(), stage.ask()
    stage.greet(one.upstream, 7)
    stage.greet(two.upstream, 7)  # two connections to one worker
    stage.answer(two)
    stage.answer(one)
    for _ in range(40):
        request = stage.ask()
        stage.answer(request)
    busy = stage.ask()
    ahead = stage.ask()
    assert {busy.upstream, ahead.upstream} == set(stage.made[:2])
    stage.answer(busy, after=0.5)  # a slow one
    waits = stage.ask()
    assert waits.upstream is None or waits.upstream is stage.made[2]


def test_workers_with_many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, 3)
    requests = [stage.ask() for _ in range(3)]
    for request in requests:
        stage.greet(request.upstream, 7)
    for request in requests:
        stage.answer(request, after=1.0)
    assert {stage.ask().upstream for _ in range(3)} == set(stage.made[:3])
    assert len(stage.made) == 3


def test_a_worker_that_closes_its_connection_is_forgotten(stage: Stage) -> None:
    one = stage.ask()
    stage.greet(one.upstream, 7)
    stage.answer(one)
    stage.pool.idle_event(cast(Any, one.upstream))
    assert stage.made[0].is_closed
    assert stage.heard == []
    assert stage.ask().upstream is stage.made[1]


def test_a_connection_that_cannot_be_used_again_is_closed(stage: Stage) -> None:
    one = stage.ask()
    stage.greet(one.upstream, 7)
    stage.answer(one, reusable=False)
    assert stage.made[0].is_closed
    assert stage.ask().upstream is stage.made[1]


def test_no_descriptors_is_a_reason_to_wait_and_nobody_there_is_not(stage: Stage) -> None:
    stage.failure = OSError(24, "Too many open files")
    waits = stage.ask()
    assert (waits.failure, stage.pool.waiting, stage.shortages) == (None, 1, 1)
    stage.failure = ConnectionRefusedError(111, "Connection refused")
    stage.now += 1.0
    stage.pool.sweep()
    assert waits.failure is not None
    assert waits.failure.status == 503


def test_a_request_that_was_not_read_is_given_to_another_one(stage: Stage) -> None:
    one = stage.ask()
    upstream = cast(Any, one.upstream)
    upstream.backend = Backend("private", Protocol.ROUTED, is_local=True)
    stage.greet(one.upstream, 7)
    stage.answer(one, reusable=False)
    assert not stage.pool.tries_again(cast(Any, one), upstream, None)
    assert stage.pool.tries_again(cast(Any, one), upstream, ConnectionResetError(104, "reset"))
    assert one.upstream is stage.made[1]


@pytest.mark.parametrize(
    ("is_ahead", "is_idempotent", "again"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_worker_that_dies(stage: Stage, is_ahead: bool, is_idempotent: bool, again: bool) -> None:
    """What it had been given ahead of time may be sent again, once; what it may have died of may not."""
    one, two = stage.ask(), stage.ask()
    stage.greet(one.upstream, 7)
    stage.greet(two.upstream, 7)
    dies = two if is_ahead else one
    dies.is_idempotent = is_idempotent
    upstream = cast(Any, dies.upstream)
    upstream.backend = Backend("private", Protocol.ROUTED, is_local=True)
    stage.answer(dies, reusable=False)
    stage.now += 1.0
    assert stage.pool.tries_again(cast(Any, dies), upstream, None) is again
    assert not stage.pool.tries_again(cast(Any, dies), upstream, None) or not again
