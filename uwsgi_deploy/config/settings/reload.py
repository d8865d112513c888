"""How new code and configuration come in, and who asks for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReloadSettings:
    """How new code and configuration come in, and who asks for it."""
