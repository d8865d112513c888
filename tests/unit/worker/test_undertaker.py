"""The end of workers whose master was killed."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from uwsgi_deploy.worker.undertaker import has_died, kill_after_mercy

SLEEP = ("sleep", "60")


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of another group."""
    with subprocess.Popen(SLEEP, start_new_session=True) as process:
        yield process
        process.kill()


def test_who_is_left_is_killed(stranger: subprocess.Popen[bytes]) -> None:
    """Those of this group, and only those: a number may mean another process by now."""
    with subprocess.Popen(SLEEP) as stuck, subprocess.Popen(("true",)) as quick:
        kill_after_mercy([quick.pid, stuck.pid, stranger.pid, os.getpid()], mercy=0.05)
        assert stuck.wait(10) == -9
        assert quick.wait(10) == 0
    assert stranger.poll() is None


def test_parent_that_lives() -> None:
    """It has told the template to stop, and may close the channel a moment later."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.shutdown(socket.SHUT_WR)
        assert not has_died(os.getppid(), ours)
        theirs.close()
        assert not has_died(os.getppid(), ours)


def test_parent_that_died() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        assert has_died(os.getpid(), ours)  # not the parent of this process
