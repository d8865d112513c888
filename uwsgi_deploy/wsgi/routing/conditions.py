"""The conditions of `route-if` as functions of the request, and the other tests of rules."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, TypeAlias

from uwsgi_deploy.config.routing import Condition, Rule, Search, StatusIn
from uwsgi_deploy.wsgi.routing.chain import Act, Step, Test, Visit, find
from uwsgi_deploy.wsgi.routing.text import Render, Surroundings, number, renderer

Make: TypeAlias = Callable[[Condition, list[Render]], Test]


def step_of(rule: Rule, act: Act, around: Surroundings) -> Step:
    """A rule as functions."""
    test = rule.test
    if isinstance(test, Search):
        return Step(test.variable, test.pattern.search, None, act)
    if isinstance(test, StatusIn):
        first, last = test.first, test.last
        return Step("", None, lambda visit: first <= visit.status <= last, act)
    if isinstance(test, Condition):
        return Step("", None, _condition(test, around), act)
    return Step("", None, None, act)


def _condition(condition: Condition, around: Surroundings) -> Test:
    holds = CONDITIONS[condition.name](condition, [renderer(operand, around) for operand in condition.operands])
    if condition.negated:
        return lambda visit: not holds(visit)
    return holds


def _about_file(check: Callable[[str], bool]) -> Make:
    def make(_condition: Condition, operands: list[Render]) -> Test:
        (subject,) = operands

        def holds(visit: Visit) -> bool:
            path = subject(visit)
            # Request variables are bytes as Latin-1; with a NUL there is no such file.
            return "\0" not in path and check(os.fsdecode(path.encode("latin-1", "replace")))

        return holds

    return make


def _about_text(check: Callable[[str, str], bool]) -> Make:
    def make(_condition: Condition, operands: list[Render]) -> Test:
        left, right = operands
        return lambda visit: check(left(visit), right(visit))

    return make


def _about_numbers(check: Callable[[int, int], bool]) -> Make:
    return _about_text(lambda left, right: check(number(left), number(right)))


def _empty(_condition: Condition, operands: list[Render]) -> Test:
    (subject,) = operands
    return lambda visit: not subject(visit)


def _regexp(condition: Condition, operands: list[Render]) -> Test:
    (subject,) = operands
    assert condition.pattern is not None
    search = condition.pattern.search
    return lambda visit: find(search, subject(visit))


def _in_network(condition: Condition, operands: list[Render]) -> Test:
    (subject,) = operands
    network: Any = condition.network

    def holds(visit: Visit) -> bool:
        try:
            address = ip_address(subject(visit).strip("[]"))
        except ValueError:
            return False
        if address.version == 6 and network.version == 4 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # how a client of an IPv6 socket has an IPv4 address
        return address.version == network.version and address in network

    return holds


CONDITIONS: Mapping[str, Make] = {
    "exists": _about_file(os.path.exists),
    "isfile": _about_file(os.path.isfile),
    "isdir": _about_file(os.path.isdir),
    "islink": _about_file(os.path.islink),
    "isexec": _about_file(lambda path: os.access(path, os.X_OK)),
    "empty": _empty,
    "equal": _about_text(str.__eq__),
    "startswith": _about_text(str.startswith),
    "endswith": _about_text(str.endswith),
    "contains": _about_text(str.__contains__),
    "regexp": _regexp,
    "ishigher": _about_numbers(int.__gt__),
    "islower": _about_numbers(int.__lt__),
    "ishigherequal": _about_numbers(int.__ge__),
    "islowerequal": _about_numbers(int.__le__),
    "ipv4in": _in_network,
    "ipv6in": _in_network,
}
"""Name, as `config.routing.CONDITIONS` has it, to what makes its function."""
