"""All that says how a server is to run: the command line, the environment, and what a framework's command says."""

from __future__ import annotations

import os

from uwsgi_deploy import __version__
from uwsgi_deploy.config.facts import collect
from uwsgi_deploy.config.gather import Sources
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.sources.framework import framework_options
from uwsgi_deploy.handover import Handover


def sources(command_line: tuple[RawOption, ...], handover: Handover | None) -> Sources:
    """Everything that `build` reads. handover: what a framework's command left for this process, if one started it."""
    facts = collect(os.environ, version=__version__)
    if handover is None:
        return Sources(command_line=command_line, facts=facts)
    return Sources(
        command_line=command_line,
        framework=framework_options(handover.options, origin=handover.origin),
        defaults=framework_options(handover.defaults, origin=f"{handover.origin} (default)"),
        facts=facts,
    )
