"""Which application a command line means, told to another process."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.cli import ScriptInfo

from flask_integration import discovery
from uwsgi_deploy import ConfigError


def create_app() -> Flask:
    """A factory that can be imported."""
    return Flask(__name__)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("hello", "{here}/hello"),
        ("hello.py", "{here}/hello.py"),
        ("package.module", "{here}/package.module"),
        ("hello:special", "{here}/hello:special"),
        ("hello:create_app('x')", "{here}/hello:create_app('x')"),
        ("hello:create_app(name='a:b')", "{here}/hello:create_app(name='a:b')"),
        ("sub/hello.py:app", "{here}/sub/hello.py:app"),
        ("/elsewhere/hello.py", "/elsewhere/hello.py"),
    ],
)
def test_import_path(given: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLASK_APP is absolute: the server may run in another directory."""
    monkeypatch.chdir(tmp_path)
    environment = discovery.environment(ScriptInfo(app_import_path=given))
    assert environment == {"FLASK_RUN_FROM_CLI": "true", "FLASK_APP": told.format(here=tmp_path)}


def test_no_import_path() -> None:
    """Then Flask looks for wsgi.py and app.py, there as here."""
    assert discovery.environment(ScriptInfo()) == {"FLASK_RUN_FROM_CLI": "true"}


def test_factory_of_a_projects_own_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FlaskGroup(create_app=…) has no import path; the function has one. Flask takes the last part for the module."""
    monkeypatch.chdir(tmp_path)
    environment = discovery.environment(ScriptInfo(create_app=create_app))
    assert environment["FLASK_APP"] == f"{tmp_path}/{__name__}:create_app"


def test_factory_that_cannot_be_imported() -> None:
    """A lambda has none."""
    with pytest.raises(ConfigError, match="make it a function of a module, or name the application with --module"):
        discovery.environment(ScriptInfo(create_app=lambda: Flask(__name__)))
