"""The server's options in click commands."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from uwsgi_deploy.cli import help_texts
from uwsgi_deploy.cli.options import ServerCommand, click_options, server_arguments
from uwsgi_deploy.config.controls import CONTROLS
from uwsgi_deploy.config.schema import OPTIONS, OptionSpec, sections
from uwsgi_deploy.config.sources.argv import parse_arguments

OWN = {"-h", "--host", "-p"}


def make(command_class: type[click.Command]) -> click.Command:
    """A command as Flask's: `-h` and `-p` are its own."""

    def callback(host: str | None, port: str | None, target: str | None) -> None:
        click.echo(f"{host} {port} {target} {server_arguments(click.get_current_context())}")

    own = [click.Option(["-h", "--host"]), click.Option(["-p", "--port"]), click.Argument(["target"], required=False)]
    return command_class("run", params=[*own, *click_options(without=OWN)], callback=callback)


def output(command: click.Command, *arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments))
    return result.output.strip()


def test_options_of_the_command_and_of_the_server_mix() -> None:
    arguments = ["--workers=4", "-h", "x", "-L", "--vacuum=false", "--pp", "a", "app", "--pp", "b", "-p5000"]
    assert output(make(ServerCommand), *arguments) == (
        "x 5000 app ['--workers=4', '--disable-logging', '--vacuum=false', '--pp=a', '--pp=b']"
    )


def test_a_plain_click_command_can_use_them_too() -> None:
    arguments = ["--workers", "4", "-h", "x", "-L", "--no-vacuum", "--pp", "a", "--pp", "b"]
    assert output(make(click.Command), *arguments) == (
        "x None None ['--processes=4', '--log-requests=false', '--vacuum=false', '--pythonpath=a', '--pythonpath=b']"
    )


@pytest.mark.parametrize("command_class", [ServerCommand, click.Command])
def test_names_that_mean_different_things_stay_what_they_are(command_class: type[click.Command]) -> None:
    text = output(make(command_class), "--route", "^/a log:", "--route-host", "^b log:", "--route-label", "x")
    assert text.endswith("['--route=^/a log:', '--route-host=^b log:', '--route-label=x']")


def test_mistakes_are_clicks_errors() -> None:
    result = CliRunner().invoke(make(ServerCommand), ["--wrokers", "4"])
    assert result.exit_code == 1
    assert result.output == "Error: command line: unknown option '--wrokers' (did you mean '--workers'?)\n"


def test_what_is_given_back_means_the_same() -> None:
    """The arguments for the server parse to the same options."""
    text = output(make(ServerCommand), "--env=A=B", "-M", "--chmod-socket", "--ini", "a.ini:x", "--listen", "-5")
    arguments = ["--env=A=B", "--master", "--chmod-socket", "--ini=a.ini:x", "--listen=-5"]
    assert text == f"None None None {arguments}"
    parsed = parse_arguments(arguments)
    assert [raw.value for raw in parsed.options] == ["A=B", None, None, "a.ini:x", "-5"]


def test_help_has_every_option_once_in_its_group() -> None:
    text = output(make(ServerCommand), "--help")
    for title in (
        help_texts.CONFIGURATION_TITLE,
        *(help_texts.title(section) for section in sections() if any(o.section == section for o in OPTIONS)),
    ):
        assert f"\n{title}:\n" in text
    for option in (*CONTROLS, *OPTIONS):
        (line,) = [line for line in text.splitlines() if f"--{option.name}" in line.partition("   ")[0].split()[:2]]
        assert line.startswith("  -")


def test_help_of_the_command_keeps_its_own_spellings() -> None:
    lines = output(make(ServerCommand), "--help").splitlines()
    assert any(line.strip().startswith("-p, --port") for line in lines)
    assert any(line.strip().startswith("--processes N") for line in lines)


@pytest.mark.parametrize("spec", OPTIONS, ids=lambda spec: spec.name)
def test_every_section_has_a_title_and_every_value_a_name(spec: OptionSpec) -> None:
    assert spec.section in help_texts.TITLES
    assert bool(help_texts.value_name(spec)) == spec.takes_value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("processes", "[also --workers; default: 1]"),
        ("chmod-socket", "[also --chmod; default: 660]"),
        ("body-timeout", "[also --socket-timeout; default: 30]"),
        ("vacuum", "[default: on]"),
        ("reuse-port", "port."),
        ("logto", "error."),
        ("umask", "digits."),
    ],
)
def test_descriptions_end_with_other_names_and_the_default(name: str, text: str) -> None:
    (spec,) = [spec for spec in OPTIONS if spec.name == name]
    assert help_texts.describe(spec).endswith(text)


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("vacuum", "--no-vacuum"),
        ("log-requests", "--disable-logging"),
        ("defer-accept", "--no-defer-accept"),
        ("no-orphans", "--no-orphans=false"),
        ("enable-threads", ""),
        ("lazy-apps", ""),
        ("processes", ""),
    ],
)
def test_how_a_flag_is_switched_off(name: str, off: str) -> None:
    (spec,) = [spec for spec in OPTIONS if spec.name == name]
    assert help_texts.switches_off(spec) == off
    if off:
        assert len(parse_arguments([off]).options) == 1
