"""Names of reports: UUIDs of version 7 (RFC 9562 §5.7), which sort by the time they were made."""

from __future__ import annotations

import os


def new_id(at: float) -> str:
    """A name for a report made at unix time `at`."""
    milliseconds = int(at * 1000) & 0xFFFF_FFFF_FFFF
    noise = int.from_bytes(os.urandom(10), "big")
    number = milliseconds << 80 | noise
    number = number & ~(0xF << 76) | 0x7 << 76  # the version
    number = number & ~(0x3 << 62) | 0x2 << 62  # the variant
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
