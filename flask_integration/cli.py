"""The command group `uwsgi` of every `flask` command line, through the entry point group flask.commands.

Flask imports this module for each of its commands, without protection. So click is all that is imported here, and
nothing of ours is until somebody asks for a command of this group.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

VERBS = (
    "status",
    "reload",
    "stop",
    "restart",
    "drain",
    "pause",
    "resume",
    "workers",
    "log",
    "inflight",
    "dump",
    "harakiri",
    "curl",
)
COMMANDS: Mapping[str, str] = {"run": "flask_integration.run", **dict.fromkeys(VERBS, "flask_integration.verbs")}
"""Command to the module that has it, in `commands`."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        if cmd_name not in COMMANDS:
            return None
        try:
            command: click.Command = importlib.import_module(COMMANDS[cmd_name]).commands[cmd_name]
        except ImportError as error:
            # A damaged installation ends this command with a sentence, and touches no other.
            raise click.ClickException(f"uwsgi-deploy cannot be imported: {error}; install it again.") from error
        return command


@click.group(cls=LazyGroup)
def uwsgi() -> None:
    """Serve the application in production, with uwsgi-deploy; steer the server that does."""
