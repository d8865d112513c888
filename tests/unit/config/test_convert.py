"""Text becomes a value of the field's type, or a sentence."""

from __future__ import annotations

import pytest

from uwsgi_deploy.config.convert import convert, parse_flag
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.schema import BY_NAME, OPTIONS, Kind, OptionSpec
from uwsgi_deploy.errors import ConfigError

PLACE = "app.ini:3"


def value_of(name: str, text: str | None) -> object:
    return convert(BY_NAME[name][0], RawOption(name, text, PLACE)).value


@pytest.mark.parametrize("text", ["false", "False", "OFF", "no", "0"])
def test_uwsgi_false_words(text: str) -> None:
    assert value_of("vacuum", text) is False


@pytest.mark.parametrize("text", [None, "", "true", "True", "1", "on", "yes", "2", "enabled"])
def test_true_words(text: str | None) -> None:
    """A bare line and an empty value are true, as in uWSGI."""
    assert value_of("vacuum", text) is True


@pytest.mark.parametrize("text", ["none", "disabled", "null", "yes please", "-1"])
def test_words_that_may_mean_either_are_refused(text: str) -> None:
    """uWSGI takes them for true, which is rarely what was meant."""
    with pytest.raises(ConfigError, match=r"app.ini:3: 'vacuum' must be true or false, not"):
        value_of("vacuum", text)


def test_flags_of_the_configuration_itself_know_the_same_words() -> None:
    assert [parse_flag(text) for text in ("", "off", "maybe")] == [True, False, None]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("processes", "4", 4),
        ("processes", "+4", 4),
        ("processes", " 4 ", 4),
        ("max-requests", "0", 0),
        ("buffer-size", "32768", 32768),
        ("buffer-size", "64k", 65536),
        ("buffer-size", "64K", 65536),
        ("buffer-size", "64KB", 65536),
        ("buffer-size", "64 KiB", 65536),
        ("limit-post", "1.5m", 1572864),
        ("limit-post", "2g", 2 << 30),
        ("body-timeout", "30", 30.0),
        ("body-timeout", "0.5", 0.5),
        ("body-timeout", "500ms", 0.5),
        ("body-timeout", "2m", 120.0),
        ("body-timeout", "1h", 3600.0),
        ("log-slow", "500", 500),
        ("log-slow", "2s", 2000),
        ("chmod-socket", "666", 0o666),
        ("chmod-socket", "0640", 0o640),
        ("chmod-socket", None, 0o666),
        ("chmod-socket", "1", 0o666),
        ("umask", "022", 0o022),
        ("umask", "0022", 0o022),
        ("need-app", None, True),
        ("need-app", "false", False),
        ("module", "app:app", "app:app"),
        ("logto", "", ""),
        ("pythonpath", "/srv", "/srv"),
    ],
)
def test_values(name: str, text: str | None, value: object) -> None:
    converted = convert(BY_NAME[name][0], RawOption(name, text, PLACE))
    assert converted.value == value
    assert type(converted.value) is type(value)
    assert converted.warning == ""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("processes", "four", "'processes' needs a whole number, not 'four'"),
        ("processes", "4.5", "'processes' needs a whole number, not '4.5'"),
        ("processes", "", "'processes' needs a whole number, not ''"),
        ("processes", "${UWSGI_PROCESSES:-2}", "'processes' needs a whole number"),
        ("processes", "-1", "'processes' must not be negative: '-1'"),
        ("processes", None, "'processes' needs a value"),
        ("module", None, "'module' needs a value"),
        ("buffer-size", "64x", "'buffer-size' needs a size, not '64x'; bytes such as 65536"),
        ("post-buffering", "true", "'post-buffering' needs a size, not 'true'"),
        ("body-timeout", "-5", "'body-timeout' must not be negative: '-5'"),
        ("body-timeout", "1 week", "'body-timeout' needs a time, not '1 week'"),
        ("log-slow", "true", "'log-slow' needs a time, not 'true'"),
        ("chmod-socket", "888", "'chmod-socket' needs a file mode, not '888'"),
        ("chmod-socket", "66", "'chmod-socket' needs a file mode, not '66'"),
        ("http-socket", "", "'http-socket' needs a value, not ''"),
    ],
)
def test_garbage_is_refused_with_place_and_example(name: str, text: str | None, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        value_of(name, text)
    assert str(refused.value).startswith(f"app.ini:3: {message}")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("processes", "4 ; note", 4),
        ("buffer-size", "8192 #x", 8192),
        ("buffer-size", "8192 #10240", 8192),
        ("worker-reload-mercy", "60 # How long to wait", 60.0),
        ("vacuum", "false # x", False),
        ("vacuum", "true ; x", True),
        ("chmod-socket", "664 # group", 0o664),
    ],
)
def test_a_comment_after_a_value_is_dropped_and_told(name: str, text: str, value: object) -> None:
    converted = convert(BY_NAME[name][0], RawOption(name, text, PLACE))
    assert converted.value == value
    assert converted.warning.startswith(f"app.ini:3: '{name}' is read as ")
    assert "no comments after values" in converted.warning


def test_text_keeps_its_comment_as_in_uwsgi_but_not_in_silence() -> None:
    converted = convert(BY_NAME["module"][0], RawOption("module", "app:app  # the app", PLACE))
    assert converted.value == "app:app  # the app"
    assert converted.warning.startswith("app.ini:3: the value of 'module' is all of")


def test_free_text_may_hold_what_looks_like_a_comment() -> None:
    assert convert(BY_NAME["log-format"][0], RawOption("log-format", "%(uri) ; %(status)", PLACE)).warning == ""


EXAMPLE = {
    Kind.FLAG: "false",
    Kind.TEXT: "NAME=text",
    Kind.INTEGER: "7",
    Kind.SECONDS: "7s",
    Kind.MILLISECONDS: "7",
    Kind.BYTES: "7k",
    Kind.KIBIBYTES: "7m",
    Kind.MEBIBYTES: "7m",
    Kind.MODE: "640",
}


@pytest.mark.parametrize("spec", OPTIONS, ids=lambda spec: spec.name)
def test_every_option_converts_under_every_name(spec: OptionSpec) -> None:
    for name in (*spec.positive_names, *spec.inverse):
        text = spec.choices[0] if spec.choices else EXAMPLE[spec.kind]
        assert convert(spec, RawOption(name, text, PLACE)).value is not None
