"""The package's surface."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import uwsgi_deploy
from uwsgi_deploy import ConfigError, Settings, settings_from


@pytest.mark.parametrize("name", uwsgi_deploy.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(uwsgi_deploy, name) is not None


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="module 'uwsgi_deploy' has no attribute 'nope'"):
        _ = uwsgi_deploy.nope  # type: ignore[attr-defined]


def test_importing_it_imports_next_to_nothing() -> None:
    """Flask and Django import it in commands that never serve."""
    program = "import sys, uwsgi_deploy; print(*[m for m in sys.modules if m.startswith(('uwsgi_deploy', 'click'))])"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert set(output.split()) == {"uwsgi_deploy", "uwsgi_deploy.errors"}


def test_settings_from_python_values() -> None:
    settings = settings_from(
        http_socket=":8000", module="app:app", processes=4, vacuum=False, chdir=Path("/srv"), env={"A": "1"}
    )
    assert settings.sockets.http_socket == (":8000",)
    assert settings.workers.processes == 4
    assert settings.identity.vacuum is False
    assert settings.application.chdir == "/srv"
    assert settings.application.env == ("A=1",)


def test_settings_from_nothing_are_the_defaults() -> None:
    assert settings_from() == Settings()


def test_settings_from_ignores_environment_and_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "5000")
    monkeypatch.setenv("UWSGI_PROCESSES", "9")
    assert settings_from() == Settings()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wrokers": 4}, r"settings_from\(\): unknown option 'wrokers' \(did you mean 'workers'\?\)"),
        ({"processes": "four"}, r"settings_from\(\): 'processes' needs a whole number"),
    ],
)
def test_mistakes_are_sentences(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_from(**options)


def test_run_needs_an_address() -> None:
    with pytest.raises(ConfigError, match="the -s/--socket option is missing"):
        uwsgi_deploy.run(Settings())


def test_what_has_no_effect_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="'manage-script-name' has no effect without 'mount'"):
        settings_from(http_socket=":8000", manage_script_name=True)
