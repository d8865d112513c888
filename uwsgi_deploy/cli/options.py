"""The server's options for click, generated from the schema, in groups.

A command of class `ServerCommand` takes all of them besides its own parameters, with uWSGI's spelling (`-p4`,
`--vacuum=false`, repeated, in any order) and its errors:

    command = ServerCommand("run", params=[host, port, *click_options(without={"-h", "-p"})], callback=serve)

A command that cannot be of this class calls `take_options` in its `parse_args` and `format_groups` in its
`format_options`, or is content with click's own parsing of `click_options()`. In each case
`server_arguments(click.get_current_context())` gives back what was set as arguments for the server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import click

from uwsgi_deploy.cli import help_texts
from uwsgi_deploy.config.controls import CONTROLS, Control
from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption
from uwsgi_deploy.config.schema import OPTIONS, Kind, OptionSpec
from uwsgi_deploy.config.sources.argv import parse_arguments
from uwsgi_deploy.errors import ConfigError

META = "uwsgi_deploy.options"

SHOWN: tuple[OptionSpec | Control, ...] = (*CONTROLS, *OPTIONS)


class ServerOption(click.Option):
    """One option of the server in click's terms. What is given lands in the context, not in parameters.

    alias: its only name here, where the option's names mean different things; help shows it with the option.
    """

    def __init__(self, option: OptionSpec | Control, declarations: Sequence[str], *, alias: str = "") -> None:
        takes_value = bool(help_texts.value_name(option))
        super().__init__(
            [f"server_{(alias or option.name).replace('-', '_')}", *declarations],
            is_flag=not takes_value,
            multiple=takes_value,
            type=str if takes_value else bool,
            default=None,
            expose_value=False,
            callback=_remember,
            help=option.help,
            hidden=bool(alias),
        )
        self.option, self.alias = option, alias

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:  # noqa: ARG002  click's signature
        """The short flags and the first name; other names are in the text."""
        if self.alias:
            return None
        available = (*self.opts, *self.secondary_opts)
        names = [name for name in (*self.option.short_flags, f"--{self.option.name}") if name in available]
        left = ", ".join(names or available)
        if isinstance(self.option, OptionSpec) and help_texts.switches_off(self.option):
            short = [name for name in self.option.inverse if name in available and name in SHORT_INVERSE]
            left += " / " + ", ".join([*short, help_texts.switches_off(self.option)])
        return f"{left} {help_texts.value_name(self.option)}".rstrip(), help_texts.describe(self.option)


SHORT_INVERSE = frozenset(name for spec in OPTIONS for name in spec.inverse if name.startswith("-"))


def _remember(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...] | bool | None) -> None:
    """Keep what click parsed, for commands that let it."""
    if not isinstance(parameter, ServerOption) or value is None or value == ():
        return
    texts = ("true" if value else "false",) if isinstance(value, bool) else value
    given = tuple(RawOption(parameter.alias or parameter.option.name, text, COMMAND_LINE) for text in texts)
    ctx.meta[META] = (*server_options(ctx), *given)


def click_options(*, without: Collection[str] = ()) -> list[click.Option]:
    """All options of the server; `without` are spellings that the command uses for itself (`-h`, `--host`)."""
    return [option for shown in SHOWN for option in _options_of(shown, without)]


def _options_of(option: OptionSpec | Control, without: Collection[str]) -> Iterator[ServerOption]:
    if isinstance(option, OptionSpec) and option.distinct:
        yield ServerOption(option, [f"--{option.name}"])
        yield from (ServerOption(option, [f"--{alias}"], alias=alias) for alias in option.aliases)
    elif declarations := list(_declarations(option, without)):
        yield ServerOption(option, declarations)


def _declarations(option: OptionSpec | Control, without: Collection[str]) -> Iterator[str]:
    """click's notation: names that set, and behind a slash names that unset."""
    yield from (name for name in positive_names(option) if name not in without)
    if isinstance(option, OptionSpec):
        yield from (f" /{name}" for name in negative_names(option) if name not in without)


def positive_names(option: OptionSpec | Control) -> list[str]:
    """Every spelling on the command line that sets the option."""
    return [f"--{option.name}", *(f"--{alias}" for alias in option.aliases), *option.short_flags]


def negative_names(option: OptionSpec) -> list[str]:
    """Every spelling on the command line that switches a flag off."""
    names = [name if name.startswith("-") else f"--{name}" for name in option.inverse]
    if option.kind is Kind.FLAG and not option.always and not option.name.startswith("no-"):
        names.append(f"--no-{option.name}")
    return list(dict.fromkeys(names))


class ServerCommand(click.Command):
    """A click command that also takes every option of the server."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the server's options out and let click have the rest."""
        return super().parse_args(ctx, take_options(ctx, args, self.get_params(ctx)))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options first, then a group for each section."""
        format_groups(ctx, formatter, self.get_params(ctx))


def take_options(ctx: click.Context, arguments: Sequence[str], parameters: Iterable[click.Parameter]) -> list[str]:
    """Keep the server's options in the context and return the other arguments. Raises click.ClickException.

    Options among `parameters` that are not the server's are the command's own, and win over the server's spellings.
    """
    own = {
        name: not (parameter.is_flag or parameter.count)
        for parameter in parameters
        if isinstance(parameter, click.Option) and not isinstance(parameter, ServerOption)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    try:
        parsed = parse_arguments(list(arguments), foreign=own)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    ctx.meta[META] = parsed.options
    return list(parsed.rest)


def server_options(ctx: click.Context) -> tuple[RawOption, ...]:
    """The server's options that were given on the command line, in order."""
    options: tuple[RawOption, ...] = ctx.meta.get(META, ())
    return options


def server_arguments(ctx: click.Context) -> list[str]:
    """The same as command-line arguments for the server."""
    return arguments_of(server_options(ctx))


def arguments_of(options: Iterable[RawOption]) -> list[str]:
    """Options as command-line arguments that mean the same."""
    return [f"--{raw.name}" if raw.value is None else f"--{raw.name}={raw.value}" for raw in options]


def format_groups(ctx: click.Context, formatter: click.HelpFormatter, parameters: Iterable[click.Parameter]) -> None:
    """Write the options of a command: its own first, then the server's by section."""
    options = [parameter for parameter in parameters if isinstance(parameter, click.Option)]
    groups: dict[str, list[click.Option]] = {"Options": []}
    for option in options:
        groups.setdefault(_title(option), []).append(option)
    for title, members in groups.items():
        records = [record for member in members if (record := member.get_help_record(ctx)) is not None]
        if records:
            with formatter.section(title):
                formatter.write_dl(records, col_max=34)


def _title(parameter: click.Option) -> str:
    if not isinstance(parameter, ServerOption):
        return "Options"
    option = parameter.option
    return help_texts.title(option.section) if isinstance(option, OptionSpec) else help_texts.CONFIGURATION_TITLE
