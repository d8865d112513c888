"""The system checks with the tag `uwsgi`."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test.utils import override_settings


def ids(**settings: Any) -> list[str | None]:
    """The checks that complain about these settings."""
    with override_settings(**settings):
        return [message.id for message in run_checks(tags=["uwsgi"])]


@pytest.fixture(autouse=True)
def no_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)


def test_silent() -> None:
    """A project without mistakes hears nothing."""
    assert ids(UWSGI={"processes": 2, "http-socket": "127.0.0.1:8000"}) == []


@pytest.mark.parametrize(
    "path", ["application", "no_such_package.wsgi.application", "tests.no_such_module.application"]
)
def test_application(path: str) -> None:
    """E001: WSGI_APPLICATION leads nowhere."""
    assert ids(WSGI_APPLICATION=path) == ["uwsgi.E001"]


def test_options() -> None:
    """E002 for each wrong option, with the name that was meant as its hint."""
    with override_settings(UWSGI={"wrokers": 2, "threads": "many"}):
        unknown, wrong = run_checks(tags=["uwsgi"])
    assert (unknown.id, unknown.msg) == ("uwsgi.E002", "settings.UWSGI: unknown option 'wrokers'.")
    assert unknown.hint == "did you mean 'workers'?"
    assert wrong.id == "uwsgi.E002"


def test_exposure(monkeypatch: pytest.MonkeyPatch) -> None:
    """W001: with DEBUG on, only this machine should reach the server."""
    public = {"http-socket": ["127.0.0.1:8000", "0.0.0.0:8001"]}
    assert ids(UWSGI=public) == ["uwsgi.W001"]
    assert ids(UWSGI=public, DEBUG=False) == []
    assert ids(UWSGI={"socket": "/run/blog.sock"}) == []
    monkeypatch.setenv("PORT", "8000")
    assert ids() == ["uwsgi.W001"]
    assert ids(UWSGI={"http-socket": "127.0.0.1:8000"}) == []


def test_legacy_settings() -> None:
    """W002: settings of older adapters work, and should be moved."""
    assert ids(UWSGI_OPTIONS={"threads": 2}, PYUWSGI_ARGS=["--master"]) == ["uwsgi.W002", "uwsgi.W002"]
