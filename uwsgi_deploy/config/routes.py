"""`harakiri-routes`: limits of some requests, by path or by what the framework calls them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf

from uwsgi_deploy.types import SECONDS

_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", re.IGNORECASE)
_NO_LIMIT = frozenset({"off", "no", "none"})


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """Limits in seconds, inf for none. paths: regular expressions that are matched at the beginning of the path, in
    their order. names: routes, URL names, endpoints."""

    paths: tuple[tuple[re.Pattern[str], float], ...]
    names: Mapping[str, float]

    def of_path(self, path: str) -> tuple[float, str] | None:
        """The limit of a path and the pattern that gave it; None when nothing is said about it."""
        for pattern, limit in self.paths:
            if pattern.match(path):
                return limit, pattern.pattern
        return None

    @property
    def shortest(self) -> float:
        """The shortest limit; inf when there is none."""
        return min((limit for _, limit in self.paths), default=inf)


def routes_of(values: Iterable[str]) -> RouteLimits:
    """Read values of `harakiri-routes`. Raises ValueError with a sentence."""
    paths: list[tuple[re.Pattern[str], float]] = []
    names: dict[str, float] = {}
    for value in values:
        pattern, equals, text = (part.strip() for part in value.rpartition("="))
        if not equals or not pattern:
            raise ValueError(f"needs PATTERN=SECONDS or PATTERN=off, not '{value}'")
        limit = _limit(text)
        if limit is None:
            raise ValueError(f"the limit must be seconds, a time such as 2m, or off, not '{text}'")
        if not pattern.startswith("^"):
            names.setdefault(pattern, limit)
            continue
        try:
            paths.append((re.compile(pattern), limit))
        except re.error as error:
            raise ValueError(f"'{pattern}' is no regular expression: {error}") from None
    return RouteLimits(tuple(paths), names)


def _limit(text: str) -> float | None:
    if text.lower() in _NO_LIMIT:
        return inf
    match = _TIME.fullmatch(text)
    factor = {"": 1.0, **dict(SECONDS.suffixes)}.get(match[2].lower()) if match else None
    return float(match[1]) * factor or inf if match and factor is not None else None
