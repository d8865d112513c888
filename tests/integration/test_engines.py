"""Cores of one worker: a long request on one of them never keeps the others from serving."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from tests.conformance.servers import Target, serve
from tests.conformance.wire import request
from tests.support.engines import GREEN, threads_and_gevent


def ask(target: Target, path: str) -> float:
    """Seconds until the answer."""
    started = time.monotonic()
    with target.wire() as wire:
        wire.send(request(path))
        assert wire.read_response().status == 200
    return time.monotonic() - started


@threads_and_gevent
def test_quick_requests_go_on_beside_long_ones(engine: tuple[str, ...], tmp_path: Path) -> None:
    """After many quick requests the leader serves without letting go; a long one has to lose it the lead at once."""
    with serve(tmp_path, *engine) as target, ThreadPoolExecutor(3) as clients:
        for _ in range(3):
            for _ in range(50):
                ask(target, "/x")
            long = [clients.submit(ask, target, "/slow?t=1") for _ in range(3)]
            assert max(ask(target, "/x") for _ in range(20)) < 0.5
            assert all(one.result() < 2 for one in long)


@pytest.mark.parametrize("option", ["--threads", "--gevent"])
def test_every_core_serves_at_the_same_time(option: str, tmp_path: Path) -> None:
    with serve(tmp_path, option, "4") as target, ThreadPoolExecutor(4) as clients:
        started = time.monotonic()
        list(clients.map(lambda _: ask(target, "/slow?t=0.5"), range(8)))
        assert time.monotonic() - started < 1.8  # two rounds of four; one core would take 4 s


@pytest.mark.parametrize("engine", [(), ("--gevent", "1")], ids=["prefork", "gevent"])
def test_client_goes_to_the_idle_worker(engine: tuple[str, ...], tmp_path: Path) -> None:
    """A new client never waits behind a busy worker while another one is idle."""
    with serve(tmp_path, "--processes", "2", *engine) as target, ThreadPoolExecutor(1) as clients:
        for _ in range(3):
            long = clients.submit(ask, target, "/slow?t=1")
            assert max(ask(target, "/x") for _ in range(20)) < 0.5
            assert long.result() < 2


def test_new_clients_do_not_starve_behind_those_that_stay(tmp_path: Path) -> None:
    """With every worker always busy, one that only declined new clients would leave them in the listen queue."""
    over = Event()

    def stay(target: Target) -> None:
        with target.wire() as wire:
            while not over.is_set():
                wire.send(request("/x") * 4)
                for _ in range(4):
                    if wire.read_response().get("connection") == "close":
                        return

    with serve(tmp_path, "--processes", "2", "--disable-logging") as target, ThreadPoolExecutor(8) as clients:
        staying = [clients.submit(stay, target) for _ in range(8)]
        try:
            assert max(ask(target, "/x") for _ in range(100)) < 1
        finally:
            over.set()
        for one in staying:
            one.result()


@pytest.mark.parametrize("engine", [(), ("--gevent", "1"), GREEN], ids=["prefork", "gevent 1", "gevent"])
def test_answers_are_not_held_behind_a_long_request(engine: tuple[str, ...], tmp_path: Path) -> None:
    """One core holds quick answers while more requests wait; one that takes long must not hold them up with it."""
    with serve(tmp_path, *engine) as target, ExitStack() as wires:
        gate, *quick, long = (wires.enter_context(target.wire()) for _ in range(6))
        for _ in range(2):
            for wire in (gate, *quick, long):  # known connections: their next requests are read in one round
                wire.send(request("/x"))
                assert wire.read_response().status == 200
        gate.send(request("/slow?t=0.5"))
        for wire in quick:
            wire.send(request("/x"))
        long.send(request("/slow?t=3"))
        started = time.monotonic()
        assert all(wire.read_response().status == 200 for wire in (gate, *quick))
        assert time.monotonic() - started < 2
        assert long.read_response().status == 200
