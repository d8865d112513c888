"""Harakiri without a master, when nothing but C code ever runs."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.architecture.sources import REPOSITORY
from uwsgi_deploy.process.exit_codes import ExitCode

PROGRAM = """
import re, sys
from uwsgi_deploy.shared.scoreboard import Scoreboard
from uwsgi_deploy.worker.watchdog import Watchdog
sys.setswitchinterval(1000)
Watchdog(Scoreboard(1), 0.2, print).start()
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
    assert time.monotonic() - started >= 0.2
