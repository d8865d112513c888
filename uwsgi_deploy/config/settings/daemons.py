"""Programs that run beside the application and are supervised with it."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """Programs that run beside the application and are supervised with it."""

    attach_daemon: tuple[str, ...] = option(
        (), help="Run this command beside the workers and start it again when it ends. Repeatable."
    )
    attach_control_daemon: tuple[str, ...] = option(
        (), help="As attach-daemon, but when the command ends the server stops. Repeatable."
    )
    smart_attach_daemon: tuple[str, ...] = option(
        (),
        help="PIDFILE[,SECONDS] COMMAND: a command that goes into the background itself; it outlives reloads and "
        "stops, and is started when the process of the pid file is gone. Repeatable.",
    )
    smart_attach_daemon2: tuple[str, ...] = option(
        (),
        help="PIDFILE[,SECONDS] COMMAND: the same for a command that stays in the foreground; the server writes the "
        "pid file. Repeatable.",
    )
    attach_daemon2: tuple[str, ...] = option(
        (), help="A daemon as key=value pairs separated by commas: cmd, pidfile, stopsignal and more. Repeatable."
    )
    daemons_honour_stdin: bool = option(False, help="Daemons get the server's standard input instead of /dev/null.")
