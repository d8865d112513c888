"""Bounded memory of a pure function's results: clients repeat themselves, so most header lines were parsed before.

A hit costs one dictionary lookup. Nothing is remembered that is longer than `longest`, and a full memory is emptied at
once, so a client that never repeats itself costs little and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Memo(dict[bytes, Result]):
    """`memo[key]` is `compute(key)`; what `compute` raises is raised and not remembered."""

    __slots__ = ("_capacity", "_compute", "_longest")

    def __init__(self, compute: Callable[[bytes], Result], *, capacity: int, longest: int) -> None:
        super().__init__()
        self._compute, self._capacity, self._longest = compute, capacity, longest

    def __missing__(self, key: bytes) -> Result:
        result = self._compute(key)
        if len(key) <= self._longest:
            if len(self) >= self._capacity:
                self.clear()
            self[key] = result
        return result
