"""Wire cases: what a client sends and what a server must answer, read from the TOML files beside this module.

A file holds `[server] options = […]`, the options its server is started with, and one `[[case]]` per exchange:

    name, why         the name is the test's id; why cites the rule, where it is not obvious
    line, fields, content, host
                      the request: line (GET /x HTTP/1.1 unless given), header lines, body; `host = false`: no Host
    request           or the request as it is: a string, or a list of strings and { repeat = "a", times = 1000 }
    variables, modifier1, cut, raw
                      or a packet of the uwsgi protocol: variables beyond nginx's; its first `cut` bytes; or hexadecimal
    status …          the answer; `[[case.answer]]` tables instead where there are several (see `Answer`)
    closed            the server must close after the last answer, and take nothing that follows for a request
    or_close          the server may close instead of answering
    feeds             how it is sent: "whole", "bytes" (a byte at a time), "trailing" (with another request behind it)

Text is Latin-1: one character is one byte.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tests.conformance.wire import nginx_variables, packet

DIRECTORY = Path(__file__).parent / "cases"
FEEDS = ("whole", "bytes", "trailing")


@dataclass(frozen=True, slots=True)
class Answer:
    """One expected response. Fields that a case does not name are not looked at."""

    status: int | list[int]
    reason: str | None = None
    body: str | None = None
    framing: str | None = None
    whole: bool = True
    application: bool | None = None
    """Whether the application made it (true) or the server itself (false)."""
    headers: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    environ: Mapping[str, Any] = field(default_factory=dict)
    environ_absent: tuple[str, ...] = ()
    method: str = "GET"

    @property
    def statuses(self) -> tuple[int, ...]:
        return (self.status,) if isinstance(self.status, int) else tuple(self.status)


@dataclass(frozen=True, slots=True)
class Case:
    """One exchange on one connection."""

    name: str
    request: bytes
    protocol: str
    answers: tuple[Answer, ...]
    closed: bool
    or_close: bool
    ends: bool
    """The client stops sending after the request (half-close)."""
    feeds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CaseFile:
    """The cases of one file, and the options of the server they are for."""

    name: str
    options: tuple[str, ...]
    cases: tuple[Case, ...]


ANSWER_KEYS = {item.name for item in fields(Answer)}
CASE_KEYS = {
    *("name", "why", "line", "fields", "content", "host", "request", "variables", "target", "modifier1", "cut", "raw"),
    *("answer", "closed", "or_close", "ends", "feeds"),
}


def load() -> Iterator[CaseFile]:
    """Every case file; a key that means nothing is an error, so that no expectation is lost to a misspelling."""
    for path in sorted(DIRECTORY.glob("*.toml")):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        cases = tuple(_case(table, path.name) for table in document["case"])
        names = [case.name for case in cases]
        if len(set(names)) != len(names):
            raise ValueError(f"{path.name}: two cases have the same name")
        yield CaseFile(path.stem, tuple(document.get("server", {}).get("options", ())), cases)


def _case(table: dict[str, Any], origin: str) -> Case:
    unknown = set(table) - CASE_KEYS - ANSWER_KEYS
    if unknown:
        raise ValueError(f"{origin}: case {table.get('name')!r} has unknown keys {sorted(unknown)}")
    own = {key: table[key] for key in ANSWER_KEYS & set(table)}
    answers = tuple(_answer(each) for each in table.get("answer", ())) or (_answer(own),)
    is_packet = any(key in table for key in ("variables", "raw", "target", "modifier1", "cut"))
    return Case(
        name=table["name"],
        request=_packet(table) if is_packet else _request(table),
        protocol="uwsgi" if is_packet else "http",
        answers=answers,
        closed=table.get("closed", False),
        or_close=table.get("or_close", False),
        ends=table.get("ends", False),
        feeds=tuple(table.get("feeds", ("whole", "bytes") if is_packet else FEEDS)),
    )


def _answer(table: dict[str, Any]) -> Answer:
    return Answer(**{key: tuple(value) if key.endswith("absent") else value for key, value in table.items()})


def _request(table: dict[str, Any]) -> bytes:
    if "request" in table:
        return _bytes(table["request"])
    lines = [table.get("line", "GET /x HTTP/1.1")]
    lines += ["Host: test"] if table.get("host", True) else []
    lines += table.get("fields", [])
    return _bytes("\r\n".join(lines) + "\r\n\r\n") + _bytes(table.get("content", ""))


def _packet(table: dict[str, Any]) -> bytes:
    if "raw" in table:
        return bytes.fromhex(table["raw"])
    variables = {**nginx_variables(table.get("target", "/x")), **table.get("variables", {})}
    whole = packet(variables, modifier1=table.get("modifier1", 0)) + _bytes(table.get("content", ""))
    return whole[: table.get("cut", len(whole))]


def _bytes(parts: str | list[str | dict[str, Any]]) -> bytes:
    if isinstance(parts, str):
        return parts.encode("latin-1")
    return b"".join(
        part.encode("latin-1") if isinstance(part, str) else part["repeat"].encode("latin-1") * part["times"]
        for part in parts
    )
