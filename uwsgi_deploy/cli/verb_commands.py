"""The verbs as click commands and as argparse parsers, both made from `verbs.VERBS`.

    group = click_group(known)                    # `uwsgi-deploy`, `flask uwsgi`
    add_verbs(parser); perform_parsed(options, known)   # Django

`known` is called with the parsed values when a verb runs, and says where the host's configuration puts the pid file and
the control socket.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from uwsgi_deploy.cli.client import Place
from uwsgi_deploy.cli.verbs import PLACE_ARGUMENTS, VERBS, Argument, Order, Takes, Verb, perform, place_of

Known = Callable[[Mapping[str, Any]], Place]

GROUP_HELP = {
    "workers": "Change the number of workers, or replace them.",
    "log": "Reopen or rotate the log file.",
    "harakiri": "List and show reports of requests that took too long.",
}
"""First word of the verbs of two words to what they are about."""

DESTINATION = "verb"
METAVAR = {Takes.TEXT: "FILE", Takes.NUMBER: "N", Takes.SECONDS: "SECONDS"}


def run(verb: Verb, values: Mapping[str, Any], known: Known) -> int:
    """Perform a verb with its parsed values."""
    place = place_of(values, Place())
    if place == Place():
        place = known(values)
    return perform(verb, Order(place, values, as_json=bool(values.get("json"))))


# --- click ------------------------------------------------------------------------------------------------------------

CLICK_TYPES: Mapping[Takes, Any] = {
    Takes.TEXT: str,
    Takes.NUMBER: click.IntRange(min=1),
    Takes.SECONDS: click.FloatRange(min=0),
}


def click_commands(known: Known, extra: Sequence[click.Parameter] = ()) -> dict[str, click.Command]:
    """First words to their commands; the verbs of two words are in groups. extra: parameters that each verb takes."""
    commands: dict[str, click.Command] = {}
    for verb in VERBS:
        command = _click_command(verb, known, extra)
        if len(verb.words) == 1:
            commands[verb.words[0]] = command
            continue
        group = commands.setdefault(verb.words[0], click.Group(verb.words[0], help=GROUP_HELP[verb.words[0]]))
        assert isinstance(group, click.Group)
        group.add_command(command)
    return commands


def _click_command(verb: Verb, known: Known, extra: Sequence[click.Parameter]) -> click.Command:
    def callback(**values: Any) -> None:
        code = run(verb, values, known)
        if code:
            click.get_current_context().exit(code)

    parameters = [_click_parameter(argument) for argument in (*verb.arguments, *PLACE_ARGUMENTS)]
    # \b: click keeps the lines of a paragraph as they are.
    details = "".join(f"\n\n\b\n{paragraph}" for paragraph in verb.details.split("\n\n") if paragraph)
    return click.Command(
        verb.words[-1], params=[*parameters, *extra], callback=callback, help=verb.help + details, short_help=verb.help
    )


def _click_parameter(argument: Argument) -> click.Parameter:
    if argument.positional:
        nargs = -1 if argument.many else 1
        kind = CLICK_TYPES[argument.takes]
        return click.Argument([argument.key], nargs=nargs, required=False, type=kind, metavar=argument.help)
    name = f"--{argument.name}"
    if argument.takes is Takes.NOTHING:
        return click.Option([name], is_flag=True, help=argument.help)
    metavar = argument.metavar or METAVAR[argument.takes]
    return click.Option([name], type=CLICK_TYPES[argument.takes], metavar=metavar, help=argument.help)


# --- argparse ---------------------------------------------------------------------------------------------------------


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


ARGPARSE_TYPES: Mapping[Takes, Callable[[str], Any]] = {
    Takes.TEXT: str,
    Takes.NUMBER: _positive,
    Takes.SECONDS: float,
}


def add_verbs(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> Any:
    """Add a subparser for every verb; each takes the options of `common`, too. Returns where others can be added."""
    subparsers = parser.add_subparsers(
        dest=DESTINATION, metavar="VERB", required=True, parser_class=argparse.ArgumentParser
    )
    groups: dict[str, Any] = {}
    for verb in VERBS:
        parent = subparsers
        if len(verb.words) == 2:
            if verb.words[0] not in groups:
                group = subparsers.add_parser(verb.words[0], help=GROUP_HELP[verb.words[0]])
                groups[verb.words[0]] = group.add_subparsers(dest=f"{DESTINATION}2", metavar="VERB", required=True)
            parent = groups[verb.words[0]]
        command = parent.add_parser(
            verb.words[-1],
            help=verb.help,
            description=verb.help,
            epilog=verb.details,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common],
        )
        _add_arguments(command, verb.arguments)
    return subparsers


def _add_arguments(parser: argparse.ArgumentParser, arguments: Iterable[Argument]) -> None:
    for argument in (*arguments, *PLACE_ARGUMENTS):
        if argument.positional:
            nargs = "*" if argument.many else "?"
            kind = ARGPARSE_TYPES[argument.takes]
            parser.add_argument(argument.key, nargs=nargs, type=kind, metavar=argument.help)
        elif argument.takes is Takes.NOTHING:
            parser.add_argument(f"--{argument.name}", dest=argument.key, action="store_true", help=argument.help)
        else:
            parser.add_argument(
                f"--{argument.name}",
                dest=argument.key,
                type=ARGPARSE_TYPES[argument.takes],
                metavar=argument.metavar or METAVAR[argument.takes],
                help=argument.help,
            )


def perform_parsed(options: Mapping[str, Any], known: Known) -> int:
    """Perform what argparse found."""
    words = tuple(_words(options))
    verb = next(verb for verb in VERBS if verb.words == words)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return run(verb, values, known)


def _words(options: Mapping[str, Any]) -> Iterator[str]:
    yield options[DESTINATION]
    if second := options.get(f"{DESTINATION}2"):
        yield second
