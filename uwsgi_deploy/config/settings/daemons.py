"""Programs that the master runs beside its workers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """Programs that the master runs beside its workers."""
