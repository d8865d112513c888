"""The loop engines, for tests that hold for each: `@each_engine` gives a test the options of one as `engine`."""

from __future__ import annotations

import pytest

PREFORK: tuple[str, ...] = ("--threads", "1")
THREADS: tuple[str, ...] = ("--threads", "4")

each_engine = pytest.mark.parametrize("engine", [PREFORK, THREADS], ids=["prefork", "threads"])
"""Servers with one core and with several."""
