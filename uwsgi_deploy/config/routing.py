"""Internal routing: the values of `route` and its kin as chains of rules. Pure; every mistake names its place.

    route = REGEXP ACTION:ARGUMENT          searched in PATH_INFO; route-host, route-uri ... in other variables
    route-if = CONDITION:ARGUMENTS ACTION:ARGUMENT
    route-run = ACTION:ARGUMENT
    route-label = NAME

The text up to the first blank is the test, all behind it the action, as in uWSGI. Loaded only where rules are set.
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.routing_actions import ACTIONS, NOT_NEEDED, REFUSED_ACTIONS, REQUEST, Family
from uwsgi_deploy.config.routing_text import Text, as_bytes_text, near, text_of
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.types import Placed

SUBJECTS: Mapping[str, str] = {
    "": "PATH_INFO",
    "host": "HTTP_HOST",
    "uri": "REQUEST_URI",
    "qs": "QUERY_STRING",
    "remote-addr": "REMOTE_ADDR",
    "user-agent": "HTTP_USER_AGENT",
    "remote-user": "REMOTE_USER",
    "referer": "HTTP_REFERER",
}
"""What follows the family in an option's name, to the request variable that is looked at."""

CONDITIONS: Mapping[str, str] = {
    **{name: name for name in ("exists", "isfile", "isdir", "islink", "isexec", "empty")},
    **dict.fromkeys(("equal", "isequal", "eq", "=="), "equal"),
    **{name: name for name in ("startswith", "endswith", "ipv4in", "ipv6in")},
    **dict.fromkeys(("contains", "contain"), "contains"),
    **dict.fromkeys(("regexp", "re"), "regexp"),
    **dict.fromkeys(("ishigher", ">"), "ishigher"),
    **dict.fromkeys(("islower", "<"), "islower"),
    **dict.fromkeys(("ishigherequal", ">="), "ishigherequal"),
    **dict.fromkeys(("islowerequal", "<="), "islowerequal"),
}
"""Names of conditions to the one that they are here."""
SINGLE = frozenset({"exists", "isfile", "isdir", "islink", "isexec", "empty"})
"""Conditions about one text; all others compare two, with a semicolon between them."""
_REFUSED_CONDITIONS = {"lord": "there are no legions here", "incache": "this server has no cache"}

_NO_REPETITION = re.compile(r"\{,\d+\}")
_STATUS = re.compile(r"(?P<code>[1-5][0-9]{2})|(?P<hundred>[1-5])xx")


@dataclass(frozen=True, slots=True)
class Always:
    """`route-run`."""


@dataclass(frozen=True, slots=True)
class Search:
    """A regular expression that is searched in a request variable."""

    variable: str
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class StatusIn:
    """The response's status lies between these, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Condition:
    """`route-if`, or `route-if-not`. pattern: of regexp; network: of ipv4in and ipv6in."""

    name: str
    operands: tuple[Text, ...]
    negated: bool
    pattern: re.Pattern[str] | None = None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None


Test: TypeAlias = Always | Search | StatusIn | Condition


@dataclass(frozen=True, slots=True)
class Rule:
    """If the test holds, do the action. words, texts: what `routing_actions` says of its argument."""

    raw: RawOption
    test: Test
    action: str
    words: tuple[str, ...] = ()
    texts: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """The rules of a family in their order, and for each label the number of the rule that follows it."""

    rules: tuple[Rule, ...]
    labels: Mapping[str, int]


def chains_of(routes: Placed) -> dict[Family, Chain]:
    """The chains that are written, by family. Raises ConfigError with the place of the rule that is wrong."""
    written: dict[Family, list[RawOption]] = {}
    for raw in _raw(routes):
        written.setdefault(_split_name(raw.name)[0], []).append(raw)
    return {family: _chain(family, raws) for family, raws in written.items()}


def notes_about(routes: Placed) -> Iterator[str]:
    """Sentences about rules that are understood and need not be there."""
    for raw in _raw(routes):
        _, kind = _split_name(raw.name)
        name = _action_text(kind, raw.text).partition(":")[0]
        if name in NOT_NEEDED and kind != "label":
            yield f"{raw.origin}: '{raw.name}': '{name}' is not needed: {NOT_NEEDED[name]}"


def _raw(routes: Placed) -> Iterator[RawOption]:
    return (RawOption(*placed) for placed in routes)


def _split_name(option: str) -> tuple[Family, str]:
    """The family of an option and what follows it in the option's name: `error-route-host` is ERROR and `host`."""
    family = next(family for family in Family if option == family.value or option.startswith(f"{family.value}-"))
    return family, option.removeprefix(family.value).removeprefix("-")


def _action_text(kind: str, value: str) -> str:
    if kind == "run":
        return value.strip()
    _, *rest = value.split(None, 1)
    return rest[0] if rest else ""


def _chain(family: Family, raws: list[RawOption]) -> Chain:
    rules: list[Rule] = []
    labels: dict[str, int] = {}
    for raw in raws:
        try:
            _, kind = _split_name(raw.name)
            if kind == "label":
                label = as_bytes_text(raw.text.strip())
                if label in labels:
                    raise ValueError(f"'{raw.text}' is a label already")
                labels[label] = len(rules)
            elif (rule := _rule(family, kind, raw)) is not None:
                rules.append(rule)
        except ValueError as error:
            raise _mistake(raw, str(error)) from None
    for number, rule in enumerate(rules):
        _check_place(number, rule, rules, labels)
    return Chain(tuple(rules), labels)


