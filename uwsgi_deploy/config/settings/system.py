"""What the processes ask of the operating system: daemons, limits, jails, supervisors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """What the processes ask of the operating system: daemons, limits, jails, supervisors."""
