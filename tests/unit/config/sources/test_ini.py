"""The ini grammar."""

from __future__ import annotations

import pytest

from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.sources.ini import parse_ini


def parse(text: str, section: str = "uwsgi") -> list[tuple[str, str | None, str]]:
    found = parse_ini(text, section=section, file="app.ini", magic=lambda line, origin: line)
    return [(raw.name, raw.value, raw.origin) for raw in found.options]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("processes = 4", "processes", "4"),
        ("processes=4", "processes", "4"),
        ("\tprocesses\t =\t 4 \t", "processes", "4"),
        ("processes    =4\r", "processes", "4"),
        ("env = A=B=C", "env", "A=B=C"),
        ("master", "master", None),
        ("thunder-lock =", "thunder-lock", ""),
        ("processes = 4 ; note", "processes", "4 ; note"),
        ('env="A=B"', "env", '"A=B"'),
        ("Name = x", "Name", "x"),
        ("static-map /static=./dir", "static-map /static", "./dir"),
        ("= 5", "", "5"),
    ],
)
def test_lines(line: str, name: str, value: str | None) -> None:
    assert parse(f"[uwsgi]\n{line}\n") == [(name, value, "app.ini:2")]


def test_comments_and_empty_lines_count_as_lines_only() -> None:
    assert parse("[uwsgi]\n; a = 1\n# b = 2\n\n  ; c\n  d = 4") == [("d", "4", "app.ini:6")]


def test_only_the_wanted_section_is_read_and_it_may_come_twice() -> None:
    text = "x = 0\n[uwsgi]\na = 1\n[other]\nb = 2\n[uwsgi]\nc = 3\n"
    assert [name for name, _value, _origin in parse(text)] == ["a", "c"]
    assert [name for name, _value, _origin in parse(text, "other")] == ["b"]


def test_section_names_are_exact_and_reported() -> None:
    found = parse_ini("[UWSGI]\na = 1\n[app:main]\n", section="uwsgi", file="a", magic=lambda line, origin: line)
    assert found.options == ()
    assert found.section_names == ("UWSGI", "app:main")


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse("\ufeff[uwsgi]\nmaster = 1") == [("master", "1", "app.ini:2")]


def test_magic_sees_section_names_and_wanted_lines_but_no_comments() -> None:
    seen: list[str] = []

    def magic(line: str, origin: str) -> str:
        seen.append(line)
        return line.replace("%n", "uwsgi")

    found = parse_ini("# 50% of\n[%n]\na = %n\n[b]\nc = %x", section="uwsgi", file="a.ini", magic=magic)
    assert found.options == (RawOption("a", "uwsgi", "a.ini:3"),)
    assert seen == ["[%n]", "a = %n", "[b]"]
