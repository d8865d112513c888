"""Daemons as processes: how one is started, found by its pid file, and told something. No policy."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping

from uwsgi_deploy.config.daemons import DaemonSpec
from uwsgi_deploy.config.settings.identity import IdentitySettings
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.process import identity
from uwsgi_deploy.process.command import start_guarded, start_shell
from uwsgi_deploy.process.identity import Identity

PIDFILE_MODE = 0o644
LONGEST_PIDFILE = 32
# The clock may have been set between a process's start and the writing of its pid file.
CLOCK_SLACK = 60.0
# The name of a program, then words and quotes and nothing that would need the shell any longer.
_SIMPLE = re.compile(r"(?P<program>[\w./+-]+)(?:[ \t][\w \t./:,@%+='\"~^-]*)?")


def start_daemon(
    spec: DaemonSpec,
    *,
    become: Callable[[], object],
    environ: Mapping[str, str],
    stdin: int | None,
    ends_with_us: bool,
) -> int:
    """Start the program in a session of its own and return the pid of its leader; OSError when it cannot be forked.

    become: called in the new process, gives up what a daemon is not to have of the master's. stdin: what it reads, None
    for /dev/null. ends_with_us: whether it ends when this process does, however that ends.
    """

    def prepare() -> None:
        if os.getsid(0) != os.getpid():
            os.setsid()
        _connect_input(spec.stdin or stdin)
        if spec.chdir:
            os.chdir(spec.chdir)
        become()

    command, is_program = _without_shell(spec.command, environ)
    if not ends_with_us or is_program:
        death_signal = signal.SIGTERM if ends_with_us else 0
        return start_shell(command, environ=environ, prepare=prepare, death_signal=death_signal)
    # The kernel tells a child that its parent died, here the shell, but not what the shell has started.
    return start_guarded(command, environ=environ, prepare=prepare, passes_on=False)


def _without_shell(command: str, environ: Mapping[str, str]) -> tuple[str, bool]:
    """(`exec command`, True) where the command is one program: the shell then makes room for it."""
    simple = _SIMPLE.fullmatch(command)
    if simple is None or not _is_program(simple["program"], environ.get("PATH", os.defpath)):
        return command, False
    return f"exec {command}", True


def _is_program(name: str, path: str) -> bool:
    """Whether it is a file to execute, and no builtin or mistake of the shell's."""
    places = [name] if "/" in name else [os.path.join(directory, name) for directory in path.split(os.pathsep)]
    return any(os.path.isfile(place) and os.access(place, os.X_OK) for place in places)


def _connect_input(descriptor: int | None) -> None:
    if descriptor is None:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    os.dup2(descriptor, 0)  # inheritable from now on, also if it is 0 already


def identity_of(spec: DaemonSpec, settings: IdentitySettings) -> Identity:
    """Whom the daemon has to become: its own user and group, else the server's if the master has not become that one.

    ConfigError, which names the daemon's option, for names that mean nothing.
    """
    if not (spec.uid or spec.gid):
        return identity.resolve_identity(settings) if settings.drop_after_apps else Identity()
    try:
        return identity.resolve_identity(IdentitySettings(uid=spec.uid, gid=spec.gid))
    except ConfigError as error:
        raise ConfigError(spec.option, f"'{spec.command}': {error}") from None


def tell(pid: int, number: int) -> None:
    """Send a signal to a daemon's group, or to the process alone if it leads none. Nothing if it is gone."""
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # gone, or another user's process by now


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    return _begin_of(pid) is not None


# --- pid files --------------------------------------------------------------------------------------------------------


def pid_of_file(path: str) -> int:
    """The pid in a file if that process lives and is not younger than the file; else 0."""
    try:
        with open(path, "rb") as file:
            text = file.read(LONGEST_PIDFILE).strip()
            written = os.fstat(file.fileno()).st_mtime
    except OSError:
        return 0
    if not text.isdigit() or int(text) <= 1 or int(text) == os.getpid():
        return 0
    pid = int(text)
    begun = _begin_of(pid)
    # After a restart of the container, or of the machine, the number may mean another process.
    return pid if begun is not None and begun <= written + CLOCK_SLACK else 0


def _begin_of(pid: int) -> float | None:
    """When a living process began, in seconds since the epoch; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def write_pid(path: str, pid: int) -> None:
    """Put the pid into a file, which is replaced. OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, PIDFILE_MODE)
    try:
        os.write(descriptor, b"%d\n" % pid)
    finally:
        os.close(descriptor)
