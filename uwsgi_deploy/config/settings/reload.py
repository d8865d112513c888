"""How new code and configuration come in."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Seconds


@dataclass(frozen=True, slots=True)
class ReloadSettings:
    """How new code and configuration come in."""

    reload_mercy: Seconds = option(
        0.0,
        help="How long processes other than workers may take to end in a reload or stop before they are killed; 0 "
        "means what is usual for each kind.",
    )
    exit_on_reload: bool = option(False, help="End instead of reloading, for supervisors that start the server again.")
    lazy: bool = option(False, help="Set lazy-apps, and let a reload replace the workers only (uWSGI's old lazy mode).")
