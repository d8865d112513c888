"""Reports as the admin shows them: lines of the list, sections of the page of one. Pure; escapes nothing, templates do.

A report is read as the JSON that it is (docs/harakiri-report.md): what an older or newer server left out or added is
left out or shown as it is, and never an error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Report = Mapping[str, Any]

KINDS = {"soft": "slow", "deadline": "out of time", "hard": "stuck"}
OUTCOMES = {
    "continues": "went on",
    "answered_504": "answered with 504",
    "cut": "response cut off",
    "killed": "worker killed",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A report in the list. at: None where its time cannot be read; repeats: reports of the same place so far."""

    id: str
    at: datetime | None
    kind: str
    outcome: str
    request: str
    route: str
    culprit: str
    elapsed: float
    worker: str
    repeats: int

    @property
    def kind_text(self) -> str:
        return KINDS.get(self.kind, self.kind)


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that the list can be narrowed down to, and how many reports have it."""

    value: str
    text: str
    count: int


@dataclass(frozen=True, slots=True)
class FrameLine:
    """A line of a stack. place: short for `path`; in_app: the project's own code; culprit: the line to blame."""

    place: str
    path: str
    function: str
    code: str
    in_app: bool
    culprit: bool


@dataclass(frozen=True, slots=True)
class StackText:
    """What another thread or greenlet did, or several that did the same."""

    title: str
    frames: tuple[FrameLine, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Names and values under a title."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One report."""

    line: Line
    title: str
    hint: str
    summary: Section
    stack: tuple[FrameLine, ...]
    others: tuple[StackText, ...]
    calls: tuple[Section, ...]
    sections: tuple[Section, ...]


# --- the list ---------------------------------------------------------------------------------------------------------


def line_of(report: Report) -> Line:
    """The report in one line."""
    request, timing, worker = (_part(report, name) for name in ("request", "timing", "worker"))
    return Line(
        id=_text(report.get("id")),
        at=_time(report.get("time")),
        kind=_text(report.get("kind")),
        outcome=_outcome(report),
        request=f"{_text(request.get('method'))} {_text(request.get('path'))}".strip(),
        route=_text(request.get("route")) or _text(request.get("path")),
        culprit=_culprit(report),
        elapsed=_number(timing.get("elapsed")),
        worker=_text(worker.get("id")),
        repeats=int(_number(_part(report, "repeats").get("count"))),
    )


def matches(report: Report, line: Line, *, kind: str, route: str, words: str) -> bool:
    """Whether the list shows it: of this kind, of this route, and with all these words somewhere in it."""
    if (kind and line.kind != kind) or (route and line.route != route):
        return False
    request, hint = _part(report, "request"), _text(report.get("hint"))
    names = (_text(request.get(name)) for name in ("view", "url_name", "id", "client"))
    place = "\n".join((line.id, line.request, line.route, line.culprit, line.outcome, hint, *names)).lower()
    return all(word in place for word in words.lower().split())


def choices(values: Iterable[str], names: Mapping[str, str] | None = None) -> list[Choice]:
    """The values that there are, the most frequent first."""
    return [Choice(value, (names or {}).get(value, value), count) for value, count in Counter(values).most_common()]


# --- a page -----------------------------------------------------------------------------------------------------------

# Parts of a report that have a place of their own on the page.
PLACED = {"schema", "id", "time", "kind", "outcome", "hint", "stack", "culprit", "waiting_on", "other_threads"}
CALLS = ("db", "calls")
FIRST = ("request", "timing", "repeats", "concurrency")
"""Parts that are read most; the others follow as they stand in the report."""
TITLES = {"db": "Databases", "concurrency": "Other requests"}
# The server's own packages may be installed in place.
LIBRARIES = re.compile(r"^.*/(?:(?:site|dist)-packages|lib/python3\.\d+)/|^.*/(?=(?:uwsgi_deploy|django_integration)/)")
EMPTY: tuple[object, ...] = (None, "", [], {})


def page_of(report: Report) -> Page:
    """All of a report."""
    line = line_of(report)
    culprit = report.get("culprit")
    return Page(
        line=line,
        title=f"{line.request} ran for {line.elapsed:.1f} s",
        hint=_text(report.get("hint")),
        summary=Section("Summary", tuple(_summary(report, line))),
        stack=tuple(_frames(report.get("stack"), culprit)),
        others=tuple(_others(report)),
        calls=tuple(_sections(report, CALLS)),
        sections=tuple(_sections(report, FIRST)),
    )


def _summary(report: Report, line: Line) -> Iterator[tuple[str, str]]:
    request, timing = _part(report, "request"), _part(report, "timing")
    yield "Kind", f"{line.kind_text} ({line.kind})"
    yield "Outcome", line.outcome
    for name, value in (
        ("View", request.get("view")),
        ("Waits on", _waiting(report.get("waiting_on"))),
        ("Culprit", line.culprit),
    ):
        if value:
            yield name, _text(value)
    limit = _number(timing.get("limit"))
    if limit:
        yield "Limit", f"{limit:g} s ({_text(timing.get('limit_origin'))})"


def _sections(report: Report, chosen: tuple[str, ...]) -> Iterator[Section]:
    """The chosen parts; after the first ones, what has no place of its own."""
    names = [name for name in chosen if name in report]
    if chosen is FIRST:
        names += [name for name in report if name not in (*PLACED, *CALLS, *FIRST)]
    for name in names:
        rows = tuple(_rows(name, report[name]))
        if rows:
            yield Section(TITLES.get(name, _label(name)), rows)


def _rows(name: str, part: object) -> Iterator[tuple[str, str]]:
    """A part of a report as names and values."""
    if isinstance(part, Mapping) and name in SHAPES:
        yield from SHAPES[name](part)
    elif isinstance(part, Mapping):
        yield from ((_label(str(key)), _shown(value)) for key, value in part.items() if value not in EMPTY)
    elif part not in EMPTY:
        yield _label(name), _shown(part)


def _database(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _kind_of_calls("queries", part)
    last = part.get("last")
    if isinstance(last, Mapping):
        yield "Last one", _call(last)


def _calls(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, calls in part.items():
        if isinstance(calls, Mapping):
            yield from _kind_of_calls(f"{kind} calls", calls)


def _kind_of_calls(name: str, part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    running = part.get("running")
    for call in running if isinstance(running, list) else []:
        if isinstance(call, Mapping):
            yield "Running", _call(call)
    count = _number(part.get("count"))
    if count:
        yield f"Ended {name}", f"{count:g} in {_number(part.get('spent')):.3f} s"


def _call(call: Mapping[str, Any]) -> str:
    seconds = call.get("elapsed")
    duration = "" if seconds is None else f" for {_number(seconds):.3f} s"
    return f"{_text(call.get('target'))}{duration}: {_text(call.get('text'))}"


def _concurrency(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Busy", f"{_text(part.get('busy'))} of {_text(part.get('cores'))} cores, with this request"
    others = part.get("in_flight")
    for other in others if isinstance(others, list) else []:
        if isinstance(other, Mapping):
            place = f"Worker {_text(other.get('worker'))}, core {_text(other.get('core'))}"
            yield place, f"{_text(other.get('method'))} {_text(other.get('uri'))} for {_number(other.get('age')):.1f} s"


def _config(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, option in part.items():
        if isinstance(option, Mapping) and option.get("value") not in EMPTY:
            yield name, f"{_shown(option['value'])} ({_text(option.get('origin'))})"


SHAPES = {"db": _database, "calls": _calls, "concurrency": _concurrency, "config": _config}
"""Parts that are more than names and values."""


def _frames(frames: object, culprit: object = None) -> Iterator[FrameLine]:
    for frame in frames if isinstance(frames, list) else []:
        if isinstance(frame, Mapping):
            blamed = isinstance(culprit, Mapping) and all(frame.get(key) == culprit.get(key) for key in _PLACE)
            yield FrameLine(
                place=f"{_short(_text(frame.get('file')))}:{_text(frame.get('line'))}",
                path=_text(frame.get("file")),
                function=_text(frame.get("function")),
                code=_text(frame.get("code")).strip(),
                in_app=bool(frame.get("in_app")),
                culprit=blamed,
            )


_PLACE = ("file", "line", "function")


def _others(report: Report) -> Iterator[StackText]:
    stacks = report.get("other_threads")
    for stack in stacks if isinstance(stacks, list) else []:
        if isinstance(stack, Mapping):
            count, names = int(_number(stack.get("count"))), stack.get("names")
            title = "; ".join(map(_text, names)) if isinstance(names, list) else _text(stack.get("name"))
            yield StackText(f"{count}: {title}" if count > 1 else title, tuple(_frames(stack.get("frames"))))


# --- values -----------------------------------------------------------------------------------------------------------


def _short(path: str) -> str:
    """A library's file as the library calls it."""
    return LIBRARIES.sub("", path)


def _part(report: Report, name: str) -> Mapping[str, Any]:
    value = report.get(name)
    return value if isinstance(value, Mapping) else {}


def _culprit(report: Report) -> str:
    culprit = report.get("culprit")
    if not isinstance(culprit, Mapping):
        return _text(culprit)
    path = _text(culprit.get("file")).split("/")
    return f"{_text(culprit.get('function'))} ({'/'.join(path[-2:])}:{_text(culprit.get('line'))})"


def _waiting(waiting: object) -> str:
    """What the request waits for, in a few words."""
    if not isinstance(waiting, Mapping):
        return _shown(waiting)
    kind, target, place = (_text(waiting.get(name)) for name in ("kind", "target", "place"))
    seconds = _number(waiting.get("seconds"))
    duration = f" for {seconds:.1f} s" if seconds else ""
    return f"{kind} {target}".strip() + duration + (f": {place}" if place else "")


def _outcome(report: Report) -> str:
    outcome = _text(report.get("outcome"))
    return OUTCOMES.get(outcome, outcome.replace("_", " "))


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(_text(value))
    except ValueError:
        return None


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _shown(value: object) -> str:
    """A value in a line of text."""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(key).replace('_', ' ')}: {_shown(item)}" for key, item in value.items() if item is not None
        )
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return _text(value)
