"""The loop engines, for tests that hold for each: `@each_engine` gives a test the options of one as `engine`."""

from __future__ import annotations

import pytest

PREFORK: tuple[str, ...] = ("--threads", "1")
THREADS: tuple[str, ...] = ("--threads", "4")

GREEN: tuple[str, ...] = ("--gevent", "20")

each_engine = pytest.mark.parametrize("engine", [PREFORK, THREADS, GREEN], ids=["prefork", "threads", "gevent"])
"""Servers with one core, with several threads, and with greenlets."""

threads_and_gevent = pytest.mark.parametrize("engine", [THREADS, GREEN], ids=["threads", "gevent"])
"""Servers that run several requests at a time."""

prefork_and_gevent = pytest.mark.parametrize("engine", [PREFORK, GREEN], ids=["prefork", "gevent"])
"""For what concerns the process more than its cores."""
