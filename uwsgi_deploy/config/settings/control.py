"""How people and tools tell the running server what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How people and tools tell the running server what to do."""
