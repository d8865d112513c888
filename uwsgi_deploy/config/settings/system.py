"""What the processes ask of the operating system: daemons, limits, jails, supervisors."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Seconds


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
    force_cwd: str = option(
        "", help="Directory to run the command in at reloads, instead of the one that the server was started in."
    )
    limit_nproc: int = option(0, help="Most processes and threads of the user (RLIMIT_NPROC); 0 leaves it as it is.")
    max_fd: int = option(0, help="Most descriptors of each process (RLIMIT_NOFILE); 0 leaves it as it is.")
    prio: str = option("", help="Scheduling priority of all processes, -20 to 19; below 0 for root only.")
    threads_stacksize: int = option(
        0,
        "thread-stacksize",
        "threads-stack-size",
        "thread-stack-size",
        help="Stack of each request thread in KiB; 0 leaves it to the system.",
    )
    lame_duck: Seconds = option(
        0,
        help="Told to stop, serve on for this many seconds with answers that close their connections, while load "
        "balancers learn of it; 0 stops at once.",
    )
    honour_stdin: bool = option(
        False, help="Keep standard input in all processes, for a debugger in the application, instead of /dev/null."
    )
    skip_atexit: bool = option(False, help="Workers end without the application's exit handlers.")
    show_nginx: str = option(
        "",
        optional_value="_",
        help="Print nginx's configuration for these options and do not start; the value is its server name, or the "
        "address that it listens on, each with a port if it is not 80.",
    )
