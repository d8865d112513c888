"""What a framework's command hands to the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.handover import VARIABLE, Handover, replace_process
from uwsgi_deploy.interpreter import interpreter_options

HANDOVER = Handover(
    origin="settings.UWSGI",
    options=(("processes", "4"), ("master", None)),
    defaults=(("module", "site.wsgi:application"),),
    launcher=("manage.py", "runuwsgi"),
)


def test_it_survives_the_environment_and_leaves_it() -> None:
    environ = {**HANDOVER.to_environment(), "HOME": "/root"}
    assert Handover.from_environment(environ) == HANDOVER
    assert environ == {"HOME": "/root"}


def test_without_a_framework_there_is_none() -> None:
    assert Handover.from_environment({}) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"origin": "x", "options": [["a"]], "defaults": []}'])
def test_a_damaged_one_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=f"environment {VARIABLE}: is damaged"):
        Handover.from_environment({VARIABLE: text})


def test_replace_process_becomes_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    replace_process(["--http-socket=:8000"], HANDOVER)
    ((program, command, environ),) = calls
    assert program == sys.executable
    assert command[-3:] == ["-m", "uwsgi_deploy", "--http-socket=:8000"]
    assert json.loads(environ[VARIABLE])["origin"] == "settings.UWSGI"
    assert VARIABLE not in os.environ


def test_an_exec_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(ConfigError, match=r"settings\.UWSGI: cannot start the server .*No such file"):
        replace_process([], HANDOVER)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-O"],
        ["-OO"],
        ["-B"],
        ["-u"],
        ["-I"],
        ["-E", "-s", "-P"],
        ["-b", "-b"],
        ["-Werror", "-Wignore::DeprecationWarning"],
        ["-X", "utf8", "-X", "importtime=0"],
    ],
)
def test_the_interpreter_keeps_its_options(options: list[str]) -> None:
    """A second interpreter with the same options has the same flags."""
    program = (
        f"import sys; sys.path.insert(0, {os.getcwd()!r});"
        "from uwsgi_deploy.interpreter import interpreter_options;"
        "print(interpreter_options(), sys.flags, sys.warnoptions, sys._xoptions)"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def state(options: list[str]) -> str:
        command = [sys.executable, *options, "-c", program]
        return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout

    first = state(options)
    kept = first[1 : first.index("]")].replace("'", "").replace(",", "").split()
    assert state(kept) == first


def test_the_options_of_this_interpreter_are_options() -> None:
    assert all(option.startswith("-") or "=" in option or option.isidentifier() for option in interpreter_options())
