"""Which reports an application may show."""

from __future__ import annotations

from pathlib import Path

import pytest

from uwsgi_deploy import ServerError, kept_reports, settings_from
from uwsgi_deploy.api import kept_reports as here


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "_settings", None)


def test_outside_of_the_server() -> None:
    assert kept_reports() is None


@pytest.mark.parametrize("options", [{"harakiri_dir": "off"}, {"harakiri_sinks": "log"}, {"harakiri_keep": 0}])
def test_a_server_that_keeps_none(options: dict[str, object]) -> None:
    here.install(settings_from(**options))
    assert kept_reports() is None


def test_a_server_that_keeps_reports(tmp_path: Path) -> None:
    """They can be listed and read; one that is not there is an error with a sentence."""
    here.install(settings_from(harakiri_dir=str(tmp_path)))
    kept = kept_reports()
    assert kept is not None
    assert list(kept.reports()) == []
    with pytest.raises(ServerError, match="there is no report 'abc'"):
        kept.read("abc")


def test_a_directory_that_cannot_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("uwsgi_deploy.reports.ring.ring_of", fail)
    here.install(settings_from())
    assert kept_reports() is None
