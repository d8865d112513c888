"""gevent's options: which of them mean something, and what they add up to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.support import from_ini
from uwsgi_deploy.errors import ConfigError


def test_cores_are_threads_or_greenlets(tmp_path: Path) -> None:
    assert from_ini(tmp_path, "gevent = 500\n").settings.cores == 500
    assert from_ini(tmp_path, "threads = 4\n").settings.cores == 4
    assert from_ini(tmp_path, "").settings.cores == 1


def test_both_are_an_error_that_names_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ini:3: 'threads' \(2\) and 'gevent' \(9\) contradict each other"):
        from_ini(tmp_path, "gevent = 9\nthreads = 2\n")


def test_fewer_than_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ini:2: .*'gevent'.*-1"):
        from_ini(tmp_path, "gevent = -1\n")


def test_one_thread_is_what_there_is_anyway(tmp_path: Path) -> None:
    """Configurations made for uWSGI often have both."""
    assert from_ini(tmp_path, "gevent = 9\nthreads = 1\n").settings.cores == 9


def test_patching_is_early_unless_switched_off(tmp_path: Path) -> None:
    assert from_ini(tmp_path, "gevent = 9\n").settings.gevent.gevent_early_monkey_patch
    off = from_ini(tmp_path, "gevent = 9\ngevent-early-monkey-patch = false\n").settings.gevent
    assert not off.gevent_early_monkey_patch


def test_options_that_mean_nothing_without_gevent(tmp_path: Path) -> None:
    (warning,) = from_ini(tmp_path, "gevent-monkey-patch = true\n").warnings
    assert "'gevent-monkey-patch' has no effect without 'gevent'" in warning
