"""Shared records: one writer each, counters that outlive processes, and a wake-up for the master."""

from __future__ import annotations

import os
import select
from math import inf

import pytest

from uwsgi_deploy.shared.scoreboard import (
    BANKS,
    RECORD_SLOTS,
    REQUEST_BYTES,
    Field,
    Running,
    RunningRequest,
    Scoreboard,
    WorkerState,
)


def in_child(body: object) -> None:
    """Run `body` in a forked process and wait for its end."""
    pid = os.fork()
    if pid == 0:
        try:
            body()  # type: ignore[operator]
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_record_is_a_view_of_unsigned_integers() -> None:
    """The hot path adds to slots directly."""
    scoreboard = Scoreboard(2)
    record = scoreboard.record(1)
    assert (record.format, len(record)) == ("Q", RECORD_SLOTS)
    record[Field.REQUESTS] += 1
    assert scoreboard.record(1)[Field.REQUESTS] == 1
    assert scoreboard.record(2)[Field.REQUESTS] == 0
    assert all(field < RECORD_SLOTS for field in Field)


def test_children_write_what_the_parent_reads() -> None:
    """The mapping is shared by fork."""
    scoreboard = Scoreboard(2)

    def child() -> None:
        scoreboard.occupy(2, 1, generation=3, started=1000)
        record = scoreboard.record(2)
        record[Field.READY] = 1001
        record[Field.STATE] = WorkerState.IDLE
        record[Field.REQUESTS] += 5
        scoreboard.idle[scoreboard.seat(2)] = 1
        scoreboard.announce()

    assert not select.select([scoreboard.wake_fd], [], [], 0)[0]
    in_child(child)
    assert select.select([scoreboard.wake_fd], [], [], 0)[0]
    scoreboard.acknowledge()
    scoreboard.acknowledge()
    assert not select.select([scoreboard.wake_fd], [], [], 0)[0]
    pid = scoreboard.record_in(2, 1)[Field.PID]
    assert scoreboard.is_ready(2, 1, pid)
    assert not scoreboard.is_ready(2, 1, pid + 1)
    assert not scoreboard.is_ready(2, 0, pid)
    assert scoreboard.state(2, 1) is WorkerState.IDLE
    assert scoreboard.record_in(2, 1)[Field.GENERATION] == 3


def test_counters_run_on_over_successors() -> None:
    """A process in either bank adds to its worker's count; what was about the former process is cleared."""
    scoreboard = Scoreboard(2)
    for bank, requests in ((0, 3), (1, 4), (0, 5)):

        def child(bank: int = bank, requests: int = requests) -> None:
            scoreboard.occupy(1, bank, generation=1, started=1)
            record = scoreboard.record(1)
            assert record[Field.DELTA_REQUESTS] == 0
            record[Field.DELTA_REQUESTS] += requests
            record[Field.REQUESTS] += requests

        in_child(child)
    assert scoreboard.requests(1) == 12
    assert scoreboard.total(Field.REQUESTS) == 12
    assert scoreboard.record_in(1, 0)[Field.DELTA_REQUESTS] == 5


def test_vacate_clears_the_process_and_keeps_counters() -> None:
    """After a worker's death its record tells no pid, and its idle flag is down."""
    scoreboard = Scoreboard(1)

    def child() -> None:
        scoreboard.occupy(1, 1, generation=1, started=1)
        scoreboard.record(1)[Field.REQUESTS] = 9
        scoreboard.idle[scoreboard.seat(1)] = 1

    in_child(child)
    assert scoreboard.idle.tolist() == [0, 1]
    assert not select.select([scoreboard.call_fd], [], [], 0)[0]
    scoreboard.vacate(1, 1)
    assert select.select([scoreboard.call_fd], [], [], 0)[0]  # the kernel may have woken just this one for a client
    record = scoreboard.record_in(1, 1)
    assert (record[Field.PID], record[Field.STATE], record[Field.REQUESTS]) == (0, WorkerState.EMPTY, 9)
    scoreboard.occupy(1, 1, generation=1, started=1)
    assert scoreboard.idle.tolist() == [0, 0]


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_records_do_not_overlap(workers: int) -> None:
    """Every record of every bank is its own memory, and so are the idle flags."""
    scoreboard = Scoreboard(workers)
    for wid in range(1, workers + 1):
        for bank in range(BANKS):
            record = scoreboard.record_in(wid, bank)
            for slot in range(RECORD_SLOTS):
                record[slot] += wid * 1000 + bank * 100 + slot
    scoreboard.idle[:] = bytes([1] * len(scoreboard.idle))
    for wid in range(1, workers + 1):
        for bank in range(BANKS):
            expected = [wid * 1000 + bank * 100 + slot for slot in range(RECORD_SLOTS)]
            assert scoreboard.record_in(wid, bank).tolist() == expected


def test_announce_never_blocks() -> None:
    """A full counter means that the master is being woken anyway."""
    scoreboard = Scoreboard(1)
    os.eventfd_write(scoreboard.wake_fd, 2**64 - 2)
    scoreboard.announce()


