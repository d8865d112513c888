"""The command line as options, in the order they were given. Follows getopt's rules as uWSGI uses them.

`--name value`, `--name=value`, `-p 4`, `-p4`, clusters of short flags `-ML`; flags take a value only as
`--vacuum=false` (or `--no-vacuum`), so that `--vacuum app.ini` means what it says. Names cannot be abbreviated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from uwsgi_deploy.config.controls import CONTROLS_BY_NAME
from uwsgi_deploy.config.known import ALWAYS_SO, CONDITION_NAMES, PLUGIN_OPTIONS, SHORT_NOT_YET, not_available
from uwsgi_deploy.config.raw import COMMAND_LINE, RawOption
from uwsgi_deploy.config.schema import BY_NAME, Kind, OptionSpec, did_you_mean
from uwsgi_deploy.errors import ConfigError

_INI = re.compile(r".+\.ini(:.*)?|:\S+")
_OTHER_FORMAT = re.compile(r".+\.(?P<format>ya?ml|json|js|xml|toml)(:.*)?")
# `mysite.wsgi` is Django's module of that name; a file that is called so needs its directory: `./mysite.wsgi`.
_PYTHON_FILE = re.compile(r".+\.py|.*/.+\.wsgi")
_MODULE = re.compile(r"[^\W\d]\w*(\.\w+)*:\S.*|[^\W\d]\w*(\.\w+)+")
_MODE = re.compile(r"[0-7]{3,4}")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What the arguments say: the server's options, and everything that belongs to somebody else."""

    options: tuple[RawOption, ...]
    rest: tuple[str, ...]


def parse_arguments(arguments: list[str], *, foreign: Mapping[str, bool] | None = None) -> CommandLine:
    """Split the server's options from the rest. Raises ConfigError.

    foreign: options that belong to the caller (`--host`, `-h`), True for those that take a value. They win over the
    server's of the same spelling and stay in `rest`, as positional arguments do.
    """
    scanner = _Scanner(list(arguments), foreign or {})
    while scanner.waiting:
        scanner.step()
    return CommandLine(tuple(scanner.options), tuple(scanner.rest))


def positional_option(argument: str) -> RawOption:
    """What a positional argument of the plain command means: an ini file, a Python file or `module:callable`."""
    other = _OTHER_FORMAT.fullmatch(argument)
    if other:
        raise ConfigError(COMMAND_LINE, not_available(other["format"]))
    for name, pattern in (("ini", _INI), ("wsgi-file", _PYTHON_FILE), ("module", _MODULE)):
        if pattern.fullmatch(argument):
            return RawOption(name, argument, COMMAND_LINE)
    raise ConfigError(
        COMMAND_LINE,
        f"do not know what to do with '{argument}'",
        hint="expected FILE.ini, FILE.ini:section, FILE.py or MODULE:CALLABLE; a flag's value is written --flag=false",
    )


@dataclass(slots=True)
class _Scanner:
    """The arguments that wait, and what has been made of the others."""

    waiting: list[str]
    foreign: Mapping[str, bool]
    options: list[RawOption] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    def step(self) -> None:
        argument = self.waiting.pop(0)
        if argument == "--":
            self.rest += ["--", *self.waiting]
            self.waiting.clear()
        elif argument.partition("=")[0] in self.foreign:
            self._keep(argument)
        elif argument.startswith("--"):
            self._long(argument)
        elif argument.startswith("-") and len(argument) > 1:
            self._short(argument)
        else:
            self.rest.append(argument)

    def _keep(self, argument: str) -> None:
        self.rest.append(argument)
        name, equals, _value = argument.partition("=")
        if self.foreign[name] and not equals and self.waiting:
            self.rest.append(self.waiting.pop(0))

    def _keep_short(self, flag: str, attached: str) -> None:
        self.rest.append(flag + attached)
        if self.foreign[flag] and not attached and self.waiting:
            self.rest.append(self.waiting.pop(0))

    def _long(self, argument: str) -> None:
        name, equals, value = argument[2:].partition("=")
        self._option(f"--{name}", name, value if equals else None)

    def _short(self, argument: str) -> None:
        """`-p4`, `-p 4`, or several flags at once; the first that takes a value takes the rest of the argument."""
        flags = argument[1:]
        while flags:
            flag, flags = f"-{flags[0]}", flags[1:]
            if flag in self.foreign:
                self._keep_short(flag, flags)
                return
            if flags and self._takes_value(flag):
                self._option(flag, flag, flags)
                return
            self._option(flag, flag, None)

    def _option(self, written: str, name: str, value: str | None) -> None:
        negated = _negated_flag(name)
        if negated and value is None:
            self._add(negated, "false")
        elif value is None and self._takes_value(name):
            self._add(name, self._next_value(written, name))
        elif self._is_known(name):
            self._add(name, value)
        else:
            raise _unknown(written)

    def _add(self, name: str, value: str | None) -> None:
        self.options.append(RawOption(_long_name(name), value, COMMAND_LINE))

    def _is_known(self, name: str) -> bool:
        return name in BY_NAME or name in CONTROLS_BY_NAME or name in ALWAYS_SO or name in PLUGIN_OPTIONS

    def _takes_value(self, name: str) -> bool:
        if name in BY_NAME:
            return BY_NAME[name][0].takes_value
        if name in CONTROLS_BY_NAME:
            return bool(CONTROLS_BY_NAME[name].value_name)
        return name in PLUGIN_OPTIONS or (name in ALWAYS_SO and ALWAYS_SO[name].takes_value)

    def _next_value(self, written: str, name: str) -> str | None:
        spec = BY_NAME[name][0] if name in BY_NAME else None
        if spec is not None and spec.optional_value is not None:
            return self.waiting.pop(0) if self._fits_optional(spec) else None
        if not self.waiting:
            raise ConfigError(COMMAND_LINE, f"option '{written}' needs a value")
        return self.waiting.pop(0)

    def _fits_optional(self, spec: OptionSpec) -> bool:
        """`--chmod-socket 666 app.ini` and `--chmod-socket app.ini` both mean what they say."""
        return bool(self.waiting) and spec.kind is Kind.MODE and _MODE.fullmatch(self.waiting[0]) is not None


def _long_name(name: str) -> str:
    """The name that files know an option by: short flags exist on the command line only."""
    if name in CONTROLS_BY_NAME:
        return CONTROLS_BY_NAME[name].name
    if not name.startswith("-"):
        return name
    spec, inverse = BY_NAME[name]
    return spec.inverse[0] if inverse else spec.name


def _negated_flag(name: str) -> str | None:
    """The flag that `no-NAME` switches off."""
    if name in BY_NAME or not name.startswith("no-"):
        return None
    flag = name.removeprefix("no-")
    return flag if flag in BY_NAME and BY_NAME[flag][0].kind is Kind.FLAG else None


def _unknown(written: str) -> ConfigError:
    """The error for an option that cannot be given on the command line, with the reason if there is one."""
    name = SHORT_NOT_YET.get(written, written.removeprefix("--"))
    if name in CONDITION_NAMES:
        return ConfigError(COMMAND_LINE, f"'{name}' works in configuration files only")
    reason = not_available(name)
    if reason:
        return ConfigError(COMMAND_LINE, reason)
    hint = did_you_mean(name, prefix="--") if written.startswith("--") else ""
    return ConfigError(COMMAND_LINE, f"unknown option '{written}'", hint=hint)
