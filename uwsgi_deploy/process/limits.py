"""Limits of the kernel that all processes of the server get from the first one: descriptors, processes, priority.

Applied while the server still may raise them, before privileges are dropped.
"""

from __future__ import annotations

import os

from uwsgi_deploy.config.settings.system import SystemSettings
from uwsgi_deploy.errors import ConfigError


def apply_limits(settings: SystemSettings) -> list[str]:
    """Set what the options say; lines for the log. ConfigError for what the kernel refuses."""
    lines: list[str] = []
    if settings.prio:
        lines.append(_set_priority(int(settings.prio)))
    if settings.limit_nproc or settings.max_fd:
        lines += _set_resources(settings)
    return lines


def describe_limits() -> list[str]:
    """uWSGI's start-up lines about the limits in force."""
    return [
        f"your processes number limit is {_named('SC_CHILD_MAX')}",
        f"your memory page size is {_named('SC_PAGESIZE')} bytes",
        f"detected max file descriptor number: {_named('SC_OPEN_MAX')}",
    ]


def _named(name: str) -> str:
    value = os.sysconf(name)
    return "unlimited" if value < 0 else str(value)


def _set_priority(value: int) -> str:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, value)
    except OSError as error:
        raise ConfigError(
            "prio", f"cannot set the priority {value}: {error.strerror}", hint="only root may go below the present one"
        ) from None
    return f"scheduler priority set to {value}"


def _set_resources(settings: SystemSettings) -> list[str]:
    import resource  # an extension that only these options need

    lines = []
    for option, kind, value, what in (
        ("limit-nproc", resource.RLIMIT_NPROC, settings.limit_nproc, "limiting number of processes to"),
        ("max-fd", resource.RLIMIT_NOFILE, settings.max_fd, "limiting file descriptors to"),
    ):
        if not value:
            continue
        _, highest = resource.getrlimit(kind)
        # As in uWSGI: processes get a hard limit, descriptors keep a higher one that they have.
        stays = kind == resource.RLIMIT_NOFILE and (highest == resource.RLIM_INFINITY or highest > value)
        try:
            resource.setrlimit(kind, (value, highest if stays else value))
        except (OSError, ValueError):
            raise ConfigError(
                option, f"cannot be {value}: the system allows {highest}", hint="only root may raise it"
            ) from None
        lines.append(f"{what} {value}")
    return lines
