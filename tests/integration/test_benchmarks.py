"""The programs in benchmarks/ run, and what they promise holds at a small scale."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.server import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "command",
    [
        ("idle_connections.py", "--idle", "300", "--slow", "30", "--seconds", "1"),
        ("gevent_connections.py", "--connections", "300"),
        ("kill_worker.py", "--kills", "2"),
        ("kill_storm.py", "--kills", "30", "--seconds", "2"),
        ("stop_under_load.py", "--rounds", "2"),
        ("reload_under_load.py", "--times", "3", "--every", "2", "--import-seconds", "0.5"),
        (
            "reload_under_load.py",
            "--times",
            "2",
            "--every",
            "4",
            "--import-seconds",
            "0.5",
            "--kind",
            "chain",
            "--lazy-apps",
        ),
        ("reload_memory.py", "--times", "6"),
        ("stop_under_load.py", "--rounds", "2", "--processes", "1", "--threads", "4"),
        ("scoreboard_cost.py", "--rounds", "5"),
        ("recycle_under_load.py", "--seconds", "2"),
        ("harakiri_matrix.py", "--servers", "ours", "--engines", "prefork,gevent", "--ways", "sleep,regex"),
        ("memory.py", "--workers", "1,2", "--seconds", "0.5", "--module", "hello"),
    ],
    ids=" ".join,
)
def test_benchmark(command: tuple[str, ...]) -> None:
    program, *options = command
    result = subprocess.run(
        [sys.executable, f"benchmarks/{program}", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
