"""Preconditions, ranges and content codings, as RFC 9110 has them."""

from __future__ import annotations

import pytest

from uwsgi_deploy.protocol.http_dates import format_date, parse_date
from uwsgi_deploy.protocol.selection import (
    MOST_RANGES,
    precondition,
    preferred_codings,
    range_applies,
    ranges_of,
)

ETAG = '"abc"'
MODIFIED = 784111777
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE, AFTER = format_date(MODIFIED - 1), format_date(MODIFIED + 1)


def test_date_is_written_in_the_preferred_form() -> None:
    assert format_date(MODIFIED) == DATE


@pytest.mark.parametrize(
    "text", [DATE, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"], ids=["imf", "rfc850", "asctime"]
)
def test_date_is_read_in_all_forms(text: str) -> None:
    assert parse_date(text) == MODIFIED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        DATE + "x",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_date(text) is None


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 200),
        ({"HTTP_IF_NONE_MATCH": ETAG}, 304),
        ({"HTTP_IF_NONE_MATCH": f"W/{ETAG}"}, 304),
        ({"HTTP_IF_NONE_MATCH": f'"x", W/"y" , {ETAG}'}, 304),
        ({"HTTP_IF_NONE_MATCH": "*"}, 304),
        ({"HTTP_IF_NONE_MATCH": '"other"'}, 200),
        ({"HTTP_IF_NONE_MATCH": "abc"}, 200),
        ({"HTTP_IF_NONE_MATCH": ""}, 200),
        ({"HTTP_IF_MODIFIED_SINCE": DATE}, 304),
        ({"HTTP_IF_MODIFIED_SINCE": AFTER}, 304),
        ({"HTTP_IF_MODIFIED_SINCE": BEFORE}, 200),
        ({"HTTP_IF_MODIFIED_SINCE": "nonsense"}, 200),
        ({"HTTP_IF_NONE_MATCH": '"other"', "HTTP_IF_MODIFIED_SINCE": DATE}, 200),
        ({"HTTP_IF_MATCH": ETAG}, 200),
        ({"HTTP_IF_MATCH": "*"}, 200),
        ({"HTTP_IF_MATCH": f"W/{ETAG}"}, 412),
        ({"HTTP_IF_MATCH": '"other"'}, 412),
        ({"HTTP_IF_UNMODIFIED_SINCE": DATE}, 200),
        ({"HTTP_IF_UNMODIFIED_SINCE": BEFORE}, 412),
        ({"HTTP_IF_UNMODIFIED_SINCE": "nonsense"}, 200),
        ({"HTTP_IF_MATCH": ETAG, "HTTP_IF_UNMODIFIED_SINCE": BEFORE}, 200),
        ({"HTTP_IF_MATCH": ETAG, "HTTP_IF_NONE_MATCH": ETAG}, 304),
        ({"HTTP_IF_MATCH": '"other"', "HTTP_IF_NONE_MATCH": ETAG}, 412),
    ],
)
def test_preconditions(fields: dict[str, str], status: int) -> None:
    """RFC 9110 §13.2.2: tags count before dates, and the strong comparison before the weak one."""
    assert precondition(fields, ETAG, MODIFIED) == status


@pytest.mark.parametrize(
    ("field", "ranges"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-99", [(0, 100)]),
        ("bytes=0-100", [(0, 100)]),
        ("bytes=99-", [(99, 1)]),
        ("bytes=-1", [(99, 1)]),
        ("bytes=-1000", [(0, 100)]),
        ("BYTES=5-6", [(5, 2)]),
        ("bytes= 5-6 ,\t9-9", [(5, 2), (9, 1)]),
        ("bytes=5-6,", [(5, 2)]),
        ("bytes=0-" + "9" * 60, [(0, 100)]),
        ("bytes=0-0,-1,200-", [(0, 1), (99, 1)]),
        ("bytes=100-", []),
        ("bytes=-0", []),
        ("bytes=200-300,400-", []),
        ("bytes=6-5", None),
        ("bytes=5-6,6-5", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=1-2-3", None),
        ("bytes=--1", None),
        ("bytes=+1-2", None),
        ("bytes=٠-١", None),
        ("bytes 0-1", None),
        ("lines=0-1", None),
        ("bytes=0-,0-", None),
        ("bytes=" + ",".join(["0-0"] * (MOST_RANGES + 1)), None),
    ],
)
def test_ranges(field: str, ranges: list[tuple[int, int]] | None) -> None:
    """(first, count) of what can be satisfied; an empty list is 416, None is as if nothing had been asked."""
    assert ranges_of(field, 100) == ranges


def test_an_empty_file_has_no_ranges() -> None:
    assert ranges_of("bytes=0-", 0) == []
    assert ranges_of("bytes=-5", 0) == []


@pytest.mark.parametrize(
    ("validator", "applies"),
    [(None, True), (ETAG, True), (f"W/{ETAG}", False), ('"other"', False), (DATE, True), (AFTER, False), ("x", False)],
)
def test_if_range(validator: str | None, applies: bool) -> None:
    """Only what is surely the same may be put together from parts."""
    fields = {} if validator is None else {"HTTP_IF_RANGE": validator}
    assert range_applies(fields, ETAG, MODIFIED) is applies


@pytest.mark.parametrize(
    ("accepted", "codings"),
    [
        ("", ()),
        ("gzip", ("gzip",)),
        ("x-gzip", ("gzip",)),
        ("gzip, deflate, br, zstd", ("br", "zstd", "gzip")),
        ("gzip;q=1.0, br;q=0.5", ("gzip", "br")),
        ("GZIP ; Q=0.5", ("gzip",)),
        ("gzip;q=0, br", ("br",)),
        ("*", ("br", "zstd", "gzip")),
        ("*;q=0.1, br;q=0", ("zstd", "gzip")),
        ("gzip;q=0.5, identity", ()),
        ("identity;q=0.5, gzip", ("gzip",)),
        ("deflate", ()),
        ("gzip;q=7", ("gzip",)),
    ],
)
def test_codings(accepted: str, codings: tuple[str, ...]) -> None:
    assert preferred_codings(accepted, ("br", "zstd", "gzip")) == codings
