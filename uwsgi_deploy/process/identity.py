"""As whom a process runs: resolve user and group names, become them, give files to them.

Called by `master.boot`: names are resolved before anything is opened, so that a wrong one leaves nothing behind.
"""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass

from uwsgi_deploy.config.settings.identity import IdentitySettings
from uwsgi_deploy.errors import ConfigError

UNCHANGED = -1


@dataclass(frozen=True, slots=True)
class Identity:
    """Who to become. None keeps what the process has; `user` is the name whose supplementary groups are taken."""

    uid: int | None = None
    gid: int | None = None
    user: str | None = None

    @property
    def owner(self) -> tuple[int, int] | None:
        """(uid, gid) for `chown`, None when nobody is to be become."""
        if self.uid is None and self.gid is None:
            return None
        return (UNCHANGED if self.uid is None else self.uid, UNCHANGED if self.gid is None else self.gid)


def resolve_identity(settings: IdentitySettings) -> Identity:
    """The numbers behind uid and gid. A user without gid brings its primary group, so that root's does not remain."""
    if not settings.uid:
        return Identity(gid=group_number(settings.gid, "gid") if settings.gid else None)
    uid = user_number(settings.uid, "uid")
    entry = _user_entry(uid)
    gid = group_number(settings.gid, "gid") if settings.gid else entry.pw_gid if entry else None
    return Identity(uid, gid, entry.pw_name if entry else None)


def assume(identity: Identity) -> list[str]:
    """Become `identity` for good, groups first; returns uWSGI's lines about it. ConfigError when we may not."""
    if os.geteuid() != 0:
        _require_nothing_to_do(identity)
        return []
    try:
        return _assume_as_root(identity)
    except OSError as error:  # root of a container without the capabilities
        wanted = f"user {identity.uid}" if identity.uid is not None else f"group {identity.gid}"
        raise ConfigError(
            "uid" if identity.uid is not None else "gid", f"cannot become {wanted}: {error.strerror}"
        ) from None


def _assume_as_root(identity: Identity) -> list[str]:
    lines: list[str] = []
    if identity.gid is not None:
        os.setgid(identity.gid)
        lines.append(f"setgid() to {identity.gid}")
        lines += _set_groups(identity)
    elif identity.uid:
        os.setgroups([])
        lines.append("*** WARNING: the user has no group of its own and gid is not set: group root remains ***")
    if identity.uid is not None:
        os.setuid(identity.uid)
        lines.append(f"setuid() to {identity.uid}")
    return lines


def _set_groups(identity: Identity) -> list[str]:
    assert identity.gid is not None
    if identity.user is None:
        os.setgroups([])
        return []
    os.initgroups(identity.user, identity.gid)
    return [f"set additional group {group} ({_group_name(group)})" for group in os.getgroups() if group != identity.gid]


def _require_nothing_to_do(identity: Identity) -> None:
    for option, wanted, present in (("uid", identity.uid, os.geteuid()), ("gid", identity.gid, os.getegid())):
        if wanted is not None and wanted != present and not (option == "gid" and wanted in os.getgroups()):
            raise ConfigError(
                option, f"only root may change from {present} to {wanted}", hint="leave it out, or start as root"
            )


def root_warnings() -> list[str]:
    """uWSGI's warning when the process still is root after `assume`."""
    if os.geteuid() != 0:
        return []
    return ["*** WARNING: you are running uWSGI as root !!! (use the --uid flag) ***"]


def resolve_owner(text: str, origin: str) -> tuple[int, int]:
    """(uid, gid) of `user` or `user:group`; what is not said is UNCHANGED."""
    user, colon, group = text.partition(":")
    return (
        user_number(user, origin) if user else UNCHANGED,
        group_number(group, origin) if colon and group else UNCHANGED,
    )


def user_number(text: str, origin: str) -> int:
    """The uid of a user's name or number; ConfigError if there is no such user."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise ConfigError(origin, f"there is no user {text!r}") from None


def group_number(text: str, origin: str) -> int:
    """The gid of a group's name or number; ConfigError if there is no such group."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise ConfigError(origin, f"there is no group {text!r}") from None


def _user_entry(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None  # containers run under numbers that no passwd file knows


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
