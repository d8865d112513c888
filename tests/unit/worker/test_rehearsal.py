"""The rehearsal serves for real and leaves no trace."""

from __future__ import annotations

import os
import threading

import pytest

from uwsgi_deploy.worker.rehearsal import rehearse


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_rehearsal_leaves_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    rehearse()
    before, threads = descriptors(), threading.active_count()
    rehearse()
    assert descriptors() == before
    assert threading.active_count() == threads
    assert capfd.readouterr() == ("", "")
