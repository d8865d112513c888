"""Shared records: one writer each, counters that outlive processes, and a wake-up for the master."""

from __future__ import annotations

import os
import select

import pytest

from uwsgi_deploy.shared.scoreboard import BANKS, RECORD_SLOTS, Field, Scoreboard, WorkerState


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
        scoreboard.idle[1] = 1
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
        scoreboard.idle[0] = 1

    in_child(child)
    scoreboard.vacate(1, 1)
    record = scoreboard.record_in(1, 1)
    assert (record[Field.PID], record[Field.STATE], record[Field.REQUESTS]) == (0, WorkerState.EMPTY, 9)
    scoreboard.occupy(1, 1, generation=1, started=1)
    assert scoreboard.idle.tolist() == [0]


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_records_do_not_overlap(workers: int) -> None:
    """Every record of every bank is its own memory, and so are the idle flags."""
    scoreboard = Scoreboard(workers)
    for wid in range(1, workers + 1):
        for bank in range(BANKS):
            record = scoreboard.record_in(wid, bank)
            for slot in range(RECORD_SLOTS):
                record[slot] += wid * 1000 + bank * 100 + slot
    scoreboard.idle[:] = bytes([1] * workers)
    for wid in range(1, workers + 1):
        for bank in range(BANKS):
            expected = [wid * 1000 + bank * 100 + slot for slot in range(RECORD_SLOTS)]
            assert scoreboard.record_in(wid, bank).tolist() == expected


def test_announce_never_blocks() -> None:
    """A full counter means that the master is being woken anyway."""
    scoreboard = Scoreboard(1)
    os.eventfd_write(scoreboard.wake_fd, 2**64 - 2)
    scoreboard.announce()
