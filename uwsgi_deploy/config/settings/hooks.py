"""What is run at the phases of the server's life, and what start-up waits for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HookSettings:
    """What is run at the phases of the server's life, and what start-up waits for."""
