"""What settings say about the server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from django_integration import conf
from uwsgi_deploy import ConfigError


def pairs(**settings: object) -> list[tuple[str, str | None]]:
    return [(option.name, option.value) for option in conf.options(SimpleNamespace(**settings))]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"processes": 4}, [("processes", "4")]),
        ({"max_requests": "1000"}, [("max-requests", "1000")]),
        ({"vacuum": False, "reuse-port": True}, [("vacuum", "false"), ("reuse-port", "true")]),
        ({"header-timeout": 2.5}, [("header-timeout", "2.5")]),
        ({"body-timeout": timedelta(minutes=1)}, [("body-timeout", "60000ms")]),
        ({"pidfile": Path("/run/blog.pid")}, [("pidfile", "/run/blog.pid")]),
        ({"http-socket": [":8000", ":8001"]}, [("http-socket", ":8000"), ("http-socket", ":8001")]),
        ({"env": {"A": 1, "B": "x"}}, [("env", "A=1"), ("env", "B=x")]),
        ({"procname-prefix": lambda settings: settings.NAME}, [("procname-prefix", "blog")]),
        ({"logto": None}, []),
        ({}, []),
    ],
)
def test_values(value: object, expected: list[tuple[str, str]]) -> None:
    """Python's own values are options, and a function is asked with the settings."""
    assert pairs(UWSGI=value, NAME="blog") == expected


def test_legacy_settings() -> None:
    """django-pyuwsgi's list and django-uwsgi-ng's second dictionary are read before UWSGI."""
    assert pairs(
        UWSGI={"threads": 4},
        UWSGI_OPTIONS={"threads": 3, "log-5xx": True},
        PYUWSGI_ARGS=["--master", "--processes=2", "-R", 100],
    ) == [
        ("master", None),
        ("processes", "2"),
        ("max-requests", "100"),
        ("threads", "3"),
        ("log-5xx", "true"),
        ("threads", "4"),
    ]
    assert conf.legacy_settings(SimpleNamespace(PYUWSGI_ARGS=["-M"], UWSGI={})) == ("PYUWSGI_ARGS",)


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (
            {"UWSGI": {"wrokers": 2, "threads": "many", "vacuum": True}},
            [
                "settings.UWSGI: unknown option 'wrokers' (did you mean 'workers'?)",
                "settings.UWSGI: 'threads' needs a whole number, not 'many'; such as 4",
            ],
        ),
        ({"UWSGI": {"pidfile": object()}}, ["settings.UWSGI: 'pidfile' cannot be of type object"]),
        ({"UWSGI": ["--master"]}, ["settings.UWSGI: must be a dictionary of options, not of type list"]),
        ({"PYUWSGI_ARGS": ["--mastr"]}, ["settings.PYUWSGI_ARGS: unknown option '--mastr' (did you mean '--master'?)"]),
        ({"PYUWSGI_ARGS": ["app.ini"]}, ["settings.PYUWSGI_ARGS: do not know what to do with 'app.ini'"]),
        ({"UWSGI_OPTIONS": {"threads": 0}}, ["settings.UWSGI_OPTIONS: 'threads' must be at least 1, not 0"]),
    ],
)
def test_problems(settings: dict[str, object], messages: list[str]) -> None:
    """Each mistake is a sentence with its place; none hides another."""
    found = [str(error) for error in conf.problems(SimpleNamespace(**settings))]
    assert [text[: len(message)] for text, message in zip(found, messages, strict=True)] == messages


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("mysite.wsgi.application", "mysite.wsgi:application"),
        ("company.sites.main.wsgi.app", "company.sites.main.wsgi:app"),
        ("wsgi.application", "wsgi:application"),
        (None, "django_integration.wsgi:application"),
    ],
)
def test_application(path: str | None, module: str) -> None:
    """WSGI_APPLICATION at any depth, or Django's own application."""
    assert conf.application(SimpleNamespace(WSGI_APPLICATION=path)) == module


@pytest.mark.parametrize("path", ["application", "", "mysite.wsgi:application", "my-site.wsgi.application", 3])
def test_application_that_is_none(path: object) -> None:
    """What cannot be imported is said before anything starts."""
    with pytest.raises(ConfigError, match=r"^settings\.WSGI_APPLICATION: .* does not name an application"):
        conf.application(SimpleNamespace(WSGI_APPLICATION=path))


def test_project_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """manage.py's place, else BASE_DIR, else the working directory."""
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "base"
    base.mkdir()
    settings = SimpleNamespace(BASE_DIR=base)
    assert conf.project_directory(settings, "project/manage.py") == tmp_path / "project"
    assert conf.project_directory(settings, "/usr/bin/django-admin") == base
    assert conf.project_directory(SimpleNamespace(BASE_DIR=str(base)), "/usr/bin/django-admin") == base
    assert conf.project_directory(SimpleNamespace(BASE_DIR="/nowhere"), "/usr/bin/django-admin") == tmp_path
    assert conf.project_directory(SimpleNamespace(), "/usr/bin/django-admin") == tmp_path


def test_file_and_environment_in_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ini that UWSGI names is read from here; UWSGI_* variables are no part of the settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UWSGI_THREADS", "many")
    settings = SimpleNamespace(UWSGI={"ini": "app.ini", "logto": "$(HOME)/log"})
    assert [error.origin for error in conf.problems(settings)] == ["settings.UWSGI"]
    (tmp_path / "app.ini").write_text("[uwsgi]\nthreads = 2\n")
    assert conf.problems(settings) == ()
