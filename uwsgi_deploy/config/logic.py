"""Conditions and loops of configuration files: which lines count, and how often. Looks at facts, changes nothing.

Every opener makes a block that holds until a closer, whatever the closer is called; blocks do not nest (as in uWSGI).
A line inside is used once for each item of its block with `%(_)` replaced by the item: no item when the condition is
false, the tested value when it is true, all items of a loop.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from uwsgi_deploy.config.expand import Usage
from uwsgi_deploy.config.facts import Facts
from uwsgi_deploy.config.known import is_built_in
from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.errors import ConfigError

CLOSERS = frozenset({"end", "endif", "end-if", "endfor", "end-for"})

Lookup = Callable[[str], str | None]
Test = Callable[["World", str], str | None]


@dataclass(frozen=True, slots=True)
class World:
    """What conditions may ask about: the machine, and the options read so far."""

    facts: Facts
    option: Lookup
    usage: Usage

    def path(self, name: str) -> str:
        return os.path.join(self.facts.cwd, name)


def _equals(lookup: Lookup, used: set[str], argument: str) -> str | None:
    """`NAME` is there, or `NAME=VALUE` is so."""
    name, equals, wanted = (part.strip() for part in argument.partition("="))
    used.add(name)
    value = lookup(name)
    return value if not equals or value == wanted else None


def _environment(world: World, argument: str) -> str | None:
    return _equals(world.facts.environ.get, world.usage.environment, argument)


def _option(world: World, argument: str) -> str | None:
    return _equals(world.option, world.usage.variables, argument)


def _path_test(test: Callable[[str], bool]) -> Test:
    return lambda world, argument: argument if test(world.path(argument)) else None


def _reloaded(world: World, _argument: str) -> str | None:
    return world.facts.environ.get("UWSGI_RELOADS")


def _hostname(world: World, argument: str) -> str | None:
    return argument if argument == world.facts.hostname else None


def _hostname_match(world: World, argument: str) -> str | None:
    return world.facts.hostname if re.search(argument, world.facts.hostname) else None


def _plugin(_world: World, argument: str) -> str | None:
    return argument if is_built_in(argument) else None


_TESTS: Mapping[str, Test] = {
    "env": _environment,
    "opt": _option,
    "exists": _path_test(os.path.exists),
    "file": _path_test(os.path.isfile),
    "dir": _path_test(os.path.isdir),
    "directory": _path_test(os.path.isdir),
    "reload": _reloaded,
    "hostname": _hostname,
    "hostname-match": _hostname_match,
    "plugin": _plugin,
}


def _items_if(test: Test) -> Callable[[World, str], list[str]]:
    def items(world: World, argument: str) -> list[str]:
        found = test(world, argument)
        return [] if found is None else [found]

    return items


def _items_unless(test: Test) -> Callable[[World, str], list[str]]:
    def items(world: World, argument: str) -> list[str]:
        return [argument] if test(world, argument) is None else []

    return items


def _glob(world: World, pattern: str) -> list[str]:
    """Directories get a slash, a pattern without a match stands for itself (glob's GLOB_MARK | GLOB_NOCHECK)."""
    found = sorted(glob.glob(world.path(pattern)))
    return [path + "/" if os.path.isdir(path) else path for path in found] or [pattern]


def _times(_world: World, argument: str) -> list[str]:
    if not argument.isdigit():
        raise ValueError("it needs a whole number")
    return [str(number) for number in range(1, int(argument) + 1)]


def _lines(world: World, argument: str) -> list[str]:
    with open(world.path(argument), encoding="utf-8", errors="surrogateescape") as file:
        return [line for line in (text.strip() for text in file) if line]


OPENERS: Mapping[str, Callable[[World, str], list[str]]] = {
    **{f"if-{name}": _items_if(test) for name, test in _TESTS.items()},
    **{f"if-not-{name}": _items_unless(test) for name, test in _TESTS.items() if name != "directory"},
    **{alias: _items_if(_TESTS[alias[2:]]) for alias in ("ifenv", "ifexists", "ifdir", "ifplugin")},
    "for": lambda _world, argument: argument.split(),
    "for-glob": _glob,
    "for-times": _times,
    "for-readline": _lines,
}
"""Each opener to the items of its block."""


@dataclass(frozen=True, slots=True)
class Block:
    """An open block."""

    opener: RawOption
    items: tuple[str, ...]

    def inverted(self) -> Block:
        """The `else` part of a condition."""
        return replace(self, items=() if self.items else (self.opener.text,))


@dataclass(slots=True)
class Logic:
    """The filter that the lines of one file pass, in order. `expand` resolves the references in an opener's value."""

    world: World
    expand: Callable[[str, str], str]
    block: Block | None = field(default=None, init=False)

    def lines(self, raw: RawOption) -> Iterator[RawOption]:
        """The options that `raw` stands for: none, itself, or one per item of a loop."""
        if raw.name in CLOSERS:
            self._close(raw)
        elif raw.name == "else":
            self._invert(raw)
        elif raw.name in OPENERS:
            self._open(raw)
        elif self.block is None:
            yield raw
        else:
            yield from (_with_item(raw, item) for item in self.block.items)

    def finish(self) -> None:
        """The file is over; a block that is still open is a mistake that would swallow lines."""
        if self.block is not None:
            opener = self.block.opener
            raise ConfigError(opener.origin, f"'{opener.name}' is never closed", hint="add 'endif ='")

    def _open(self, raw: RawOption) -> None:
        if self.block is not None:
            opener = self.block.opener
            raise ConfigError(
                raw.origin,
                f"'{raw.name}' inside of '{opener.name}' ({opener.origin}): blocks cannot be nested",
                hint="close the first one with 'endif =' before",
            )
        argument = self.expand(raw.value or "", raw.origin).strip()
        try:
            items = OPENERS[raw.name](self.world, argument)
        except (OSError, ValueError, re.error) as error:
            raise ConfigError(raw.origin, f"'{raw.name} = {argument}' cannot be evaluated: {error}") from error
        self.block = Block(replace(raw, value=argument), tuple(items))

    def _invert(self, raw: RawOption) -> None:
        if self.block is None or not self.block.opener.name.startswith("if"):
            raise ConfigError(raw.origin, "'else' without an 'if-...' before it")
        self.block = self.block.inverted()

    def _close(self, raw: RawOption) -> None:
        if self.block is None:
            raise ConfigError(raw.origin, f"'{raw.name}' closes nothing", hint="blocks begin with 'if-...' or 'for...'")
        self.block = None


def _with_item(raw: RawOption, item: str) -> RawOption:
    return raw if raw.value is None else replace(raw, value=raw.value.replace("%(_)", item))
