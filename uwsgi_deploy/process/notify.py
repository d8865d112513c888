"""What a service manager that started us is told, in systemd's notification protocol (sd_notify(3)).

The socket is connected once, before privileges and root directory change, and only the master keeps it. A manager that
does not answer stops nobody: what cannot be said is lost, and the log says so once.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, MutableMapping

Warn = Callable[[str], None]

# Variables that speak to one process; programs that it starts must not take them for theirs.
OF_THIS_PROCESS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
# systemd reads at once; a manager that has hung must not hang us, too.
SEND_TIMEOUT = 1.0


class Notifier:
    """A way to the service manager. watchdog: seconds between signs of life that it expects; None for no watchdog."""

    def __init__(self, end: socket.socket, warn: Warn, *, watchdog: float | None) -> None:
        self._end, self._warn, self.watchdog = end, warn, watchdog
        self._complained = False

    @property
    def descriptor(self) -> int:
        """The socket, for children to close."""
        return self._end.fileno()

    def send(self, *assignments: str) -> None:
        """Send `VARIABLE=value` lines in one datagram."""
        try:
            self._end.send("\n".join(assignments).encode("utf-8", "replace"))
        except OSError as error:
            if not self._complained:
                self._complained = True
                self._warn(
                    f"*** WARNING: the service manager cannot be told {assignments[0]}: {error.strerror or error} ***"
                )

    def close(self) -> None:
        """Say nothing more."""
        self._end.close()


def notifier_of(environ: Mapping[str, str], pid: int, warn: Warn, *, connected: int | None = None) -> Notifier | None:
    """The way to the manager that NOTIFY_SOCKET names, None without one.

    pid: whom WATCHDOG_PID may mean. warn: takes lines for the log. connected: a descriptor that leads there
    already, from before an exec: in a jail there is no other way.
    """
    name = environ.get("NOTIFY_SOCKET", "")
    if not name:
        return None
    if connected is not None:
        return Notifier(_patient(socket.socket(fileno=connected)), warn, watchdog=_watchdog(environ, pid))
    if not name.startswith(("/", "@")):
        warn(f"*** WARNING: NOTIFY_SOCKET={name} is neither a path nor an abstract name, and is ignored ***")
        return None
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        end.connect(b"\0" + os.fsencode(name[1:]) if name[0] == "@" else name)
    except OSError as error:
        end.close()
        warn(f"*** WARNING: NOTIFY_SOCKET={name} cannot be reached: {error.strerror} ***")
        return None
    return Notifier(_patient(end), warn, watchdog=_watchdog(environ, pid))


def _patient(end: socket.socket) -> socket.socket:
    end.settimeout(SEND_TIMEOUT)
    return end


def _watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    """Seconds, from WATCHDOG_USEC (sd_watchdog_enabled(3))."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or int(microseconds) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(microseconds) / 1e6


def forget_manager(environ: MutableMapping[str, str]) -> None:
    """Take out of the environment what the manager said to the master alone."""
    for variable in OF_THIS_PROCESS:
        environ.pop(variable, None)
