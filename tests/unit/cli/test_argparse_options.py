"""The server's options in argparse parsers; mirrors test_options."""

from __future__ import annotations

import argparse

import pytest

from uwsgi_deploy.cli.argparse_options import add_arguments, server_arguments
from uwsgi_deploy.config.schema import OPTIONS, Kind, OptionSpec
from uwsgi_deploy.config.sources.argv import parse_arguments


def make() -> argparse.ArgumentParser:
    """A parser as Django's: `-v`, `--version` and `--pythonpath` are its own."""
    parser = argparse.ArgumentParser(prog="manage.py runuwsgi")
    parser.add_argument("--version", action="version", version="5.2")
    parser.add_argument("-v", "--verbosity")
    parser.add_argument("--pythonpath")
    parser.add_argument("addrport", nargs="?")
    add_arguments(parser)
    return parser


def parsed(*arguments: str) -> tuple[str | None, list[str]]:
    options = vars(make().parse_args(arguments))
    return options["addrport"], server_arguments(options)


def test_options_of_the_command_and_of_the_server_mix() -> None:
    assert parsed("--workers=4", "-L", "--vacuum=false", "0:8001", "-p3", "-M") == (
        "0:8001",
        ["--workers=4", "--disable-logging", "--vacuum=false", "--processes=3", "--master"],
    )


def test_a_flag_does_not_eat_the_address() -> None:
    assert parsed("--vacuum", "8001") == ("8001", ["--vacuum"])


def test_nothing_given_is_nothing_given_back() -> None:
    assert parsed() == (None, [])


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["--no-vacuum"], ["--vacuum=false"]),
        (["--no-defer-accept"], ["--no-defer-accept"]),
        (["--no-orphans"], ["--no-orphans"]),
        (["--chmod-socket"], ["--chmod-socket"]),
        (["-C", "640"], ["--chmod-socket=640"]),
        (["--http-socket", ":1", "--http11-socket", ":2"], ["--http-socket=:1", "--http11-socket=:2"]),
        (["--set", "a=b", "-S", "c=d", "--strict"], ["--set=a=b", "--set=c=d", "--strict"]),
        (["--pp", "x"], ["--pp=x"]),
    ],
)
def test_spellings(arguments: list[str], given: list[str]) -> None:
    assert parsed(*arguments)[1] == given


def test_what_the_parser_already_has_keeps_its_meaning() -> None:
    options = vars(make().parse_args(["-v", "2", "--pythonpath", "/x", "--max-vars", "9"]))
    assert (options["verbosity"], options["pythonpath"]) == ("2", "/x")
    assert server_arguments(options) == ["--max-vars=9"]


@pytest.mark.parametrize("spec", OPTIONS, ids=lambda spec: spec.name)
def test_every_spelling_is_understood_by_the_server(spec: OptionSpec) -> None:
    """What argparse takes and gives back, the server's own parser takes."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    value = [] if spec.kind is Kind.FLAG else ["640"]
    for name in (*spec.positive_names, *spec.inverse):
        written = name if name.startswith("-") else f"--{name}"
        given = server_arguments(vars(parser.parse_args([written, *value])))
        assert len(parse_arguments(given).options) == 1


def test_help_is_grouped_and_hides_nothing_but_other_spellings() -> None:
    text = make().format_help()
    assert "\nProcesses and threads:\n" in text
    assert "-p N, --processes N" in text.replace("\n", " ") or "--processes N" in text
    assert "--vacuum=false" not in text
    assert "%(name)" in text
