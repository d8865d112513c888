"""What the options about static files mean, and what is refused."""

from __future__ import annotations

import re

import pytest

from uwsgi_deploy.config.build import Configuration, build
from uwsgi_deploy.config.gather import Sources
from uwsgi_deploy.config.settings.static import StaticSettings
from uwsgi_deploy.config.sources.framework import framework_options
from uwsgi_deploy.config.static import Mapping, Subject, expiries_of, mapping_of, mappings_of
from uwsgi_deploy.errors import ConfigError


def configured(**options: str) -> Configuration:
    pairs = tuple((name.replace("_", "-"), value) for name, value in options.items())
    return build(Sources(framework=framework_options(pairs, origin="here")))


@pytest.mark.parametrize(
    ("value", "mapping"),
    [
        ("/static=/app/static", Mapping("/static", "/app/static")),
        ("/static/=/app/static/", Mapping("/static", "/app/static/")),
        (" /static = st ", Mapping("/static", "st")),
        ("/=/www", Mapping("", "/www")),
        ("/a=/b=c", Mapping("/a", "/b=c")),
    ],
)
def test_mapping(value: str, mapping: Mapping) -> None:
    assert mapping_of(value) == mapping


def test_order_is_uwsgis() -> None:
    settings = StaticSettings(static_map2=("/c=/3",), static_map=("/b=/2",), check_static=("/1",))
    assert [mapping.place for mapping in mappings_of(settings)] == ["/1", "/2", "/3"]


@pytest.mark.parametrize("value", ["/static", "static=/app", "/static=", "=/app"])
def test_bad_mapping_is_refused_with_its_place(value: str) -> None:
    with pytest.raises(ConfigError, match="static-map") as refused:
        configured(static_map=value)
    assert refused.value.origin == "here"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("static_expires", "/x"),
        ("static_expires", "[ 3600"),
        ("static_expires_uri", "/x soon"),
        ("static_expires_type", "text/css 60"),
        ("static_immutable", "("),
        ("static_gzip", "*"),
    ],
)
def test_bad_rule_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(name.replace("_", "-").split("-type")[0].split("-uri")[0])):
        configured(static_map="/=/x", **{name: value})


def test_expiry_rules() -> None:
    settings = StaticSettings(
        static_expires=("/CACHE/* 2592000",), static_expires_type_mtime=("text/CSS=1d",), static_expires_uri=("^/a 5m",)
    )
    rules = expiries_of(settings)
    assert [(rule.subject, rule.seconds, rule.since_change) for rule in rules] == [
        (Subject.REQUEST_URI, 300.0, False),
        (Subject.TYPE, 86400.0, True),
        (Subject.FILE, 2592000.0, False),
    ]
    assert rules[1].pattern.search("text/css")
    assert not rules[1].pattern.search("text/css2")


def test_rules_without_files_are_told_of() -> None:
    warnings = configured(static_index="index.html").warnings
    assert any("'static-index' has no effect" in warning for warning in warnings)


@pytest.mark.parametrize(("name", "value"), [("offload_threads", "4"), ("honour_range", "true")])
def test_what_is_always_so_is_said(name: str, value: str) -> None:
    """No option is needed for it."""
    (warning,) = configured(**{name: value}).warnings
    assert "is not needed" in warning
