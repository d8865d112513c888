"""`flask uwsgi run` in this process up to the moment in which it is replaced, in directories of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from click.testing import CliRunner
from flask.cli import FlaskGroup

import flask_integration.run
from uwsgi_deploy import Handover

HELLO = """\
import os
from flask import Flask

def create_app(name="factory", threads=2):
    app = Flask(__name__)
    app.config["UWSGI"] = {"threads": threads}

    @app.get("/")
    def facts():
        return {
            "name": name,
            "debug": app.debug,
            "cwd": os.getcwd(),
            "from_cli": os.environ.get("FLASK_RUN_FROM_CLI"),
            "handover": "_UWSGI_DEPLOY_HANDOVER" in os.environ,
        }

    return app

app = create_app("app")
special = create_app("special", threads=7)
"""


@dataclass(frozen=True, slots=True)
class Started:
    """What the command would have become, and what it said before."""

    arguments: list[str]
    handover: Handover
    environment: dict[str, str]
    output: str


class Replaced(Exception):
    """Stands for the exec that does not return."""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory: a module hello.py. What commands change in this process is put back."""
    (tmp_path / "hello.py").write_text(HELLO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("PORT", "WEB_CONCURRENCY", "DYNO", *(name for name in os.environ if name.startswith("FLASK_"))):
        monkeypatch.delenv(name, raising=False)
    environment = dict(os.environ)
    yield tmp_path
    for name in [name for name, module in sys.modules.items() if is_in(module, tmp_path)]:
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(environment)


def is_in(module: ModuleType, directory: Path) -> bool:
    """Whether a module was imported from there."""
    return str(getattr(module, "__file__", None) or "").startswith(f"{directory}/")


@pytest.fixture
def flask_uwsgi_run(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Started]:
    """`flask [before] uwsgi run ARGUMENTS`, with `before` from --app on."""
    started: list[Started] = []

    def replace_process(arguments: list[str], handover: Handover) -> NoReturn:
        started.append(Started(list(arguments), handover, dict(os.environ), ""))
        raise Replaced

    def run(*arguments: str, before: tuple[str, ...] = ("--app", "hello"), cli: FlaskGroup | None = None) -> Started:
        monkeypatch.setattr(flask_integration.run, "replace_process", replace_process)
        result = CliRunner().invoke(cli or FlaskGroup(), [*before, "uwsgi", "run", *arguments])
        assert isinstance(result.exception, Replaced), result.output
        last = started.pop()
        return Started(last.arguments, last.handover, last.environment, result.output)

    return run


@pytest.fixture
def refused(directory: Path) -> Callable[..., str]:
    """The same where it fails: the last line of what it says."""

    def run(*arguments: str, before: tuple[str, ...] = ("--app", "hello")) -> str:
        """The last line of the output."""
        result = CliRunner().invoke(FlaskGroup(), [*before, "uwsgi", "run", *arguments])
        assert result.exit_code in (1, 2), result.output
        return result.output.strip().splitlines()[-1]

    return run
