"""Files whose change tells the server something."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Seconds


@dataclass(frozen=True, slots=True)
class WatchingSettings:
    """Files whose change tells the server something. They are looked at once a second."""

    autoreload: bool = option(
        False,
        help="For development: reload when an imported file changes. At once with watchfiles, else as py-autoreload.",
    )
    py_autoreload: Seconds = option(
        0.0,
        "py-auto-reload",
        "python-autoreload",
        help="For development: look this often whether an imported file has changed, and reload then; 0 means never.",
    )
    py_auto_reload_ignore: tuple[str, ...] = option(
        (), "py-autoreload-ignore", help="Do not reload for this module, or what is in this package."
    )

    touch_reload: tuple[str, ...] = option((), help="Reload when this file is touched, appears or disappears.")
    touch_workers_reload: tuple[str, ...] = option(
        (), help="Reload the workers (not the master) when this file is touched, appears or disappears."
    )
    touch_chain_reload: tuple[str, ...] = option(
        (), help="Reload the workers one after the other when this file is touched, appears or disappears."
    )
    touch_logreopen: tuple[str, ...] = option(
        (), help="Open the log file again by its name when this file is touched, appears or disappears."
    )
    touch_logrotate: tuple[str, ...] = option(
        (), help="Rotate the log file when this file is touched, appears or disappears."
    )
    touch_exec: tuple[str, ...] = option(
        (), help="Run a command when a file is touched, appears or disappears; the server does not wait for it."
    )
    hook_touch: tuple[str, ...] = option(
        (), help="Perform an action of hooks in the master when a file is touched, appears or disappears."
    )
    fs_reload: tuple[str, ...] = option(
        (), help="Reload when this file or anything directly in this directory changes, appears or disappears."
    )
    fs_brutal_reload: tuple[str, ...] = option(
        (), help="Reload brutally when this file or anything directly in this directory changes."
    )
