"""The verbs of the command `uwsgi-deploy`, and uWSGI's options that take a pid file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from uwsgi_deploy.cli import verbs
from uwsgi_deploy.cli.client import Place, place_in
from uwsgi_deploy.cli.sources import sources
from uwsgi_deploy.cli.verb_commands import click_commands
from uwsgi_deploy.config.build import build
from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption
from uwsgi_deploy.handover import Handover
from uwsgi_deploy.master.commands import Command

INI = click.Option(
    ["--ini"], multiple=True, metavar="FILE", help="The server that runs with this file (its pidfile, control-socket)."
)


def run_verb(program: str, words: Sequence[str]) -> int:
    """Perform the verb that `words` begin with; the exit code."""
    verb = click_commands(_known, [INI])[words[0]]
    return int(verb.main(args=list(words[1:]), prog_name=f"{program} {words[0]}", standalone_mode=False) or 0)


def tell_pidfile(pidfile: str, command: str) -> int:
    """See `verbs.tell_pidfile`. command: the value of a Command."""
    return verbs.tell_pidfile(pidfile, Command(command))


def _known(values: Mapping[str, Any]) -> Place:
    """What configuration files and the environment say about where the server is."""
    files = tuple(RawOption("ini", path, COMMAND_LINE) for path in values["ini"])
    place = place_in(build(sources(files, Handover.from_environment(os.environ))).settings)
    return place if files else place.anywhere()
