"""The system checks with the tag `uwsgi`."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test.utils import override_settings

from django_integration.checks import MIDDLEWARE, statement_timeout


def ids(**changed: Any) -> list[str | None]:
    """The checks that complain about these settings."""
    with override_settings(**changed):
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


@pytest.mark.parametrize(("seconds", "found"), [(None, []), (29, []), (30, ["uwsgi.W004"]), (0, ["uwsgi.W004"])])
def test_deadline_on_heroku(seconds: int | None, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """W004: its router gives up after 30 seconds; the default there is shorter."""
    monkeypatch.setenv("DYNO", "web.1")
    assert ids(UWSGI={} if seconds is None else {"harakiri": seconds}) == found
    monkeypatch.delenv("DYNO")
    assert ids(UWSGI={} if seconds is None else {"harakiri": seconds}) == []


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ("-c statement_timeout=90000", 90),
        ("-c search_path=x -c statement_timeout=2min", 120),
        ("-c statement_timeout='61 s'", 61),
        ("--statement_timeout=9s", 9),
        ("-c statement_timeout=0", 0),
        ("-c lock_timeout=90000", 0),
        (None, 0),
    ],
)
def test_statement_timeout(options: str | None, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """W004: a statement that may outlive its request."""
    monkeypatch.delenv("DYNO", raising=False)
    assert statement_timeout({"options": options}) == seconds
    databases = {"default": {}, "other": {"OPTIONS": {"options": options}}}
    monkeypatch.setattr(settings, "DATABASES", databases)
    assert ids(UWSGI={"harakiri": 60}) == (["uwsgi.W004"] if seconds > 60 else [])
    assert ids(UWSGI={"harakiri": 300}) == []
    assert ids(UWSGI={"harakiri": 0}) == []


@pytest.mark.parametrize(
    ("middleware", "found"),
    [
        ([], []),
        ([MIDDLEWARE], []),
        ([MIDDLEWARE, "django.middleware.common.CommonMiddleware"], []),
        (["django.middleware.common.CommonMiddleware", MIDDLEWARE], ["uwsgi.I001"]),
        (["django.middleware.common.CommonMiddleware"], ["uwsgi.I001"]),
    ],
)
def test_middleware(middleware: list[str], found: list[str]) -> None:
    """I001: reports without it know no view."""
    assert ids(MIDDLEWARE=middleware) == found
