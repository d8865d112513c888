"""`--show-config`: the options that differ from the defaults, in ini form, each with the place that set it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from uwsgi_deploy.config.build import Configuration, changed


def render(configuration: Configuration) -> str:
    """The text, several lines. Repeatable options have a line for each value, as in a file."""
    return "\n".join(_lines(configuration))


def _lines(configuration: Configuration) -> Iterator[str]:
    yield ";uWSGI instance configuration"
    yield "[uwsgi]"
    settings = [(f"{raw.name} = {raw.text}", raw.origin) for raw in changed(configuration)]
    width = min(max((len(setting) for setting, _origin in settings), default=0), 60)
    for setting, origin in settings:
        yield f"{setting:<{width}}   ; {origin}"
    yield ";end of configuration"
