"""What ends a request that takes too long, and a worker whose application fails in a way that it names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HarakiriSettings:
    """What ends a request that takes too long, and a worker whose application fails in a way that it names."""
