"""What ps and top call our processes, as the procname options say."""

from __future__ import annotations

from setproctitle import setproctitle

from uwsgi_deploy.config.settings.identity import IdentitySettings

MASTER = "uWSGI master"
TEMPLATE = "uWSGI template"


def worker_role(wid: int) -> str:
    """The role of worker number `wid`, as uWSGI names it."""
    return f"uWSGI worker {wid}"


def title(settings: IdentitySettings, role: str) -> str | None:
    """The name of a process with `role`; None when the options leave names alone."""
    name = _name(settings, role)
    if name is None:
        return None
    spaced = f"{settings.procname_prefix_spaced} " if settings.procname_prefix_spaced else ""
    return f"{spaced}{settings.procname_prefix}{name}{settings.procname_append}"


def _name(settings: IdentitySettings, role: str) -> str | None:
    if role == MASTER and settings.procname_master:
        return settings.procname_master
    if settings.procname:
        return settings.procname
    changed = settings.procname_prefix or settings.procname_prefix_spaced or settings.procname_append
    return role if settings.auto_procname or changed else None


def set_exactly(name: str) -> None:
    """Name the present process, whatever the options say."""
    setproctitle(name)


def set_title(settings: IdentitySettings, role: str) -> None:
    """Name the present process."""
    name = title(settings, role)
    if name is not None:
        setproctitle(name)
