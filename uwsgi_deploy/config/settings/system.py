"""What the processes ask of the operating system: daemons, limits, jails, supervisors."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """What the processes ask of the operating system: daemons, limits, jails, supervisors."""

    daemonize: str = option(
        "", "-d", help="Run in the background with the log in this file; the command returns at once with 0."
    )
    daemonize2: str = option(
        "",
        help="As daemonize, but the command returns when all workers accept requests (0) or the start has failed (its "
        "exit code), and shows the log until then.",
    )
