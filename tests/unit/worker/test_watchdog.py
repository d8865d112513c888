"""Harakiri without a master, when nothing but C code ever runs."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.architecture.sources import REPOSITORY
from uwsgi_deploy.process.exit_codes import ExitCode

PROGRAM = """
import re, sys
from uwsgi_deploy.config.settings import HarakiriSettings
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.worker.deadlines import Deadlines
from uwsgi_deploy.worker.watchdog import Watchdog
sys.setswitchinterval(1000)
scoreboard = Scoreboard(1)
deadlines = Deadlines(HarakiriSettings(harakiri=0.2), scoreboard.core_records(1), print)
record = scoreboard.record(1)
Watchdog(deadlines, None, None, grace=0.1, give_up=print, part=print, record=record, alone=True).start()
re.match(r"(a+)+$", "a" * 60 + "b")
"""


def test_first_request_may_hold_the_interpreter_before_the_thread_ran() -> None:
    """The process ends although no other thread ever gets the interpreter."""
    started = time.monotonic()
    # Not a fork: pytest's own faulthandler timer would be at work in this process.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == ExitCode.FAILED
    assert "in match" in done.stderr
    assert time.monotonic() - started >= 0.3
