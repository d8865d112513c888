"""`manage.py runuwsgi [addrport] [options]`: Django's runserver in its words and manners, with a production server.

Checks, warns and prints as runserver does, then replaces itself with the server process. That one starts from a clean
interpreter: its master never holds Django. Where an option of the server has the name of one of Django's (-v, -h,
--version, --pythonpath), Django's meaning counts here; the server's is reached by its other name, or after `--`.
"""

from __future__ import annotations

import os
import socket
import traceback
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, SystemCheckError
from django.db import DatabaseError, connections

from django_integration import addresses, checks, conf, static_files
from django_integration.launch import DEFAULT_HOST, DEFAULT_PORT, forget_time_zone, plan
from uwsgi_deploy import ConfigError, __version__, replace_process
from uwsgi_deploy.cli.argparse_options import DESTINATION, add_arguments
from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption
from uwsgi_deploy.config.sources.argv import parse_arguments, positional_option
from uwsgi_deploy.launch import Launch

UNRECOGNIZED = "unrecognized arguments: "
# Options at whose addresses TLS is spoken.
SECURE = frozenset({"https-socket", "https", "https2"})
# Only prints: what else is said would stand in nginx's configuration.
SHOW_NGINX = "show-nginx"


class Command(BaseCommand):
    """Class attributes are the override points of runserver."""

    help = (
        "Serve this project with uwsgi-deploy, a production server. Its options are below, in the setting UWSGI, and "
        "in UWSGI_* variables of the environment."
    )
    requires_system_checks: Sequence[str] = ()  # handle() runs them, with a word before

    default_addr = DEFAULT_HOST
    default_addr_ipv6 = "::1"
    default_port = DEFAULT_PORT

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> ArgumentParser:
        """A parser whose usage has a screen's size, and which knows the server's reasons for refusing an option."""
        parser: ArgumentParser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)
        parser.usage = "%(prog)s [options] [addrport | unix:/path | fd://N] ..."
        parser.epilog = (
            "Options that Django has too (-h, -v, --version, --pythonpath) are Django's here; the server's follow "
            "after `--`, or go by another name: --pp, --max-vars."
        )
        fail = parser.error
        parser.error = lambda message: fail(explain(message))  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "addresses",
            nargs="*",
            metavar="addrport",
            help="Port, or ipaddr:port, as for runserver; unix:/path for a Unix socket. They replace the http-socket "
            f"of the setting UWSGI. Default: {self.default_addr}:{self.default_port}, or all interfaces on $PORT.",
        )
        parser.add_argument("--ipv6", "-6", action="store_true", dest="use_ipv6", help="Use an IPv6 address.")
        parser.add_argument("--skip-checks", action="store_true", help="Skip system checks.")
        parser.add_argument(
            "--reload",
            action="store_true",
            help="For development: reload when the code changes, and wait for the fix of code that is broken.",
        )
        parser.add_argument(
            "--static",
            action="store_true",
            help="Send the files of STATIC_ROOT under STATIC_URL. With DEBUG the finders serve, also without it.",
        )
        parser.add_argument("--media", action="store_true", help="Send the files of MEDIA_ROOT under MEDIA_URL.")
        parser.add_argument(
            "--nostatic", action="store_true", help="With DEBUG: do not serve static files from where they are written."
        )
        add_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> NoReturn:
        if not settings.DEBUG and not settings.ALLOWED_HOSTS:
            raise CommandError("You must set settings.ALLOWED_HOSTS if DEBUG is False.")
        defaults = self.defaults(use_ipv6=options["use_ipv6"])
        try:
            named, given = read_command_line(options, defaults)
            if options["reload"]:
                given.append(RawOption("autoreload", "true", COMMAND_LINE))
            only_shows = any(option.name == SHOW_NGINX for option in given)
            if not (options["skip_checks"] or only_shows):
                self.run_checks(forgiving=options["reload"])
            found = static_files.are_found(settings, wanted=not options["nostatic"])
            if options["static"] and not found:
                given += static_files.static_options(settings)
            if options["media"]:
                given += static_files.media_options(settings)
            launch = plan(
                settings,
                (*named, *given),
                # An address is the one to serve on, as runserver's; it does not add to another one.
                replaced=frozenset(option.name for option in named) & {"http-socket"},
                default_address=defaults.join(self.default_port),
                application=static_files.FOUND_APPLICATION if found else conf.application(settings),
            )
            if not only_shows:
                self.warn(launch, skip_checks=options["skip_checks"])
            if options["verbosity"] > 0 and not only_shows:
                self.write_banner(launch)
            self.stdout.flush()
            self.stderr.flush()
            forget_time_zone()
            replace_process(launch.arguments, launch.handover)
        except ConfigError as error:
            raise CommandError(str(error)) from error

    def warn(self, launch: Launch, *, skip_checks: bool) -> None:
        """What is no reason not to start."""
        if not skip_checks:
            self.warn_of_exposure(launch)
        self.warn_of_migrations()

    def defaults(self, *, use_ipv6: bool) -> addresses.Defaults:
        """What an address means that says only a part."""
        if use_ipv6 and not socket.has_ipv6:
            raise CommandError("Your Python does not support IPv6.")
        return addresses.Defaults(self.default_addr, self.default_addr_ipv6, ipv6=use_ipv6)

    def run_checks(self, *, forgiving: bool) -> None:
        """All system checks, as runserver runs them. forgiving: what they find is shown and ends nothing."""
        self.stdout.write("Performing system checks...\n\n")
        try:
            self.check(display_num_errors=True)
        except Exception as error:  # the project's own code
            if not forgiving:
                raise
            shown = str(error) if isinstance(error, SystemCheckError) else traceback.format_exc()
            self.stderr.write(f"{shown}\nThe server starts nevertheless and reloads when the code changes.")

    def warn_of_exposure(self, launch: Launch) -> None:
        """uwsgi.W001 for addresses that the system check could not know, from the command line or a file."""
        if checks.check_exposure():
            return  # it has been said
        everywhere = (address for _, address, _ in launch.settings.listening)
        for message in checks.debug_exposed(everywhere):
            if not message.is_silenced():
                self.stderr.write(str(message), self.style.WARNING)

    def warn_of_migrations(self) -> None:
        """Name unapplied migrations. A database that does not answer now is no reason not to start."""
        try:
            self.check_migrations()
        except DatabaseError as error:
            self.stderr.write(f"Migrations could not be checked: {error}", self.style.WARNING)
        finally:
            connections.close_all()  # nothing of it may be open in the process that comes

    def write_banner(self, launch: Launch) -> None:
        """Runserver's lines."""
        workers = launch.settings.workers
        places = [
            addresses.describe(address, "https" if name in SECURE else spoken.value)
            for name, address, spoken in launch.settings.listening
        ]
        cores = (
            f"{counted(workers.processes, 'process', 'processes')} x {counted(workers.threads, 'thread', 'threads')}"
        )
        self.stdout.write(f"{datetime.now():%B %d, %Y - %X}")
        self.stdout.write(f"Django version {self.get_version()}, using settings {settings.SETTINGS_MODULE!r}")
        self.stdout.write(f"Starting uwsgi-deploy {__version__} at {' and '.join(places)} ({cores})")
        self.stdout.write("Quit the server with CONTROL-C.")


def read_command_line(options: dict[str, Any], defaults: addresses.Defaults) -> tuple[list[RawOption], list[RawOption]]:
    """What was typed for the server: without dashes, and in any other form. Raises ConfigError or CommandError."""
    positional, raw = split_raw(options["addresses"])
    named = [addresses.parse(text, defaults) for text in positional]
    own = [RawOption("pythonpath", os.path.abspath(path), COMMAND_LINE) for path in (options["pythonpath"],) if path]
    parsed = parse_arguments(raw)
    return named, [*own, *(options[DESTINATION] or ()), *parsed.options, *map(positional_option, parsed.rest)]


def split_raw(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Addresses, and everything from the first argument with a dash on: what came after `--`."""
    raw = next((index for index, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    return list(arguments[:raw]), list(arguments[raw:])


def explain(message: str) -> str:
    """argparse's message, or the server's own about the option: what was meant, or why it is not there."""
    if not message.startswith(UNRECOGNIZED):
        return message
    try:
        parse_arguments(message.removeprefix(UNRECOGNIZED).split()[:1])
    except ConfigError as error:
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return message


def counted(number: int, one: str, many: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {one if number == 1 else many}"
