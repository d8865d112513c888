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
