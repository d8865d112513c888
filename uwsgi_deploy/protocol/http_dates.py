"""HTTP's dates (RFC 9110 §5.6.7): written in one form, read in all three. Pure."""

from __future__ import annotations

import re
import time
from calendar import timegm
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMS = (
    re.compile(rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) (?P<month>[A-Z][a-z]{{2}}) (?P<year>\d{{4}}) {_CLOCK} GMT", re.ASCII),
    re.compile(rf"[A-Z][a-z]+day, (?P<day>\d\d)-(?P<month>[A-Z][a-z]{{2}})-(?P<year>\d\d) {_CLOCK} GMT", re.ASCII),
    re.compile(rf"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})", re.ASCII),
)
# A two-digit year that looks to be more than 50 years ahead was meant for the past (RFC 9110 §5.6.7).
_YEARS_AHEAD = 50


@lru_cache(1024)
def format_date(unix_time: int) -> str:
    """`Sun, 06 Nov 1994 08:49:37 GMT`."""
    moment = time.gmtime(unix_time)
    day, month = _DAYS[moment.tm_wday], _MONTHS[moment.tm_mon - 1]
    return (
        f"{day}, {moment.tm_mday:02} {month} {moment.tm_year:04} "
        f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02} GMT"
    )


def parse_date(text: str) -> int | None:
    """Unix seconds; None for what is no date: a field with that is ignored (RFC 9110 §13.1.3)."""
    match = next((found for form in _FORMS if (found := form.fullmatch(text))), None)
    if match is None or match["month"] not in _MONTHS:
        return None
    year, month, day = int(match["year"]), _MONTHS.index(match["month"]) + 1, int(match["day"])
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if len(match["year"]) == 2:
        this_year = time.gmtime().tm_year
        year += this_year // 100 * 100
        if year > this_year + _YEARS_AHEAD:
            year -= 100
    if not (1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60 and year):
        return None
    return timegm((year, month, day, hour, minute, second))
