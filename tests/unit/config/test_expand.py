"""Variables in text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uwsgi_deploy.config.expand import Expander, Usage, apply_magic, frozen_magic, magic_of_file
from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.errors import ConfigError

FACTS = Facts(
    cwd="/srv/www",
    hostname="web1",
    cpus=4,
    uid=33,
    gid=34,
    user="www",
    group="wheel",
    now=12.5,
    binary="/usr/bin/uwsgi-deploy",
    version="9.9",
)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("%o", "shop/prod.blue.ini"),
        ("%p", "/srv/www/shop/prod.blue.ini"),
        ("%s", "prod.blue.ini"),
        ("%n", "prod.blue"),
        ("%e", "ini"),
        ("%d", "/srv/www/shop/"),
        ("%d../x", "/srv/www/shop/../x"),
        ("%c", "shop"),
        ("%0-%1-%2-%3", "srv-www-shop-"),
        ("%x", "staging"),
        ("%b", "/usr/bin/uwsgi-deploy"),
        ("%v", "/srv/www"),
        ("%h", "web1"),
        ("%t", "12"),
        ("%T", "12500000"),
        ("%V", "9.9"),
        ("%k", "4"),
        ("%u %U %g %G", "33 www 34 wheel"),
        ("%[[1m", "\x1b[1m"),
        ("100%%", "100%"),
        ("100%", "100%"),
        ("%%Y-%%m", "%Y-%m"),
        ("%(name)", "%(name)"),
        ("%(%k * 2)", "%(4 * 2)"),
        ("/tmp/%n.pid", "/tmp/prod.blue.pid"),
    ],
)
def test_magic(text: str, expanded: str) -> None:
    unknown: list[str] = []
    table = magic_of_file("shop/prod.blue.ini", "staging", FACTS)
    assert apply_magic(text, table, unknown.append) == expanded
    assert unknown == []


def test_unknown_magic_stays_and_is_reported() -> None:
    """uWSGI drops it: `%Y-%m-%d` used to vanish."""
    unknown: list[str] = []
    assert apply_magic("%Y of 50% off", magic_of_file("a.ini", "", FACTS), unknown.append) == "%Y of 50% off"
    assert unknown == ["Y", " "]


def test_capital_letters_are_the_first_file() -> None:
    capitals = frozen_magic(magic_of_file("/etc/uwsgi/main.ini", "", FACTS))
    assert apply_magic("%N %D %P %S", capitals, pytest.fail) == "main /etc/uwsgi/ /etc/uwsgi/main.ini main.ini"


def test_inode_and_hash_tell_files_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.ini"
    path.write_text("")
    table = magic_of_file(str(path), "", FACTS)
    assert table["i"] == str(path.stat().st_ino)
    assert int(table["j"], 16) > 0


def test_a_symbolic_link_keeps_its_own_name(tmp_path: Path) -> None:
    """One file can serve several sites under several names."""
    (tmp_path / "base.ini").write_text("")
    (tmp_path / "blue.ini").symlink_to("base.ini")
    assert magic_of_file(str(tmp_path / "blue.ini"), "", FACTS)["n"] == "blue"


def test_standard_input_has_no_path() -> None:
    table = magic_of_file("-", "", FACTS)
    assert table["o"] == "-"
    assert "p" not in table


def expander(
    variables: dict[str, str] | None = None,
    environ: dict[str, str] | None = None,
    files: dict[str, str] | None = None,
) -> Expander:
    def read(name: str) -> str:
        if name not in (files or {}):
            raise FileNotFoundError(2, os.strerror(2), name)
        return (files or {})[name]

    return Expander(environ or {}, (variables or {}).get, read, Usage())


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        (":$(PORT)", ":8000"),
        ("$(HOME)/www", "/root/www"),
        ("$(NOPE:-2)", "2"),
        ("$(EMPTY:-2)", "2"),
        ("$(EMPTY-2)", ""),
        ("$(NOPE-a-b)", "a-b"),
        ("$(PORT:-9)", "8000"),
        ("$(NOPE:-$(PORT))", "8000"),
        ("$(NOPE:-)", ""),
        ("$(NESTED)", "8000"),
        ("$HOME", "$HOME"),
        ("${HOME}", "${HOME}"),
        ("$(PORT", "$(PORT"),
    ],
)
def test_environment(text: str, expanded: str) -> None:
    environ = {"PORT": "8000", "HOME": "/root", "EMPTY": "", "NESTED": "$(PORT)"}
    assert expander(environ=environ).expand(text, "app.ini:1") == expanded


def test_an_undefined_environment_variable_stays_and_is_noted() -> None:
    undefined = expander()
    assert undefined.expand(":$(PORT)", "app.ini:1") == ":$(PORT)"
    assert undefined.unresolved == ["$(PORT)"]
    assert undefined.usage.environment == {"PORT"}


def test_file_contents_lose_one_newline() -> None:
    assert expander(files={"/proc/somaxconn": "4096\n"}).expand("@(/proc/somaxconn)", "a:1") == "4096"


def test_a_file_name_may_come_from_the_environment() -> None:
    assert expander(environ={"D": "/run"}, files={"/run/x": "7"}).expand("@($(D)/x)", "a:1") == "7"


@pytest.mark.parametrize("reference", ["exec://date", "http://host/x", "fd://3"])
def test_schemes_are_refused(reference: str) -> None:
    """A configuration value never runs a command."""
    with pytest.raises(ConfigError, match="takes files only"):
        expander().expand(f"@({reference})", "app.ini:1")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"app.ini:1: @\(/nope\) cannot be read: No such file or directory"):
        expander().expand("@(/nope)", "app.ini:1")


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("%(base)/app", "/srv/app"),
        ("%(deep)", "/srv/x/y"),
        ("%(port)", "8000"),
        ("%(2 * 3)", "6"),
        ("%(cores + 1)", "5"),
        ("%(cores * 2 + 1)", "9"),
        ("%(1 + 2 * 3)", "9"),
        ("%((cores * 2) + 1)", "9"),
        ("%(1 + (2 * 3))", "7"),
        ("%(9 / 2 - 1)", "3"),
        ("%(base cores)", "/srv4"),
        ("%(%(cores) * 2)", "8"),
        ("%(2 * 1024 * 1024 * 1024)", "2147483648"),
        ("%()", "%()"),
        ("%(nope)", "%(nope)"),
        ("%(nope + 1)", "%(nope + 1)"),
    ],
)
def test_variables(text: str, expanded: str) -> None:
    variables = {"base": "/srv", "deep": "%(mid)/y", "mid": "%(base)/x", "cores": "4", "port": "$(PORT)"}
    assert expander(variables, {"PORT": "8000"}).expand(text, "app.ini:1") == expanded


def test_unknown_variables_are_noted() -> None:
    unknown = expander()
    unknown.expand("%(a) %(b + 1)", "a:1")
    assert unknown.unresolved == ["%(a)", "%(b + 1)"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%(a)", r"%\(a\) refers to itself: %\(a\) -> %\(b\) -> %\(a\)"),
        ("$(LOOP)", r"\$\(LOOP\) refers to itself"),
        ("%(1 / 0)", r"%\(1 / 0\) divides by zero"),
        ("%(word * 2)", r"%\(word \* 2\) cannot be calculated: 'x \* 2'"),
        ("%(2 *)", r"%\(2 \*\) cannot be calculated: nothing follows '\*'"),
    ],
)
def test_what_cannot_be_resolved_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match="app.ini:7: " + message):
        expander({"a": "%(b)", "b": "%(a)", "word": "x"}, {"LOOP": "$(LOOP)"}).expand(text, "app.ini:7")