def _mistake(raw: RawOption, message: str) -> ConfigError:
    return ConfigError(raw.origin, f"'{raw.name}': {message}")


def _check_place(number: int, rule: Rule, rules: list[Rule], labels: Mapping[str, int]) -> None:
    """Raise for what is wrong only because of the rules around it."""
    if rule.action == "basicauth-next" and all(other.action != "basicauth" for other in rules[number + 1 :]):
        raise _mistake(rule.raw, "'basicauth-next' lets everybody in unless a 'basicauth' follows it")
    if rule.action != "goto" or (label := rule.texts[0].constant) is None:
        return
    if label not in labels:
        raise _mistake(rule.raw, f"'goto' leads to no label: there is no '{label}'{near(label, labels)}")
    if labels[label] <= number:
        raise _mistake(rule.raw, f"'goto' leads forward only, and the label '{label}' comes before it")


def _rule(family: Family, kind: str, raw: RawOption) -> Rule | None:
    """A rule; None for one whose action is not needed."""
    action_text = _action_text(kind, raw.text)
    if not action_text:
        raise ValueError(f"needs a test, a blank and ACTION:ARGUMENT, not '{raw.text}'")
    test = Always() if kind == "run" else _test(kind, raw.text.split(None, 1)[0])
    name, _, argument = action_text.partition(":")
    if name in NOT_NEEDED:
        return None
    if name in REFUSED_ACTIONS:
        raise ValueError(f"the action '{name}' is refused: {REFUSED_ACTIONS[name]}")
    if name not in ACTIONS:
        raise ValueError(f"there is no action '{name}'{near(name, ACTIONS)}")
    spec = ACTIONS[name]
    _check_family(family, name, argument)
    try:
        words, texts = spec.read(argument)
        groups = _groups(test)
        return Rule(raw, test, name, words, tuple(text_of(text, groups) for text in texts))
    except ValueError as error:
        raise ValueError(f"'{name}' {error}" if not str(error).startswith("'$") else str(error)) from None


def _check_family(family: Family, name: str, argument: str) -> None:
    """Raise where an action comes too late, or too early."""
    if name == "break" and argument and family not in ACTIONS["return"].families:
        raise ValueError("'break' with a status comes too late here: the response is there")
    if family not in ACTIONS[name].families:
        when = "early" if family is REQUEST else "late"
        others = ", ".join(other.value for other in Family if other in ACTIONS[name].families)
        raise ValueError(f"'{name}' comes too {when} here, it can be used in {others}")


def _groups(test: Test) -> int | None:
    pattern = test.pattern if isinstance(test, Search | Condition) else None
    return None if pattern is None else pattern.groups


def _test(kind: str, text: str) -> Test:
    if kind in SUBJECTS:
        return Search(SUBJECTS[kind], _regexp(text))
    if kind == "status":
        match = _STATUS.fullmatch(text)
        if match is None:
            raise ValueError(f"needs a status such as 404 or 5xx, not '{text}'")
        if match["code"]:
            return StatusIn(int(match["code"]), int(match["code"]))
        hundred = int(match["hundred"]) * 100
        return StatusIn(hundred, hundred + 99)
    return _condition(text, negated=kind == "if-not")


def _condition(text: str, *, negated: bool) -> Condition:
    written, colon, arguments = text.partition(":")
    if written in _REFUSED_CONDITIONS:
        raise ValueError(f"the condition '{written}' is refused: {_REFUSED_CONDITIONS[written]}")
    if not colon or written not in CONDITIONS:
        raise ValueError(f"there is no condition '{written}'{near(written, CONDITIONS)}")
    name = CONDITIONS[written]
    if name in SINGLE:
        return Condition(name, (text_of(arguments, None),), negated)
    subject, semicolon, other = arguments.partition(";")
    if not semicolon:
        raise ValueError(f"'{written}' needs two texts with a semicolon between them, not '{arguments}'")
    first = text_of(subject, None)
    if name == "regexp":
        return Condition(name, (first,), negated, pattern=_regexp(other))
    if name in ("ipv4in", "ipv6in"):
        return Condition(name, (first,), negated, network=_network(name, other))
    return Condition(name, (first, text_of(other, None)), negated)


def _network(name: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    kind = ipaddress.IPv4Network if name == "ipv4in" else ipaddress.IPv6Network
    try:
        return kind(text.replace("[", "").replace("]", ""), strict=False)
    except ValueError as error:
        raise ValueError(f"'{name}' needs a network such as 10.0.0.0/8: {error}") from None


def _regexp(text: str) -> re.Pattern[str]:
    """As PCRE reads bytes: `\\d` and `\\w` are ASCII. What Python would read otherwise than PCRE is refused."""
    if strange := _NO_REPETITION.search(text):
        raise ValueError(f"'{text}' means something else in PCRE: write {{0{strange[0][1:]} for '{strange[0]}'")
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            return re.compile(as_bytes_text(text), re.ASCII)
        except re.error as error:
            raise ValueError(f"'{text}' is no regular expression: {error}") from None
        except FutureWarning as warning:
            raise ValueError(f"'{text}' means something else in PCRE: {warning}") from None
