"""What a client is to get of a representation: preconditions, ranges, content codings (RFC 9110 §12 to §14). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from uwsgi_deploy.protocol.http_dates import parse_date

OK, NOT_MODIFIED, PRECONDITION_FAILED = 200, 304, 412

# More ranges than anyone needs are an attack: the client gets the whole (RFC 9110 §14.2 allows that).
MOST_RANGES = 16

_ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RANGE = re.compile(r"(\d{0,400})[ \t]*-[ \t]*(\d{0,400})", re.ASCII)
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


def precondition(fields: Mapping[str, Any], etag: str, modified: int) -> int:
    """200, 304 or 412 for a GET or HEAD with the conditions in `fields` (HTTP_IF_…), in the order of RFC 9110 §13.2.2.

    etag: the strong entity tag of what would be sent, with its quotes; modified: Unix seconds.
    """
    wanted = fields.get("HTTP_IF_MATCH")
    if wanted is not None:
        if not _names(wanted, etag, weakly=False):
            return PRECONDITION_FAILED
    elif (since := _moment(fields, "HTTP_IF_UNMODIFIED_SINCE")) is not None and modified > since:
        return PRECONDITION_FAILED
    known = fields.get("HTTP_IF_NONE_MATCH")
    if known is not None:
        return NOT_MODIFIED if _names(known, etag, weakly=True) else OK
    since = _moment(fields, "HTTP_IF_MODIFIED_SINCE")
    return NOT_MODIFIED if since is not None and modified <= since else OK


def _names(field: str, etag: str, *, weakly: bool) -> bool:
    """Whether a list of entity tags holds this strong one; `*` stands for all (RFC 9110 §8.8.3.2)."""
    if field.strip() == "*":
        return True
    return any(tag == etag and (weakly or not weak) for weak, tag in _ENTITY_TAG.findall(field))


def _moment(fields: Mapping[str, Any], name: str) -> int | None:
    text = fields.get(name)
    return None if text is None else parse_date(text)


def range_applies(fields: Mapping[str, Any], etag: str, modified: int) -> bool:
    """Whether the client still has the representation that its ranges are about (If-Range, RFC 9110 §13.1.5)."""
    validator = fields.get("HTTP_IF_RANGE")
    if validator is None:
        return True
    if '"' in validator:
        return bool(validator.strip() == etag)
    return parse_date(validator) == modified


def ranges_of(field: str, size: int) -> list[tuple[int, int]] | None:
    """The ranges of a Range field that can be satisfied, as (first, count); None for a field that is to be ignored.

    An empty list means 416. Ignored are other units, malformed fields, too many ranges, and ranges that together are
    longer than the whole, which overlap.
    """
    unit, equals, text = field.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    found: list[tuple[int, int]] = []
    parts = [part.strip(" \t") for part in text.split(",")]
    parts = [part for part in parts if part]
    if not parts or len(parts) > MOST_RANGES:
        return None
    for part in parts:
        match = _RANGE.fullmatch(part)
        if match is None or match[0] == "-" or not (match[1] or match[2]):
            return None
        if not match[1]:
            first, last = max(size - int(match[2]), 0), size - 1
        else:
            first = int(match[1])
            last = min(int(match[2]), size - 1) if match[2] else size - 1
            if match[2] and int(match[2]) < first:
                return None
        if first <= last:
            found.append((first, last - first + 1))
    if len(found) > 1 and sum(count for _, count in found) > size:
        return None
    return found


@lru_cache(256)
def preferred_codings(accept_encoding: str, offered: tuple[str, ...]) -> tuple[str, ...]:
    """Of the content codings on offer those that the client would rather have than none, the best first (§12.5.3)."""
    weights: dict[str, float] = {}
    for entry in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in entry.split(";"))
        quality = next((found[1] for part in parameters if (found := _QUALITY.fullmatch(part))), "1")
        weights[coding.removeprefix("x-")] = float(quality)
    anything = weights.get("*", 0.0)
    least = weights.get("identity", 0.0)
    wanted = [(weights.get(coding, anything), coding) for coding in offered]
    return tuple(coding for weight, coding in sorted(wanted, key=lambda pair: -pair[0]) if weight and weight >= least)
