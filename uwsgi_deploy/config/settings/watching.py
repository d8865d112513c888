"""Files whose change tells the server something."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option


@dataclass(frozen=True, slots=True)
class WatchingSettings:
    """Files whose change tells the server something. They are looked at once a second."""

    touch_reload: tuple[str, ...] = option((), help="Reload when this file is touched, appears or disappears.")
    touch_workers_reload: tuple[str, ...] = option(
        (), help="Reload the workers (not the master) when this file is touched, appears or disappears."
    )
    touch_chain_reload: tuple[str, ...] = option(
        (), help="Reload the workers one after the other when this file is touched, appears or disappears."
    )
    fs_reload: tuple[str, ...] = option(
        (), help="Reload when this file or anything directly in this directory changes, appears or disappears."
    )
    fs_brutal_reload: tuple[str, ...] = option(
        (), help="Reload brutally when this file or anything directly in this directory changes."
    )
