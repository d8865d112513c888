"""The scoreboard of a master that outlives its own image: the present mapping, and former ones that are still written.

A re-executed master maps the scoreboard of its predecessor again. When the new settings or the new code want another
shape, it makes a new one; processes that still write a former one are *lodgers*, read there through the same methods
until they are gone. A template of a former generation goes on forking workers into the mapping it was born with.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from uwsgi_deploy.shared.scoreboard import (
    BANKS,
    LAYOUT,
    PROCESS_FIELDS,
    RECORD_SLOTS,
    SLOT_BYTES,
    Descriptors,
    Field,
    Running,
    RunningRequest,
    Scoreboard,
)

Place = tuple[int, int]
"""(worker number, bank)."""

# What there is to read about worker numbers that the present mapping does not have.
_NOBODY = memoryview(bytes(RECORD_SLOTS * SLOT_BYTES)).cast("Q")


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One mapping on its way through an exec. `generations` are templates that fork workers into it."""

    layout: str
    workers: int
    cores: int
    descriptors: tuple[int, int, int]
    lodgers: tuple[Place, ...]
    generations: tuple[int, ...]


class LodgingScoreboard(Scoreboard):
    """A scoreboard that also shows records of former ones, at the places where lodgers are."""

    LASTS = True

    def __init__(self, workers: int, cores: int = 1, *, adopted: Descriptors | None = None) -> None:
        super().__init__(workers, cores, adopted=adopted)
        self._lodgers: dict[Place, Scoreboard] = {}
        self._homes: dict[int, Scoreboard] = {}

    def record_in(self, wid: int, bank: int) -> memoryview:
        """The record of one bank of worker `wid`, wherever its process writes it."""
        board = self._lodgers.get((wid, bank)) if self._lodgers else None
        if board is not None:
            return board.record_in(wid, bank)
        return super().record_in(wid, bank) if wid <= self.workers else _NOBODY

    def running(self, wid: int, bank: int) -> Iterator[Running]:
        """The requests that the cores of a worker process run at this moment."""
        board = self._lodgers.get((wid, bank))
        if board is not None:
            return board.running(wid, bank)
        return super().running(wid, bank) if wid <= self.workers else iter(())

    def request(self, wid: int, bank: int, core: int) -> RunningRequest:
        """What a core's record says of the request that it runs, or ran last."""
        board = self._lodgers.get((wid, bank))
        return super().request(wid, bank, core) if board is None else board.request(wid, bank, core)

    def vacate(self, wid: int, bank: int) -> None:
        """The process of this bank is gone: clear what was about it, keep the counters."""
        board = self._lodgers.pop((wid, bank), None)
        if board is None:
            super().vacate(wid, bank)
            return
        board.vacate(wid, bank)
        os.eventfd_write(self.call_fd, 1)  # its siblings may all be gone: who serves now is asked, too
        if wid <= self.workers:  # what workers of other numbers counted ends with them
            _move_counters(board.record_in(wid, bank), self.record_in(wid, bank))
        self._close_if_empty(board)

    def total(self, field: Field) -> int:
        """The sum of a counter over all workers and banks."""
        return super().total(field) + sum(board.total(field) for board in dict.fromkeys(self._lodgers.values()))

    def tell_paused(self, *, paused: bool) -> None:
        """Set `paused` for everybody, lodgers included."""
        for board in self._boards():
            board.paused = paused

    def expect(self, wid: int, bank: int, generation: int) -> None:
        """A template of `generation` is about to fork a worker into this place."""
        board = self._homes.get(generation)
        if board is not None:
            if wid <= self.workers:
                _move_counters(self.record_in(wid, bank), board.record_in(wid, bank))
            self._lodgers[wid, bank] = board

    def workers_of(self, generation: int) -> int:
        """How many workers a template of `generation` knows."""
        return self._homes.get(generation, self).workers

    def release(self, generation: int) -> None:
        """The template of `generation` is gone."""
        board = self._homes.pop(generation, None)
        if board is not None:
            self._close_if_empty(board)

    @property
    def private(self) -> tuple[int, ...]:
        """Descriptors that children close: the files behind the mappings are the master's."""
        return tuple(board.descriptors.map_fd for board in self._boards())

    def to_rows(self) -> list[BoardRow]:
        """All mappings for the master's next image, the present one first."""
        return [
            BoardRow(
                LAYOUT,
                board.workers,
                board.cores,
                (board.descriptors.map_fd, board.descriptors.wake_fd, board.descriptors.call_fd),
                tuple(place for place, home in self._lodgers.items() if home is board),
                tuple(generation for generation, home in self._homes.items() if home is board),
            )
            for board in self._boards()
        ]

    def take_in(self, former: Scoreboard, lodgers: Iterable[Place], generations: Iterable[int]) -> None:
        """Show what `lodgers` write in a former mapping, and count on from where its other records stand."""
        self._lodgers.update(dict.fromkeys(lodgers, former))
        self._homes.update(dict.fromkeys(generations, former))
        for wid in range(1, min(self.workers, former.workers) + 1):
            for bank in range(BANKS):
                if (wid, bank) not in self._lodgers:
                    _move_counters(former.record_in(wid, bank), self.record_in(wid, bank))
        self._close_if_empty(former)

    def _boards(self) -> list[Scoreboard]:
        return list(dict.fromkeys((self, *self._lodgers.values(), *self._homes.values())))

    def _close_if_empty(self, board: Scoreboard) -> None:
        if board not in self._boards():
            os.close(board.descriptors.map_fd)
            os.close(board.call_fd)  # the one that wakes the master is the same in all


