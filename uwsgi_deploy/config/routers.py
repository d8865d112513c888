"""What has to be true of routers' options beyond each by itself: of the fastrouter, the rawrouter, and of those who
have no workers. Pure; loaded where there is a router, or something is said of one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from uwsgi_deploy.config.servers import parse_server
from uwsgi_deploy.config.settings import FastrouterSettings, RawrouterSettings, Settings
from uwsgi_deploy.errors import ConfigError

BUILT_IN = "default"
# uWSGI's own number for all of its gateways.
MOST_PROCESSES = 64
_ABOUT_FALLBACKS = "fastrouter-fallback-on-no-key"


def check_routers(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """ConfigError for what cannot be; warnings for what has no effect."""
    _check(settings.fastrouter, "fastrouter", origins, warn)
    _check(settings.rawrouter, "rawrouter", origins, warn)
    if settings.routers:
        _check_alone(settings, origins, warn)


def _check(
    router: FastrouterSettings | RawrouterSettings,
    kind: str,
    origins: Mapping[str, str],
    warn: Callable[[str], None],
) -> None:
    values = {field.name.replace("_", "-"): getattr(router, field.name) for field in dataclasses.fields(router)}
    if not values[kind]:
        for name in values:
            if name in origins:
                warn(f"{origins[name]}: '{name}' has no effect without '{kind}'")
        return
    processes = values[f"{kind}-processes"]
    if not 1 <= processes <= MOST_PROCESSES:
        raise _refuse(origins, f"{kind}-processes", f"must be from 1 to {MOST_PROCESSES}, not {processes}")
    for option in (f"{kind}-to", f"{kind}-fallback"):
        for text in values[option]:
            parse_server(text, origins.get(option, BUILT_IN))
    names = (f"{kind}-to", f"{kind}-use-base", f"{kind}-use-pattern")
    ways = [name for name in names if values.get(name)]
    if not ways:
        known = ", ".join(name for name in names if name in values)
        raise _refuse(origins, kind, "has no server to forward to", hint=f"name one with {known}")
    if len(ways) > 1:
        hint = "there is one way to a server"
        raise _refuse(origins, ways[1], f"and '{ways[0]}' contradict each other", hint=hint)
    pattern = values.get("fastrouter-use-pattern", "")
    if pattern and (pattern.count("%s") != 1 or pattern.count("%") != 1):
        raise _refuse(origins, "fastrouter-use-pattern", f"has one %s, for the key, and no other %, not '{pattern}'")
    if values.get(_ABOUT_FALLBACKS) and not values["fastrouter-fallback"]:
        raise _refuse(origins, _ABOUT_FALLBACKS, "needs 'fastrouter-fallback'")


def _refuse(origins: Mapping[str, str], option: str, sentence: str, hint: str = "") -> ConfigError:
    return ConfigError(origins.get(option, BUILT_IN), f"'{option}' {sentence}", hint=hint)


def _check_alone(settings: Settings, origins: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Routers whose servers are elsewhere have no workers, and one of them may do without a master."""
    if settings.gateway.force_gateway:
        if settings.has_workers:
            hint = "name servers with http-to"
            raise _refuse(origins, "force-gateway", "is for a router without workers", hint=hint)
        if settings.workers.master:
            warn(f"{origins.get('force-gateway', BUILT_IN)}: 'force-gateway' has no effect with a master")
        elif len(settings.routers) > 1:
            raise _refuse(origins, "force-gateway", "is for one router", hint="several routers need a master")
        elif settings.routers[0].processes > 1:
            option, hint = f"{settings.routers[0].kind}-processes", "more processes need a master"
            raise _refuse(origins, option, "must be 1 with 'force-gateway'", hint=hint)
    if settings.has_workers:
        return
    for name in ("cheaper", "cheap", "idle"):
        if getattr(settings.cheaper, name):
            raise _refuse(origins, name, "is about workers, and a router whose servers are elsewhere has none")
    for name in ("module", "wsgi-file", "mount"):
        if name in origins:
            warn(f"{origins[name]}: '{name}' is not loaded: with servers elsewhere and no socket there are no workers")
