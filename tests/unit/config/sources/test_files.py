"""Files, sections, and files that name files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.unit.config.support import configure, from_ini, refusal_of_ini
from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.errors import ConfigError


def write(directory: Path, **files: str) -> None:
    for name, text in files.items():
        (directory / f"{name}.ini").write_text(text)


def load(directory: Path, *arguments: str) -> tuple[int, str]:
    settings = configure(*arguments, facts=Facts(cwd=str(directory))).settings
    return settings.workers.processes, settings.application.module


def test_a_file_and_its_default_section(tmp_path: Path) -> None:
    write(tmp_path, a="[uwsgi]\nprocesses = 3\n")
    assert load(tmp_path, "--ini", "a.ini")[0] == 3


def test_a_named_section(tmp_path: Path) -> None:
    write(tmp_path, a="[uwsgi]\nprocesses = 3\n[prod]\nprocesses = 5\n")
    assert load(tmp_path, "--ini", "a.ini:prod")[0] == 5


def test_a_section_of_the_last_file(tmp_path: Path) -> None:
    """The tutorial that many copied: `ini = :base`."""
    write(tmp_path, a="[uwsgi]\nini = :base\nmodule = %(project).wsgi\n[base]\nprocesses = 5\nproject = shop\n")
    assert load(tmp_path, "--ini", "a.ini") == (5, "shop.wsgi")


def test_sections_on_the_command_line(tmp_path: Path) -> None:
    write(tmp_path, a="[uwsgi]\nprocesses = 3\n[prod]\nprocesses = 5\n")
    assert load(tmp_path, "--ini", "a.ini", "--ini", ":prod")[0] == 5


@pytest.mark.parametrize("word", ["ini", "include", "config"])
def test_files_are_included_at_their_place(tmp_path: Path, word: str) -> None:
    write(tmp_path, a=f"[uwsgi]\nprocesses = 3\n{word} = b.ini\nmodule = a", b="[uwsgi]\nprocesses = 5\nmodule = b\n")
    assert load(tmp_path, "--ini", "a.ini") == (5, "a")


def test_inherited_files_come_last(tmp_path: Path) -> None:
    write(tmp_path, a="[uwsgi]\ninherit = b.ini\nmodule = a", b="[uwsgi]\nmodule = b\n")
    assert load(tmp_path, "--ini", "a.ini")[1] == "b"


def test_names_of_files_may_have_variables(tmp_path: Path) -> None:
    write(tmp_path, a="[uwsgi]\nstage = b\nini = %d%(stage).ini\n", b="[uwsgi]\nmodule = b\n")
    assert load(tmp_path, "--ini", "a.ini")[1] == "b"


def test_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    (tmp_path / "app.ini").write_bytes(b"\xef\xbb\xbf[uwsgi]\r\nprocesses = 3\r\n")
    assert load(tmp_path, "--ini", "app.ini")[0] == 3


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("[uwsgi]\nprocesses = x"))
    with pytest.raises(ConfigError, match="standard input:2: 'processes' needs a whole number"):
        load(tmp_path, "--ini", "-")


def test_capital_magic_is_the_first_file(tmp_path: Path) -> None:
    write(tmp_path, a="[uwsgi]\nini = b.ini\n", b="[uwsgi]\nmodule = %N_%n\n")
    assert load(tmp_path, "--ini", "a.ini")[1] == "a_b"


def test_unknown_magic_is_kept_with_a_warning(tmp_path: Path) -> None:
    configuration = from_ini(tmp_path, "env = DATE=%Y\n")
    assert configuration.settings.application.env == ("DATE=%Y",)
    assert configuration.warnings == (
        "app.ini:2: '%Y' means nothing and is kept as it is (write '%%' for a percent sign)",
    )


def test_a_missing_default_section_is_a_warning_that_names_the_others(tmp_path: Path) -> None:
    write(tmp_path, a="[prod]\nprocesses = 3\n")
    assert configure("--ini", "a.ini", facts=Facts(cwd=str(tmp_path))).warnings == (
        "a.ini: no section [uwsgi], nothing was read from it (its sections are [prod])",
    )


def test_an_empty_section_is_no_mistake(tmp_path: Path) -> None:
    write(tmp_path, a="[uwsgi]\n")
    assert configure("--ini", "a.ini", facts=Facts(cwd=str(tmp_path))).warnings == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ini = nope.ini", "app.ini:2: cannot read the configuration file 'nope.ini': No such file or directory"),
        ("ini = app.ini", "app.ini:2: 'app.ini' includes itself"),
        ("ini = :prod", "app.ini:2: app.ini has no section [prod] (its sections are [uwsgi])"),
        ("ini = http://host/x.ini", "app.ini:2: 'http://host/x.ini' is not read: this server takes files only"),
        ("ini = x.yaml", "app.ini:2: 'yaml' is refused: this version reads ini files only"),
        ("include = x.toml", "app.ini:2: 'toml' is refused: this version reads ini files only"),
        ("yaml = x.yaml", "app.ini:2: 'yaml' is refused: this version reads ini files only"),
        ("include", "app.ini:2: 'include' needs the name of a file"),
        ("legacy-order = true", "app.ini:2: 'legacy-order' is too late in a file"),
    ],
)
def test_refusals_have_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    assert refusal_of_ini(tmp_path, text).startswith(message)


def test_a_missing_file_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"command line: cannot read the configuration file 'nope\.ini'"):
        load(tmp_path, "--ini", "nope.ini")


def test_a_section_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="':prod' names a section, but no file was read before it"):
        load(tmp_path, "--ini", ":prod")
