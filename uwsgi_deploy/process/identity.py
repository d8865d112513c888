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
from uwsgi_deploy.process.capabilities import NAMES, are_held, capability_numbers, keep_over_setuid, restrict_to

UNCHANGED = -1


@dataclass(frozen=True, slots=True)
class Identity:
    """Who to become. None keeps what the process has.

    user: the name whose supplementary groups are taken. groups: more of them. capabilities: what is kept of root's, by
    number; None when nobody asked for any.
    """

    uid: int | None = None
    gid: int | None = None
    user: str | None = None
    groups: tuple[int, ...] = ()
    capabilities: tuple[int, ...] | None = None

    @property
    def owner(self) -> tuple[int, int] | None:
        """(uid, gid) for `chown`, None when nobody is to be become."""
        if self.uid is None and self.gid is None:
            return None
        return (UNCHANGED if self.uid is None else self.uid, UNCHANGED if self.gid is None else self.gid)


def resolve_identity(settings: IdentitySettings) -> Identity:
    """The numbers behind uid, gid, add-gid and cap; ConfigError for names that mean nothing.

    A user without gid brings its primary group, so that root's does not remain.
    """
    groups = tuple(group_number(group, "add-gid") for group in settings.add_gid)
    capabilities = capability_numbers(settings.cap) if settings.cap else None
    if not settings.uid:
        gid = group_number(settings.gid, "gid") if settings.gid else None
        return Identity(gid=gid, groups=groups, capabilities=capabilities)
    uid = user_number(settings.uid, "uid")
    entry = _user_entry(uid)
    gid = group_number(settings.gid, "gid") if settings.gid else entry.pw_gid if entry else None
    user = entry.pw_name if entry and not settings.no_initgroups else None
    return Identity(uid, gid, user, groups, capabilities)


def is_postponed(settings: IdentitySettings) -> bool:
    """Whether privileges are dropped after the application was loaded, and by its processes only."""
    return settings.master_as_root or settings.drop_after_apps


def resolve_immediate(settings: IdentitySettings) -> Identity:
    """Whom to become before anything else, with immediate-uid and immediate-gid."""
    uid = user_number(settings.immediate_uid, "immediate-uid") if settings.immediate_uid else None
    gid = group_number(settings.immediate_gid, "immediate-gid") if settings.immediate_gid else None
    entry = _user_entry(uid) if uid is not None else None
    if entry is not None and gid is None:
        gid = entry.pw_gid
    return Identity(uid, gid, entry.pw_name if entry and not settings.no_initgroups else None)


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
    if identity.capabilities is not None:
        keep_over_setuid()
    if identity.gid is not None:
        os.setgid(identity.gid)
        lines.append(f"setgid() to {identity.gid}")
        lines += _set_groups(identity)
    elif identity.uid:
        os.setgroups([])
        lines.append("*** WARNING: the user has no group of its own and gid is not set: group root remains ***")
    if identity.groups:
        os.setgroups([*os.getgroups(), *identity.groups])
        lines += [f"set additional group {group} ({_group_name(group)})" for group in identity.groups]
    if identity.uid is not None:
        os.setuid(identity.uid)
        lines.append(f"setuid() to {identity.uid}")
    if identity.capabilities is not None:
        _restrict(identity.capabilities)
        lines.append(f"kept capabilities: {', '.join(NAMES[number] for number in identity.capabilities)}")
    return lines


def _set_groups(identity: Identity) -> list[str]:
    assert identity.gid is not None
    if identity.user is None:
        os.setgroups([])
        return []
    os.initgroups(identity.user, identity.gid)
    return [f"set additional group {group} ({_group_name(group)})" for group in os.getgroups() if group != identity.gid]


def _restrict(numbers: tuple[int, ...]) -> None:
    try:
        restrict_to(numbers)
    except OSError as error:
        raise ConfigError("cap", f"cannot be set: {error.strerror}", hint="is one of them missing here?") from None


def _require_nothing_to_do(identity: Identity) -> None:
    if identity.capabilities is not None and not are_held(identity.capabilities):
        raise ConfigError("cap", "only root has capabilities to keep", hint="leave it out, or start as root")
    for group in identity.groups:
        if group not in (os.getegid(), *os.getgroups()):
            raise ConfigError("add-gid", f"only root may join group {group}", hint="leave it out, or start as root")
    for option, wanted, present in (("uid", identity.uid, os.geteuid()), ("gid", identity.gid, os.getegid())):
        if wanted is not None and wanted != present and not (option == "gid" and wanted in os.getgroups()):
            raise ConfigError(
                option, f"only root may change from {present} to {wanted}", hint="leave it out, or start as root"
            )


def change_root(directory: str) -> list[str]:
    """Make `directory` the root of the file system of this process and its children; ConfigError when we may not."""
    try:
        os.chroot(directory)
        os.chdir("/")  # else the old tree stays within reach
    except OSError as error:
        raise ConfigError(
            "chroot", f"cannot change the root to {directory}: {error.strerror}", hint="only root may"
        ) from None
    return [f"chroot() to {directory}"]


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