# --- cores ------------------------------------------------------------------------------------------------------------


def test_core_record_tells_the_running_request() -> None:
    """Written by the worker, read by the master: which request, since when, until when, on which thread."""
    scoreboard = Scoreboard(2, cores=3)

    def child() -> None:
        scoreboard.occupy(2, 1, generation=1, started=1)
        cores = scoreboard.core_records(2)
        cores.set_thread(1, 2**63 + 5)
        cores.begin(1, 100.5, 130.5, "127.0.0.1 GET /a b?c=%20")
        cores.begin(2, 101.5, inf, "::1 POST /ended")
        cores.end(2)

    in_child(child)
    assert list(scoreboard.running(2, 1)) == [Running(1, 100.5, 130.5, by_user=False)]
    assert list(scoreboard.running(2, 0)) == list(scoreboard.running(1, 1)) == []
    assert scoreboard.request(2, 1, 1) == RunningRequest("127.0.0.1", "GET", "/a b?c=%20", 2**63 + 5)


def test_nearer_deadline_counts() -> None:
    """The application's own deadline holds beside the option's, for one request only."""
    scoreboard = Scoreboard(1)
    cores = scoreboard.core_records(1)
    cores.begin(0, 10.0, 40.0, "- GET /")
    cores.set_user_deadline(0, 15.0)
    assert list(scoreboard.running(1, 0)) == [Running(0, 10.0, 15.0, by_user=True)]
    cores.set_user_deadline(0, 50.0)
    assert list(scoreboard.running(1, 0)) == [Running(0, 10.0, 40.0, by_user=False)]
    cores.begin(0, 20.0, inf, "- GET /")
    assert list(scoreboard.running(1, 0)) == [Running(0, 20.0, inf, by_user=False)]


def test_long_request_is_cut() -> None:
    """What does not fit is left out, the neighbour is not touched, and no text survives a shorter one."""
    scoreboard = Scoreboard(1, cores=2)
    cores = scoreboard.core_records(1)
    cores.begin(1, 1.0, inf, "- GET /neighbour")
    cores.begin(0, 2.0, inf, "- GET /" + "é" * 5000)
    text = scoreboard.request(1, 0, 0).uri
    assert text.startswith("/ééé")
    assert 250 < len(text) <= REQUEST_BYTES
    assert scoreboard.request(1, 0, 1).uri == "/neighbour"
    cores.begin(0, 3.0, inf, "- GET /short")
    assert scoreboard.request(1, 0, 0).uri == "/short"


def test_core_records_end_with_the_process() -> None:
    """Neither a dead worker nor its successor in the bank seems to run the request that killed it."""
    scoreboard = Scoreboard(2, cores=2)
    scoreboard.core_records(1).begin(1, 1.0, inf, "- GET /deadly")
    scoreboard.core_records(2).begin(1, 1.0, inf, "- GET /other")
    scoreboard.vacate(1, 0)
    assert list(scoreboard.running(1, 0)) == []
    assert scoreboard.request(1, 0, 1) == RunningRequest("", "", "", 0, fd=0)
    assert scoreboard.request(2, 0, 1).uri == "/other"
    scoreboard.core_records(1).begin(0, 2.0, inf, "- GET /")
    scoreboard.occupy(1, 0, generation=2, started=1)
    assert list(scoreboard.running(1, 0)) == []


@pytest.mark.parametrize(("workers", "cores"), [(1, 1), (3, 4), (64, 2)])
def test_core_records_do_not_overlap(workers: int, cores: int) -> None:
    """Every core of every bank has memory of its own, apart from records and idle flags."""
    scoreboard = Scoreboard(workers, cores)
    for wid in range(1, workers + 1):
        scoreboard.record_in(wid, 0)[:] = memoryview(b"\x7f" * RECORD_SLOTS * 8).cast("Q")
    scoreboard.idle[:] = bytes([255] * len(scoreboard.idle))
    seats = [(wid, bank, core) for wid in range(1, workers + 1) for bank in range(BANKS) for core in range(cores)]
    for number, (wid, bank, core) in enumerate(seats, 1):
        scoreboard.occupy(wid, bank, generation=1, started=1) if core == 0 else None
        scoreboard.core_records(wid).set_thread(core, number)
        scoreboard.core_records(wid).begin(core, float(number), inf, f"- GET /{number}")
    for number, (wid, bank, core) in enumerate(seats, 1):
        assert list(scoreboard.running(wid, bank))[core].started == number
        assert scoreboard.request(wid, bank, core) == RunningRequest("-", "GET", f"/{number}", number)


def test_everybody_sees_a_pause() -> None:
    """It is behind all records, and its writer is none of the workers."""
    scoreboard = Scoreboard(2, 3)
    scoreboard.idle[-1] = 1
    assert not scoreboard.paused
    scoreboard.paused = True

    def look() -> None:
        assert scoreboard.paused

    in_child(look)
    scoreboard.paused = False
    assert not scoreboard.paused
    assert scoreboard.idle.tolist() == [0, 0, 0, 1]
