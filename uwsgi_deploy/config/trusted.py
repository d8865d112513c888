"""What `trusted-proxies` and `trusted-proxy-headers` mean. Pure; loaded only when the first of them is set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

UNIX, ANYONE = "unix", "*"
NOBODY = frozenset({"none", "off", "false", "no"})
FORWARDED = "forwarded"
HEADERS = (
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    FORWARDED,
)
# RFC 7239 has a parameter for each of these.
_SAID_BY_FORWARDED = frozenset({"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"})


@dataclass(frozen=True, slots=True)
class Trusted:
    """Peers that are believed. unix: whoever connects through a Unix socket; anyone: whoever connects at all."""

    networks: tuple[Network, ...]
    unix: bool
    anyone: bool


def trusted_in(values: Iterable[str]) -> Trusted:
    """The peers that all these values of `trusted-proxies` name. Raises ValueError with a sentence."""
    words = list(_words(values))
    networks = [_network(word) for word in words if word not in (UNIX, ANYONE) and word not in NOBODY]
    if any(word in NOBODY for word in words) and len(words) > 1:
        raise ValueError("names proxies and none of them")
    return Trusted(tuple(networks), UNIX in words, ANYONE in words)


def headers_in(value: str) -> tuple[str, ...]:
    """The headers that `trusted-proxy-headers` names. Raises ValueError with a sentence."""
    words = list(_words([value]))
    unknown = [word for word in words if word not in HEADERS]
    if unknown:
        raise ValueError(f"has no '{unknown[0]}'; there are {', '.join(HEADERS)}")
    doubled = sorted(_SAID_BY_FORWARDED.intersection(words))
    if FORWARDED in words and doubled:
        # A proxy that sets one passes the other on as the client sent it.
        raise ValueError(f"names both {FORWARDED} and {doubled[0]}, which say the same: name what the proxies set")
    return tuple(header for header in HEADERS if header in words)


def _words(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from (word.lower() for word in value.replace(",", " ").split())


def _network(word: str) -> Network:
    try:
        return ip_network(word)
    except ValueError as error:
        if "host bits" in str(error):
            meant = ip_network(word, strict=False)
            raise ValueError(f"has '{word}', which is no network: its own address is {meant}") from None
        raise ValueError(
            f"has '{word}', which is no address, network, unix, * or none (host names are not looked up)"
        ) from None
