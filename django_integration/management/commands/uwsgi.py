"""`manage.py uwsgi status | reload | stop …`: steer the server of this project.

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

from django_integration.launch import whereabouts
from uwsgi_deploy import ConfigError
from uwsgi_deploy.cli.client import Place
from uwsgi_deploy.cli.verb_commands import add_verbs, perform_parsed


class Command(BaseCommand):
    help = "Steer the running server of this project: status, reload, stop and more."
    requires_system_checks: Sequence[str] = ()  # a broken project must not keep its server from being stopped
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_verbs(parser, django_options())

    def handle(self, *_args: Any, **options: Any) -> None:
        code = perform_parsed(options, known)
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
