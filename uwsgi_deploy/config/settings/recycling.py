"""When a worker is replaced by a fresh one, and what it may use meanwhile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecyclingSettings:
    """When a worker is replaced by a fresh one, and what it may use meanwhile."""
