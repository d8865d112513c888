"""The server's options for argparse, as Django's commands use it; the twin of `options.py` for click.

    add_arguments(parser)                       # in add_arguments()
    arguments = server_arguments(options)       # in handle(**options): what was given, as arguments for the server

Kept apart from Django, which nothing in this package imports.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from uwsgi_deploy.cli import help_texts
from uwsgi_deploy.cli.options import arguments_of, negative_names, positive_names
from uwsgi_deploy.config.controls import CONTROLS, CONTROLS_BY_NAME, Control
from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption
from uwsgi_deploy.config.schema import BY_NAME, OPTIONS, Kind, OptionSpec, sections

DESTINATION = "server_options"
"""The name in the parsed options under which the server's are kept, in order."""

# argparse knows no option that takes a value as `--flag=false` but not as `--flag false`: each spelling is a name.
FLAG_VALUES = ("true", "True", "on", "yes", "1", "false", "False", "off", "no", "0")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every option of the server, in groups; a spelling that the parser already has keeps its meaning there."""
    groups: list[tuple[str, Sequence[OptionSpec | Control]]] = [(help_texts.CONFIGURATION_TITLE, CONTROLS)]
    for section in sections():
        groups.append((help_texts.title(section), [spec for spec in OPTIONS if spec.section == section]))
    # argparse has no public list of the spellings in use, and adding one twice is an error.
    taken = parser._option_string_actions
    for title, options in groups:
        group = parser.add_argument_group(title)
        for option in options:
            _add(group, option, taken=taken)


def server_arguments(options: Mapping[str, Any]) -> list[str]:
    """The server's options among the parsed ones, as command-line arguments that mean the same."""
    return arguments_of(options.get(DESTINATION) or ())


class _Remember(argparse.Action):
    """Appends what was given to one list, so that order and spelling survive."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002  argparse's signature
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        name, equals, flag_value = (option_string or "").partition("=")
        value = flag_value if equals else (values if isinstance(values, str) else None)
        given = [*(getattr(namespace, DESTINATION, None) or ()), _raw(name, value)]
        setattr(namespace, DESTINATION, given)


def _raw(written: str, value: str | None) -> RawOption:
    """The option under a name that files know too."""
    name = written if not written.startswith("--") else written.removeprefix("--")
    if name in CONTROLS_BY_NAME:
        return RawOption(CONTROLS_BY_NAME[name].name, value, COMMAND_LINE)
    if name not in BY_NAME:
        return RawOption(name.removeprefix("no-"), "false", COMMAND_LINE)
    spec, inverse = BY_NAME[name]
    if name.startswith("-"):
        name = spec.inverse[0] if inverse else spec.name
    return RawOption(name, value, COMMAND_LINE)


def _add(group: argparse._ArgumentGroup, option: OptionSpec | Control, taken: Mapping[str, object]) -> None:
    negative = negative_names(option) if isinstance(option, OptionSpec) else []
    names = [name for name in (*positive_names(option), *negative) if name not in taken]
    if not names:
        return
    shown = [name for name in names if name == f"--{option.name}" or name in option.short_flags] or names[:1]
    keywords = _keywords(option)
    group.add_argument(*shown, help=help_texts.describe(option).replace("%", "%%"), **keywords)
    hidden = [*(name for name in names if name not in shown), *_valued_flags(option, names)]
    if hidden:
        group.add_argument(*hidden, help=argparse.SUPPRESS, **keywords)


def _keywords(option: OptionSpec | Control) -> dict[str, Any]:
    keywords: dict[str, Any] = {"dest": DESTINATION, "action": _Remember}
    if not help_texts.value_name(option):
        return keywords | {"nargs": 0}
    optional = isinstance(option, OptionSpec) and option.optional_value is not None
    return keywords | {"metavar": help_texts.value_name(option)} | ({"nargs": "?"} if optional else {})


def _valued_flags(option: OptionSpec | Control, names: Sequence[str]) -> Iterator[str]:
    if isinstance(option, Control) or option.kind is not Kind.FLAG:
        return
    for name in names:
        if name.startswith("--") and (name.removeprefix("--") in BY_NAME):
            yield from (f"{name}={value}" for value in FLAG_VALUES)
