"""How many workers there are at a time: cheaper, idle."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheaperSettings:
    """How many workers there are at a time: cheaper, idle."""
