"""What the conditions of `route-if` ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.wsgi.routing.support import APPLICATION, visitor


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        *(("equal:${V};b", value, value == "b") for value in ("b", "a", "")),
        ("==:${V};b", "b", True),
        ("startswith:${V};ab", "abc", True),
        ("startswith:${V};bc", "abc", False),
        ("endswith:${V};bc", "abc", True),
        ("endswith:${V};ab", "abc", False),
        ("contains:${V};b", "abc", True),
        ("contain:${V};d", "abc", False),
        ("re:${V};^a.c$", "abc", True),
        ("regexp:${V};^b", "abc", False),
        ("empty:${V}", "", True),
        ("empty:${V}", "a", False),
        *(("ishigher:${V};15", value, value == "16") for value in ("16", "15", "x", "")),
        *(("ishigherequal:${V};15", value, value != "14") for value in ("16", "15", "14")),
        *(("<:${V};15", value, value == "14") for value in ("16", "15", "14")),
        *(("<=:${V};15", value, value != "16") for value in ("16", "15", "14")),
        (">:${V};15", "9" * 100_000, True),
        ("ipv4in:${V};10.0.0.0/8", "10.1.2.3", True),
        ("ipv4in:${V};10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("ipv4in:${V};10.0.0.0/8", "11.1.2.3", False),
        ("ipv4in:${V};10.0.0.7", "10.0.0.7", True),
        ("ipv4in:${V};10.0.0.0/8", "", False),
        ("ipv4in:${V};10.0.0.0/8", "::1", False),
        ("ipv6in:${V};[2001:db8::]/32", "2001:db8::1", True),
        ("ipv6in:${V};2001:db8::/32", "2001:db9::1", False),
    ],
)
def test_condition(condition: str, value: str, holds: bool) -> None:
    for option, expected in (("route-if", holds), ("route-if-not", not holds)):
        outcome = visitor(f"{option} = {condition} return:201")(V=value)
        assert (outcome.status != APPLICATION) is expected


def test_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "program").touch(0o755)
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("file")
    names = ("file", "program", "dir", "link", "none", "file\0")

    def those(condition: str) -> list[str]:
        visit = visitor(f"route-if = {condition}:{tmp_path}/${{V}} return:201")
        return [name for name in names if visit(V=name).status != APPLICATION]

    assert those("exists") == ["file", "program", "dir", "link"]
    assert those("isfile") == ["file", "program", "link"]
    assert those("isdir") == ["dir"]
    assert those("islink") == ["link"]
    assert "program" in those("isexec")


def test_groups_of_a_regexp_condition() -> None:
    assert visitor("route-if = regexp:${V};(b+) log:$1")(V="abbc").log == ["bb"]
