"""Short ways to build configurations in tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from uwsgi_deploy.config.build import Configuration, build
from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.config.gather import Sources
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.sources.argv import parse_arguments
from uwsgi_deploy.config.sources.framework import framework_options, pairs_of
from uwsgi_deploy.errors import ConfigError


def configure(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    framework: Mapping[str, object] | None = None,
    defaults: Mapping[str, object] | None = None,
    facts: Facts | None = None,
) -> Configuration:
    """Build from a command line and whatever else a test needs."""
    return build(
        Sources(
            command_line=parse_arguments(list(arguments)).options,
            framework=from_mapping(framework or {}, "settings.UWSGI"),
            defaults=from_mapping(defaults or {}, "runuwsgi"),
            facts=facts or Facts(environ=environ or {}),
        )
    )


def from_mapping(options: Mapping[str, object], origin: str) -> tuple[RawOption, ...]:
    return framework_options(pairs_of(options, origin=origin), origin=origin)


def from_ini(tmp_path: Path, text: str, *arguments: str, **facts: object) -> Configuration:
    """Build from one file, `app.ini` in the working directory."""
    (tmp_path / "app.ini").write_text("[uwsgi]\n" + text)
    return configure("--ini", "app.ini", *arguments, facts=Facts(cwd=str(tmp_path), **facts))  # type: ignore[arg-type]


def refusal_of_ini(tmp_path: Path, text: str, **facts: object) -> str:
    """The message with which a file is refused."""
    with pytest.raises(ConfigError) as refused:
        from_ini(tmp_path, text, **facts)
    return str(refused.value)


def refusal(*arguments: str, **sources: object) -> str:
    """The message with which options are refused."""
    with pytest.raises(ConfigError) as refused:
        configure(*arguments, **sources)  # type: ignore[arg-type]
    return str(refused.value)
