"""What `shared-socket` means: its addresses in the places of `=0`, `=1` and so on. Pure; loaded only where one is used.

All sockets are bound before privileges are dropped, in any case, so nothing else is shared but the writing of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ConfigError

BUILT_IN = "default"
# With TLS certificate and key follow the address.
_REFERENCE = re.compile(r"\s*=(\d{1,4})\s*(,.*)?")


def give_shared_sockets(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> Settings:
    """The settings with addresses instead of references. ConfigError for one to nothing, or the second one to it."""
    shared, used = settings.sockets.shared_socket, set[int]()

    def meant(name: str, value: str) -> str:
        match = _REFERENCE.fullmatch(value)
        if match is None:
            return value
        origin, number = origins.get(name, BUILT_IN), int(match[1])
        if number >= len(shared):
            raise ConfigError(origin, f"'{name} = {value}' means a shared-socket that is not there")
        if number in used:
            raise ConfigError(origin, f"'{name} = {value}': shared-socket {number} is in use already")
        used.add(number)
        return shared[number] + (match[2] or "")

    for section, names in _places(settings):
        part = getattr(settings, section)
        changes: Any = {}
        for name in names:
            field = name.replace("-", "_")
            changes[field] = tuple(meant(name, value) for value in getattr(part, field))
        changed: Any = {section: replace(part, **changes)}
        settings = replace(settings, **changed)
    for number in sorted({*range(len(shared))} - used):
        where = origins.get("shared-socket", BUILT_IN)
        warn(f"{where}: 'shared-socket = {shared[number]}' is not bound: nothing uses it, as 'http-socket = ={number}'")
    return settings


def _places(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Sections with their options that name addresses to listen on."""
    yield "sockets", tuple(settings.sockets.addresses)
    yield "gateway", ("http", "https", "http-to-https")
    yield "fastrouter", ("fastrouter",)
    yield "rawrouter", ("rawrouter",)
