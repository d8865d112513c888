"""Where a report comes from: the machine, the instance, the version that runs, and what /proc knows of the worker."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

_VERSIONS = (
    "SOURCE_VERSION",  # Heroku, while it builds
    "HEROKU_SLUG_COMMIT",
    "HEROKU_BUILD_COMMIT",
    "GIT_SHA",
    "GIT_COMMIT",
    "COMMIT_SHA",
    "SENTRY_RELEASE",
    "K_REVISION",  # Cloud Run
    "APP_VERSION",
)
_SERVICES = ("OTEL_SERVICE_NAME", "K_SERVICE", "HEROKU_APP_NAME", "FLY_APP_NAME", "RENDER_SERVICE_NAME", "SERVICE_NAME")
_INSTANCES = ("DYNO", "POD_NAME", "FLY_MACHINE_ID", "RENDER_INSTANCE_ID", "HOSTNAME")
_UNIT = re.compile(r"/([^/\n]+\.service)(?:/|$)", re.MULTILINE)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def version(environ: Mapping[str, str]) -> str:
    """The version of the application that the platform names."""
    return _first(environ, _VERSIONS)


def service(environ: Mapping[str, str], application: str) -> str:
    """What the platform calls the service; else the application's package."""
    return _first(environ, _SERVICES) or application


def instance(environ: Mapping[str, str]) -> str:
    """What tells this instance from others: dyno, pod, unit of systemd, container."""
    return _first(environ, _INSTANCES[:-1]) or unit() or environ.get("HOSTNAME", "")


def unit() -> str:
    """The unit of systemd that this process belongs to; empty without one."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as cgroup:
            units = _UNIT.findall(cgroup.read(4096))
    except OSError:
        return ""
    # A user's service is inside of `user@1000.service`.
    named = [name for name in units if not name.startswith("user@")]
    return named[-1] if named else ""


def _first(environ: Mapping[str, str], names: Iterable[str]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")[:200]


def process_facts(pid: int) -> dict[str, float]:
    """rss in bytes, cpu_user and cpu_system in seconds since its start, threads, fds: as far as /proc tells."""
    facts: dict[str, float] = {}
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may have spaces; what follows begins with the state, the third field of proc(5).
            fields = file.read().rpartition(b")")[2].split()
        facts["cpu_user"], facts["cpu_system"] = (round(int(ticks) / _TICKS, 2) for ticks in fields[11:13])
        facts["threads"] = int(fields[17])
        facts["rss"] = int(fields[21]) * _PAGE
        facts["fds"] = len(os.listdir(f"/proc/{pid}/fd"))
    except (OSError, ValueError, IndexError):
        return facts
    return facts
