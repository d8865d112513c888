"""Units and enumerations that every layer may name. Holds no behaviour.

An option's unit is part of its type: `Seconds`, `Bytes`, … are plain numbers to the program and tell
`config.convert` how to read text such as `1m` or `64k`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, TypeAlias


@dataclass(frozen=True, slots=True)
class Unit:
    """What one unit of a number means, and the suffixes that may follow it in text."""

    name: str
    suffixes: tuple[tuple[str, float], ...] = ()


SECONDS = Unit("seconds", (("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)))
MILLISECONDS = Unit("milliseconds", (("ms", 1), ("s", 1000), ("m", 60_000)))
BYTES = Unit("bytes", (("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)))
KIBIBYTES = Unit("KiB", (("k", 1), ("m", 1 << 10), ("g", 1 << 20)))
MEBIBYTES = Unit("MiB", (("m", 1), ("g", 1 << 10)))
OCTAL = Unit("octal mode")

Seconds = Annotated[float, SECONDS]
Milliseconds = Annotated[int, MILLISECONDS]
Bytes = Annotated[int, BYTES]
Kibibytes = Annotated[int, KIBIBYTES]
Mebibytes = Annotated[int, MEBIBYTES]
Mode = Annotated[int, OCTAL]


class Protocol(Enum):
    """What clients of a listener speak; ROUTED is what the server's own http router speaks to its workers, RAW what a
    rawrouter does not look at."""

    HTTP = "http"
    UWSGI = "uwsgi"
    PUWSGI = "puwsgi"
    SCGI = "scgi"
    SCGI_NPH = "scgi-nph"
    FASTCGI = "fastcgi"
    FASTCGI_NPH = "fastcgi-nph"
    ROUTED = "routed"
    RAW = "raw"


Placed: TypeAlias = tuple[tuple[str, str, str], ...]
"""Names, texts and places of options in their order."""

AsWritten: TypeAlias = tuple[tuple[str, str | None], ...]
"""Names and texts of options in the order they were given; None for a name without a value."""
