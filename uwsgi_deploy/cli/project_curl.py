"""`curl` among the verbs of a framework's command: `manage.py uwsgi curl`, `flask uwsgi curl`.

    click_curl(target)                                     # Flask
    add_curl(subparsers, common); perform_curl(options, target)   # Django

The options are those of `uwsgi-deploy curl`, read from it; the address need not be given. `target` is called when it is
not, and says where the project's settings have the server listen, and in which protocol.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from uwsgi_deploy.cli.curl import PROTOCOLS, curl, perform
from uwsgi_deploy.launch import Target

NAME = "curl"
HELP = "Send one request to the server of this project and print the answer."
ADDRESS_HELP = "Another address than that of the project's settings."
PROTOCOL_HELP = "What is spoken there; that of the settings, else http."

# `address` is an option here, and `protocol` has no default: both are the settings' unless they are given.
_SHARED = [option for option in curl.params if isinstance(option, click.Option) and option.name != "protocol"]


def run(values: Mapping[str, Any], target: Callable[[], Target]) -> int:
    """Send the request that the parsed values describe; the exit code."""
    given = dict(values)
    address, protocol, path = given.pop("address"), given.pop("protocol"), given.pop("path")
    if address is None:
        known = target()
        address, protocol = known.address, protocol or known.protocol
    return perform(address, path, protocol=protocol or "http", output=sys.stdout.buffer, **given)


def click_curl(target: Callable[[], Target]) -> click.Command:
    """The command for a click group."""

    def callback(**values: Any) -> None:
        code = run(values, target)
        if code:
            click.get_current_context().exit(code)

    own = (
        click.Option(["--address"], metavar="ADDRESS", help=ADDRESS_HELP),
        click.Option(["--protocol"], type=click.Choice(list(PROTOCOLS)), help=PROTOCOL_HELP),
    )
    path = click.Argument(["path"], default="/")
    return click.Command(NAME, params=[*own, *_SHARED, path], callback=callback, help=HELP, short_help=HELP)


def add_curl(subparsers: Any, common: argparse.ArgumentParser) -> None:
    """Add the subparser; it takes the options of `common`, too."""
    parser = subparsers.add_parser(NAME, help=HELP, description=HELP, parents=[common])
    parser.add_argument("--address", metavar="ADDRESS", help=ADDRESS_HELP)
    parser.add_argument("--protocol", choices=list(PROTOCOLS), help=PROTOCOL_HELP)
    for option in _SHARED:
        about: dict[str, Any] = {"dest": option.name, "help": option.help}
        if option.is_flag:
            about["action"] = "store_true"
        elif option.multiple:
            about |= {"action": "append", "default": [], "metavar": option.metavar}
        else:
            is_number = isinstance(option.type, click.FloatRange)
            # click has a mark of its own for options without a default.
            default = option.default if isinstance(option.default, str | float) else None
            about |= {"type": float if is_number else str, "default": default, "metavar": option.metavar}
        parser.add_argument(*option.opts, **about)
    parser.add_argument("path", nargs="?", default="/", metavar="PATH")


def perform_curl(options: Mapping[str, Any], target: Callable[[], Target]) -> int:
    """Do what argparse found."""
    names = {"address", "protocol", "path", *(option.name for option in _SHARED)}
    try:
        return run({name: value for name, value in options.items() if name in names}, target)
    except click.ClickException as error:  # what click itself would have said
        click.echo(f"curl: {error.format_message()}", err=True)
        return error.exit_code
