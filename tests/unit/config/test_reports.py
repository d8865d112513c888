"""Options about reports."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uwsgi_deploy import ConfigError, settings_from
from uwsgi_deploy.config.build import build
from uwsgi_deploy.config.gather import Sources
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.settings.reports import SINKS, sinks_of


def test_all_sinks_are_used_unless_some_are_named() -> None:
    assert sinks_of(settings_from().reports) == set(SINKS)
    assert sinks_of(settings_from(harakiri_sinks="log, Ring").reports) == {"log", "ring"}
    assert sinks_of(settings_from(harakiri_sinks=["log", "ring sentry"]).reports) == {"log", "ring", "sentry"}
    assert sinks_of(settings_from(harakiri_sinks="off").reports) == set()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"harakiri_sinks": "log,sentri"}, "'harakiri-sinks' has no 'sentri'; there are log, ring, logger"),
        ({"harakiri_sinks": "log,off"}, "'harakiri-sinks' is off, or names some, not both"),
        (
            {"harakiri_hook": "/usr/bin/x"},
            "'harakiri-hook' needs exec:/path, http://... or https://..., not '/usr/bin/x'",
        ),
        ({"harakiri_hook": "exec:x"}, "'harakiri-hook' needs exec:/path"),
        ({"harakiri_hook": "ftp://x/"}, "'harakiri-hook' needs exec:/path"),
        ({"harakiri_log_format": "xml"}, "'harakiri-log-format' must be one of human, json, not 'xml'"),
        ({"harakiri_keep": "-1"}, "'harakiri-keep' must not be negative"),
    ],
)
def test_refusals(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_from(**options)
    assert message in str(caught.value)


def test_a_hook_that_is_left_out_is_told() -> None:
    options = (
        RawOption("harakiri-hook", "exec:/bin/cat", "app.ini:2"),
        RawOption("harakiri-sinks", "log", "app.ini:3"),
    )
    found = build(Sources(framework=options))
    assert found.warnings == ("app.ini:2: 'harakiri-hook' has no effect: harakiri-sinks leaves it out",)


def test_the_directory_is_the_same_from_everywhere(tmp_path: Path) -> None:
    """Workers may change theirs later."""
    assert settings_from().reports.harakiri_dir == ""
    assert settings_from(harakiri_dir="var/x").reports.harakiri_dir == os.path.abspath("var/x")
    assert settings_from(harakiri_dir="x", chdir=str(tmp_path)).reports.harakiri_dir == f"{tmp_path}/x"
    assert settings_from(harakiri_dir="/var/x", chdir=str(tmp_path)).reports.harakiri_dir == "/var/x"
    for word in ("off", "None", "false", "0"):
        assert settings_from(harakiri_dir=word).reports.harakiri_dir == "off"


def test_where_options_about_late_requests_were_set_is_kept() -> None:
    """For the reports; of others it is not, because the settings travel."""
    options = (RawOption("harakiri", "30", "app.ini:2"), RawOption("processes", "2", "app.ini:3"))
    assert build(Sources(framework=options)).settings.origins == (("harakiri", "app.ini:2"),)
