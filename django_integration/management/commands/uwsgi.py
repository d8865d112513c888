"""`manage.py uwsgi status | reload | stop …`: steer the server of this project; `curl`: send it a request.

The counterpart of flask_integration/verbs.py. The server is found by the pidfile or control-socket of settings.UWSGI,
else by its working directory, which is the project's.
"""

from __future__ import annotations

import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from django_integration.launch import target, whereabouts
from uwsgi_deploy import ConfigError
from uwsgi_deploy.cli.client import Place
from uwsgi_deploy.cli.project_curl import NAME as CURL
from uwsgi_deploy.cli.project_curl import add_curl, perform_curl
from uwsgi_deploy.cli.verb_commands import DESTINATION, add_verbs, perform_parsed
from uwsgi_deploy.launch import Target


class Command(BaseCommand):
    help = "Steer the running server of this project: status, reload, stop and more."
    requires_system_checks: Sequence[str] = ()  # a broken project must not keep its server from being stopped
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_curl(add_verbs(parser, django_options()), django_options())

    def handle(self, *_args: Any, **options: Any) -> None:
        is_curl = options[DESTINATION] == CURL
        code = perform_curl(options, address_of_project) if is_curl else perform_parsed(options, known)
        if code:
            sys.exit(code)


def django_options() -> ArgumentParser:
    """Options that every command of Django has, which people also write behind the verb."""
    parser = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    for flags in (("--settings",), ("--pythonpath",), ("-v", "--verbosity")):
        parser.add_argument(*flags, help=SUPPRESS)
    for flag in ("--traceback", "--no-color", "--force-color"):
        parser.add_argument(flag, action="store_true", help=SUPPRESS)
    return parser


def known(_values: Mapping[str, Any]) -> Place:
    """What the project's settings say about where its server is."""
    try:
        return whereabouts(settings)
    except ConfigError as error:
        raise CommandError(str(error)) from error


def address_of_project() -> Target:
    """Where the project's settings have its server listen; runuwsgi's default where they do not say."""
    try:
        return target(settings)
    except ConfigError as error:
        raise CommandError(str(error)) from error
