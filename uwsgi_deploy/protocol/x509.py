"""When a certificate is valid: as much of X.509 (RFC 5280 §4.1) as it takes to find that, without a library for TLS.

For processes that hold certificates and never speak TLS themselves. Pure.
"""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple, TypeAlias

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_INTEGER, _SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x02, 0x30, 0xA0, 0x17, 0x18
_TIME = re.compile(rb"(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z")
# RFC 5280 §4.1.2.5.1: two digits of a year mean 1950 to 2049.
_PIVOT = 50

Instant: TypeAlias = tuple[int, int, int, int, int, int]
"""Year, month, day, hour, minute, second in UTC: what `time.gmtime` begins with."""


class Validity(NamedTuple):
    """The first and the last second in which a certificate counts."""

    begins: Instant
    ends: Instant


def validity_of(pem: bytes) -> Validity:
    """Of the first certificate in a PEM text. Raises ValueError when there is none."""
    block = _PEM.search(pem)
    if block is None:
        raise ValueError("no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    try:
        return _validity(binascii.a2b_base64(block[1]))
    except (IndexError, binascii.Error, _MalformedError):
        raise ValueError("a certificate that is damaged") from None


class _MalformedError(Exception):
    """Not what a certificate looks like."""


def _validity(data: bytes) -> Validity:
    body, _ = _element(data, 0, _SEQUENCE)  # Certificate
    signed, _ = _element(data, body, _SEQUENCE)  # TBSCertificate
    at = signed
    if data[at] == _VERSION:
        _, at = _element(data, at, _VERSION)
    _, at = _element(data, at, _INTEGER)  # serial number
    _, at = _element(data, at, _SEQUENCE)  # signature algorithm
    _, at = _element(data, at, _SEQUENCE)  # issuer
    first, _ = _element(data, at, _SEQUENCE)
    _, second = _element(data, first, data[first])
    return Validity(_instant(data, first), _instant(data, second))


def _element(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends; it has to be of this kind."""
    if data[at] != tag:
        raise _MalformedError
    length, start = data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
    if start + length > len(data):
        raise _MalformedError
    return start, start + length


def _instant(data: bytes, at: int) -> Instant:
    tag = data[at]
    if tag not in (_UTC_TIME, _GENERALIZED_TIME):
        raise _MalformedError
    start, end = _element(data, at, tag)
    match = _TIME.fullmatch(data[start:end])
    if match is None:
        raise _MalformedError
    year, month, day, hour, minute, second = (int(digits) for digits in match.groups())
    if tag == _UTC_TIME:
        year += 1900 if year >= _PIVOT else 2000
    return year, month, day, hour, minute, second
