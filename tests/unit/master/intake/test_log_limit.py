"""log-maxsize: when a rotation is asked for, and how often when that does not help."""

from __future__ import annotations

import pytest

from uwsgi_deploy.config.settings.logs import LogSettings
from uwsgi_deploy.master.commands import Command
from uwsgi_deploy.master.intake import log_limit


def test_only_where_it_matters() -> None:
    assert log_limit.log_limit(LogSettings()) is None
    assert log_limit.log_limit(LogSettings(log_maxsize=1)) is not None


def test_a_rotation_when_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for the last byte that is allowed; a rotation that did not help is tried again, less and less often."""
    size = 100
    monkeypatch.setattr(log_limit, "log_size", lambda: size)
    limit = log_limit.LogLimit(100)
    assert [request.command for request in limit.read()] == []
    size = 101
    asked = [look for look in range(30) if [r.command for r in limit.read()] == [Command.ROTATE_LOG]]
    assert asked == [0, 2, 6, 14]
    size = 0
    assert list(limit.read()) == []
    size = 101
    assert len(list(limit.read())) == 1
