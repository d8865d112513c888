"""Read what people write for servers that a router forwards to: an address, perhaps with a weight. Pure."""

from __future__ import annotations

from typing import NamedTuple

from uwsgi_deploy.errors import ConfigError

_MOST = 1000


class Server(NamedTuple):
    """Where a server is, as `net.address` reads it, and how many requests it gets in proportion to others."""

    address: str
    weight: int


def parse_server(text: str, origin: str) -> Server:
    """`ADDRESS` or `ADDRESS,weight=N`. `origin` (an option's name or a file:line) opens the error message."""
    address, *words = (part.strip() for part in text.split(","))
    weight = 1
    for word in words:
        name, _, value = word.partition("=")
        if name.strip() != "weight":
            raise ConfigError(origin, f"{word!r} in {text!r} is not known", hint="write ADDRESS,weight=3")
        value = value.strip()
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= _MOST):
            raise ConfigError(origin, f"{value!r} in {text!r} is no weight from 1 to {_MOST}")
        weight = int(value)
    if not address:
        raise ConfigError(origin, f"{text!r} has no address", hint="write ADDRESS,weight=3")
    return Server(address, weight)
