"""The command line."""

from __future__ import annotations

import pytest

from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.schema import OPTIONS, Kind, OptionSpec
from uwsgi_deploy.config.sources.argv import parse_arguments, positional_option
from uwsgi_deploy.errors import ConfigError


def pairs(*arguments: str) -> list[tuple[str, str | None]]:
    return [(raw.name, raw.value) for raw in parse_arguments(list(arguments)).options]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--processes", "4"], [("processes", "4")]),
        (["--processes=4"], [("processes", "4")]),
        (["--workers", "4"], [("workers", "4")]),
        (["-p", "4"], [("processes", "4")]),
        (["-p4"], [("processes", "4")]),
        (["-Mp4"], [("master", None), ("processes", "4")]),
        (["-ML"], [("master", None), ("disable-logging", None)]),
        (["--vacuum"], [("vacuum", None)]),
        (["--vacuum=false"], [("vacuum", "false")]),
        (["--no-vacuum"], [("vacuum", "false")]),
        (["--no-orphans"], [("no-orphans", None)]),
        (["--no-defer-accept"], [("no-defer-accept", None)]),
        (["--disable-logging"], [("disable-logging", None)]),
        (["--env", "A=B"], [("env", "A=B")]),
        (["--env=A=B"], [("env", "A=B")]),
        (["-s", ":1", "-s:2"], [("socket", ":1"), ("socket", ":2")]),
        (["--chmod-socket"], [("chmod-socket", None)]),
        (["--chmod-socket", "640"], [("chmod-socket", "640")]),
        (["--chmod-socket=640"], [("chmod-socket", "640")]),
        (["-C", "640"], [("chmod-socket", "640")]),
        (["-C640"], [("chmod-socket", "640")]),
        (["--chmod-socket", "--master"], [("chmod-socket", None), ("master", None)]),
        (["-S", "a=b"], [("set", "a=b")]),
        (["--strict", "--show-config"], [("strict", None), ("show-config", None)]),
        (["--plugin", "python3"], [("plugin", "python3")]),
        (["--thunder-lock"], [("thunder-lock", None)]),
        (["--listen", "-5"], [("listen", "-5")]),
    ],
)
def test_options(arguments: list[str], options: list[tuple[str, str | None]]) -> None:
    assert pairs(*arguments) == options


@pytest.mark.parametrize("spec", OPTIONS, ids=lambda spec: spec.name)
def test_every_spelling_of_every_option_is_understood(spec: OptionSpec) -> None:
    """Long names with a value apart and attached, short flags, inverse names."""
    value = [] if spec.kind is Kind.FLAG else ["640"]
    for name in spec.positive_names:
        written = name if name.startswith("-") else f"--{name}"
        assert len(pairs(written, *value)) == 1
        if not name.startswith("-"):
            assert pairs(f"{written}=1") == [(name, "1")]
    for name in spec.inverse:
        assert len(pairs(name if name.startswith("-") else f"--{name}")) == 1


def test_a_flag_does_not_eat_the_next_argument() -> None:
    parsed = parse_arguments(["--vacuum", "app.ini"])
    assert parsed.options == (RawOption("vacuum", None, "command line"),)
    assert parsed.rest == ("app.ini",)


def test_everything_after_two_dashes_is_left_alone() -> None:
    assert parse_arguments(["-M", "--", "--nope", "-p"]).rest == ("--", "--nope", "-p")


def test_options_of_the_caller_win_and_stay() -> None:
    """`flask uwsgi run -h HOST -p PORT --debug` with the server's options between them."""
    foreign = {"-h": True, "--host": True, "-p": True, "--debug": False}
    parsed = parse_arguments(
        ["-h", "0.0.0.0", "-M", "-p5000", "--debug", "--workers", "2", "--host=x", "-p", "1"], foreign=foreign
    )
    assert parsed.rest == ("-h", "0.0.0.0", "-p5000", "--debug", "--host=x", "-p", "1")
    assert [raw.name for raw in parsed.options] == ["master", "workers"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--wrokers", "4"], "unknown option '--wrokers' (did you mean '--workers'?)"),
        (["--http_socket", ":8000"], "unknown option '--http_socket' (did you mean '--http-socket'?)"),
        (["--proc", "4"], "unknown option '--proc' (did you mean '--procname'?)"),
        (["--xyzzy"], "unknown option '--xyzzy'"),
        (["-q"], "unknown option '-q'"),
        (["--processes"], "option '--processes' needs a value"),
        (["-p"], "option '-p' needs a value"),
        (["--spooler", "30"], "'spooler' is an option of uWSGI that this version does not have yet"),
        (["-Q", "30"], "'spooler' is an option of uWSGI that this version does not have yet"),
        (["--pivot-root", "/x"], "'pivot-root' is refused: starting without this confinement"),
        (["--yaml", "x"], "'yaml' is refused: this version reads ini files only"),
        (["--if-env", "X"], "'if-env' works in configuration files only"),
    ],
)
def test_refusals(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_arguments(arguments)
    assert str(refused.value).startswith(f"command line: {message}")


@pytest.mark.parametrize(
    ("argument", "option", "value"),
    [
        ("app.ini", "ini", "app.ini"),
        ("/etc/uwsgi/app.ini:prod", "ini", "/etc/uwsgi/app.ini:prod"),
        ("app.py", "wsgi-file", "app.py"),
        ("./site.wsgi", "wsgi-file", "./site.wsgi"),
        ("mysite.wsgi", "module", "mysite.wsgi"),
        ("mysite.wsgi:application", "module", "mysite.wsgi:application"),
        ("app:create_app('x')", "module", "app:create_app('x')"),
        ("app:app", "module", "app:app"),
    ],
)
def test_positional_arguments(argument: str, option: str, value: str) -> None:
    assert positional_option(argument) == RawOption(option, value, "command line")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("true", "do not know what to do with 'true'"),
        ("127.0.0.1:8000", "do not know what to do with '127.0.0.1:8000'"),
        ("x.yaml", "'yaml' is refused"),
        ("x.json:prod", "'json' is refused"),
    ],
)
def test_other_positional_arguments_are_refused(argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"command line: {message}"):
        positional_option(argument)
