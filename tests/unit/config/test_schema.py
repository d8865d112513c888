"""The schema covers every settings field, and every name means one thing."""

from __future__ import annotations

import dataclasses

import pytest

from uwsgi_deploy.config.controls import CONTROLS, CONTROLS_BY_NAME
from uwsgi_deploy.config.known import KNOWN_NAMES, SHORT_NOT_YET
from uwsgi_deploy.config.schema import BY_NAME, OPTIONS, Kind, OptionSpec, nearest, sections


def test_every_settings_field_is_an_option() -> None:
    """A field that is no option would be a setting that nobody can set."""
    fields = {
        (section, field.name)
        for section, settings_class in sections().items()
        for field in dataclasses.fields(settings_class)
    }
    assert fields == {(spec.section, spec.field) for spec in OPTIONS}


@pytest.mark.parametrize("spec", OPTIONS, ids=lambda spec: spec.name)
def test_every_option_explains_itself(spec: OptionSpec) -> None:
    """Help is a sentence."""
    assert spec.help.endswith(".")
    assert spec.help[0].isupper()


def test_no_two_options_share_a_name() -> None:
    """Each name, alias, short flag and inverse belongs to one option, and to no control."""
    names = [name for spec in OPTIONS for name in (*spec.positive_names, *spec.inverse)]
    names += [name for control in CONTROLS for name in (control.name, *control.aliases, *control.short_flags)]
    assert sorted(names) == sorted(set(names))


def test_what_is_implemented_is_not_called_missing() -> None:
    """An option that gains a settings field leaves the tables of `known`."""
    assert KNOWN_NAMES.isdisjoint(BY_NAME)
    assert KNOWN_NAMES.isdisjoint(CONTROLS_BY_NAME)
    assert set(SHORT_NOT_YET).isdisjoint(BY_NAME)


def test_short_flags_are_one_letter() -> None:
    """`-p`, never `-pp`."""
    assert all(len(flag) == 2 for spec in OPTIONS for flag in spec.short_flags)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("processes", Kind.INTEGER),
        ("vacuum", Kind.FLAG),
        ("module", Kind.TEXT),
        ("http-socket", Kind.TEXT),
        ("chmod-socket", Kind.MODE),
        ("umask", Kind.MODE),
        ("buffer-size", Kind.BYTES),
        ("body-timeout", Kind.SECONDS),
        ("log-slow", Kind.MILLISECONDS),
    ],
)
def test_the_kind_follows_from_the_type(name: str, kind: Kind) -> None:
    assert BY_NAME[name][0].kind is kind


def test_inverse_names_are_marked() -> None:
    assert BY_NAME["disable-logging"] == (BY_NAME["log-requests"][0], True)
    assert BY_NAME["-L"] == (BY_NAME["log-requests"][0], True)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("wrokers", "workers"),
        ("vaccum", "vacuum"),
        ("proesses", "processes"),
        ("zuid", "uid"),
        ("proc-name-prefix", "procname-prefix"),
        ("http_socket", "http-socket"),
        ("disable_logging", "disable-logging"),
        ("Master", "master"),
        ("lazy-app", "lazy-apps"),
        ("harakirri", "harakiri"),
        ("no-orphan", "no-orphans"),
        ("worker-reload", "worker-reload-mercy"),
        ("app", None),
        ("base", None),
        ("stdout_logfile_maxbytes", None),
    ],
)
def test_nearest(written: str, meant: str | None) -> None:
    """Misspellings seen in the wild find their option; users' variables find nothing."""
    assert nearest(written) == meant