def adopt_scoreboard(
    workers: int, cores: int, rows: Iterable[BoardRow], *, occupied: Iterable[Place], generations: Iterable[int]
) -> LodgingScoreboard:
    """The scoreboard of the master's next image: the one among `rows` that has the shape it needs, or a new one.

    occupied: places of all living worker processes. generations: those of all living templates. Mappings of another
    layout were made by other code and are not read: their lodgers are shown as zeros.
    """
    rows = list(rows)
    places, templates = dict.fromkeys(occupied, rows[0]), dict.fromkeys(generations, rows[0])
    for row in rows[1:]:
        places.update({place: row for place in row.lodgers if place in places})
        templates.update({generation: row for generation in row.generations if generation in templates})
    fitting = next((row for row in rows if (row.layout, row.workers, row.cores) == (LAYOUT, workers, cores)), None)
    if fitting is not None:
        board = LodgingScoreboard(workers, cores, adopted=Descriptors(*fitting.descriptors))
    else:
        board = LodgingScoreboard(workers, cores)
        # Everybody wakes the master through one descriptor. Calls are among siblings, who share the idle flags.
        _, wake_fd, _ = rows[0].descriptors
        os.dup2(wake_fd, board.descriptors.wake_fd, inheritable=False)
        os.close(wake_fd)
    wake_fd = board.descriptors.wake_fd
    for row in rows:
        if row is fitting:
            continue
        map_fd, _, call_fd = row.descriptors
        if row.layout == LAYOUT:
            former = Scoreboard(row.workers, row.cores, adopted=Descriptors(map_fd, wake_fd, call_fd))
        else:
            former = _unreadable(row, wake_fd)
        board.take_in(
            former,
            [place for place, home in places.items() if home is row],
            [generation for generation, home in templates.items() if home is row],
        )
    return board


def _unreadable(row: BoardRow, wake_fd: int) -> Scoreboard:
    """Zeros in place of a mapping that other code made."""
    map_fd, _, call_fd = row.descriptors
    blank = LodgingScoreboard(row.workers, row.cores)
    os.close(map_fd)
    os.close(call_fd)
    os.close(blank.descriptors.wake_fd)
    blank.descriptors = Descriptors(blank.descriptors.map_fd, wake_fd, blank.call_fd)
    return blank


def _move_counters(source: memoryview, target: memoryview) -> None:
    for field in Field:
        if field not in PROCESS_FIELDS:
            target[field] += source[field]
            source[field] = 0
