"""As whom the processes run, what they are called, and what they leave behind."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Mode


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """User, group, process names, pid file."""

    uid: str = option("", help="User (name or number) to become after the sockets are bound.")
    gid: str = option("", help="Group (name or number) to become after the sockets are bound.")
    add_gid: tuple[str, ...] = option((), help="Also be a member of this group (name or number). Repeatable.")
    no_initgroups: bool = option(False, help="Do not take the groups that the user is a member of.")
    immediate_uid: str = option("", help="User to become before anything is opened, the log included.")
    immediate_gid: str = option("", help="Group to become before anything is opened, the log included.")
    master_as_root: bool = option(
        False, help="Only workers become uid and gid; the master and the process that loads the application stay root."
    )
    drop_after_apps: bool = option(
        False, help="Load the application as root and become uid and gid then; the master stays root, for reloads."
    )
    cap: str = option("", help="Capabilities that are kept when uid is assumed, such as net_bind_service,sys_nice.")
    chroot: str = option(
        "", help="Make this directory the root of the file system before sockets are bound and privileges are dropped."
    )
    umask: Mode | None = option(None, help="File mode creation mask, three or four octal digits.")
    pidfile: str = option("", help="Write the master's pid to this file, before privileges are dropped.")
    pidfile2: str = option("", help="As pidfile, after privileges were dropped and the directory was changed.")
    safe_pidfile: str = option("", help="As pidfile2, when the application is loaded.")
    safe_pidfile2: str = option("", help="As pidfile2, when all workers accept requests.")
    vacuum: bool = option(
        True, help="On exit remove the Unix sockets and pid files that this server created, and only those."
    )
    procname: str = option("", help="Name of all processes in ps and top.")
    procname_master: str = option("", help="Name of the master process.")
    procname_prefix: str = option("", help="Put this before the name of each process.")
    procname_prefix_spaced: str = option("", help="Put this and a space before the name of each process.")
    procname_append: str = option("", help="Put this after the name of each process.")
    auto_procname: bool = option(True, help="Name processes by their role: 'uWSGI master', 'uWSGI worker 1'.")
