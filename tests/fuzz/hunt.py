"""One case after the other, until one goes wrong: a crash, a hang, a disagreement, something that cannot be."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from tests.fuzz.feeding import byte_by_byte, in_pieces, outcome, whole
from tests.fuzz.material import mutated, some
from tests.fuzz.subjects import Subject

LIMITS = (120, 600, 65536)
# Seconds of processor time that a case may take; the longest takes some tens of milliseconds.
PATIENCE = 10


class Hang(Exception):
    """A case took longer than `PATIENCE`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What went wrong with these bytes, which are as few as was tried for."""

    data: bytes
    limit: int
    what: str

    def __str__(self) -> str:
        return f"{self.what}\n    limit {self.limit}, data {self.data!r}"


@contextmanager
def bounded() -> Iterator[None]:
    """Ends what hangs."""

    def ring(_number: int, _frame: object) -> None:
        raise Hang

    former = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)


def wrong_with(subject: Subject, data: bytes, limit: int, seed: int) -> str:
    """What is wrong with the way these bytes are read, "" if nothing is."""
    try:
        with bounded():
            reader = subject.reader(limit)
            expected = outcome(reader, data, whole)
            subject.check(expected[0])
            if (again := outcome(reader.anew(), data, whole)) != expected:
                return f"fed whole: {expected}\n    again: {again}"
            for name, cut in (("byte by byte", byte_by_byte), ("in pieces", in_pieces(Random(seed)))):
                found = outcome(subject.reader(limit), data, cut)
                if found != expected:
                    return f"fed whole: {expected}\n    {name}: {found}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def case(subject: Subject, random: Random) -> bytes:
    """The bytes of one case: good ones, broken ones, and random ones."""
    if random.random() < 0.03:
        return some(random, 0, 60)
    return mutated(random, subject.make(random))


def hunt(subject: Subject, seed: int, goes_on: Callable[[int], bool]) -> tuple[int, Finding | None]:
    """Try cases while `goes_on`, which is told how many there were; how many, and the first that went wrong."""
    random = Random(seed)
    cases = 0
    while goes_on(cases):
        data, limit, cuts = case(subject, random), random.choice(LIMITS), random.getrandbits(32)
        cases += 1
        if wrong_with(subject, data, limit, cuts):
            small = reduced(data, lambda less, limit=limit, cuts=cuts: bool(wrong_with(subject, less, limit, cuts)))
            return cases, Finding(small, limit, wrong_with(subject, small, limit, cuts))
    return cases, None


def reduced(data: bytes, is_wrong: Callable[[bytes], bool]) -> bytes:
    """As little of `data` as still goes wrong: pieces are left out, the large ones first."""
    size = max(len(data) // 2, 1)
    while True:
        at, before = 0, len(data)
        while at < len(data):
            less = data[:at] + data[at + size :]
            if is_wrong(less):
                data = less
            else:
                at += size
        if size == 1 and len(data) == before:
            return data
        size = max(size // 2, 1)
