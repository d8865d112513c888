"""What each hook action does to the process, the files or the host. Raises OSError or HookFailed; decides nothing.

`process.hooks` says when; the names and the syntax are in `config.hooks`.
"""

from __future__ import annotations

import errno
import importlib
import os
import socket
import stat
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import sleep

from uwsgi_deploy.config.hooks import Step
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.process import identity
from uwsgi_deploy.process.command import Interrupted, finish, run_shell, stops_heeded
from uwsgi_deploy.process.fork import fork_child
from uwsgi_deploy.process.waiting import wait_for

FILE_MODE, DIRECTORY_MODE = 0o666, 0o777  # before the umask, as open() and mkdir() of any program
FIFO_PAUSE = 0.1

# mount(2) and umount2(2)
MOUNT_FLAGS = {
    "ro": 0x1,
    "rdonly": 0x1,
    "nosuid": 0x2,
    "nodev": 0x4,
    "noexec": 0x8,
    "remount": 0x20,
    "noatime": 0x400,
    "bind": 0x1000,
    "move": 0x2000,
    "rec": 0x4000,
    "private": 0x40000,
    "slave": 0x80000,
    "shared": 0x100000,
}
UMOUNT_FLAGS = {"force": 0x1, "detach": 0x2, "expire": 0x4, "nofollow": 0x8}


class HookFailed(ServerError):
    """A step of a phase did not work."""


class HookExit(ServerError):
    """A step asked to end the process with this exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process that runs a hook is.

    environ: the environment for commands. in_application: whether Python functions run in this process, which holds
    the application (or is about to); else in a child, so that nothing of the application stays in the master.
    prepare_imports: makes the application's modules importable, in that child.
    fs_timeout, socket_timeout: seconds for `wait_for_*`.
    """

    environ: Callable[[], Mapping[str, str]]
    in_application: bool
    prepare_imports: Callable[[], None]
    fs_timeout: float
    socket_timeout: float
    log: Callable[[str], None]


def perform(step: Step, surroundings: Surroundings) -> None:
    """Do what the step says. OSError, HookFailed or HookExit when it does not work or ends the process."""
    _ACTIONS[step.action](step, surroundings)


# --- the process ------------------------------------------------------------------------------------------------------


def _chdir(step: Step, _: Surroundings) -> None:
    os.chdir(step.argument)


def _putenv(step: Step, _: Surroundings) -> None:
    name, _equals, value = step.argument.partition("=")
    os.environ[name] = value


def _exit(step: Step, _: Surroundings) -> None:
    code = int(step.argument or 0)
    raise HookExit(f"{step.option}: exit with code {code}, as the hook says", code)


def _print(step: Step, surroundings: Surroundings) -> None:
    surroundings.log(step.argument)


# --- commands and functions -------------------------------------------------------------------------------------------


def _exec(step: Step, surroundings: Surroundings) -> None:
    code = run_shell(step.argument, environ=surroundings.environ())
    if code > 0:
        raise HookFailed(f'command "{step.argument}" exited with non-zero code: {code}')
    if code < 0:
        raise HookFailed(f'command "{step.argument}" was ended by signal {-code}')


def _safeexec(step: Step, surroundings: Surroundings) -> None:
    try:
        _exec(step, surroundings)
    except HookFailed as error:
        surroundings.log(f"{error} (safeexec: ignored)")


def _call(step: Step, surroundings: Surroundings) -> None:
    if surroundings.in_application:
        _call_here(step)
        return

    def body() -> int:
        try:
            surroundings.prepare_imports()
            _call_here(step)
        except (HookFailed, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
        return 0

    if finish(fork_child(body)) != 0:
        raise HookFailed(f"{step.argument.split()[0]} failed, see above")


def _call_here(step: Step) -> None:
    name, _, argument = step.argument.partition(" ")
    arguments: tuple[str | int, ...] = (argument.strip(),) if argument.strip() else ()
    if step.action.startswith("callint"):
        try:
            arguments = (int(argument),)
        except ValueError:
            raise HookFailed(f"{name} needs a number, not {argument!r}") from None
    module, _, attributes = name.partition(":")
    try:
        found: object = importlib.import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
        result = found(*arguments)  # type: ignore[operator]
    except Exception as error:  # the person's own code
        traceback.print_exception(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
        raise HookFailed(f"{name} raised {type(error).__name__}: {error}") from error
    if step.action.endswith("ret") and result:
        raise HookFailed(f"{name} returned {result!r}")


# --- files ------------------------------------------------------------------------------------------------------------


def _mkdir(step: Step, _: Surroundings) -> None:
    """Parents too; one that is there already is what was asked for, so that a second start works as the first."""
    os.makedirs(step.argument, DIRECTORY_MODE, exist_ok=True)


def _chmod(step: Step, _: Surroundings) -> None:
    path, mode = step.argument.rsplit(None, 1)
    try:
        number = int(mode, 8)
    except ValueError:
        raise HookFailed(f"'{mode}' is no octal mode") from None
    os.chmod(path, number)


def _chown(step: Step, _: Surroundings) -> None:
    path, user, group = step.argument.rsplit(None, 2)
    os.chown(path, identity.user_number(user, step.option), identity.group_number(group, step.option))


def _sticky(step: Step, _: Surroundings) -> None:
    os.chmod(step.argument, stat.S_IMODE(os.stat(step.argument).st_mode) | stat.S_ISVTX)


def _create(step: Step, _: Surroundings) -> None:
    _put(step.argument, "", os.O_CREAT | os.O_TRUNC)


def _write(step: Step, _: Surroundings) -> None:
    path, text = step.argument.split(None, 1)
    flags = os.O_CREAT | (os.O_APPEND if step.action.startswith("append") else os.O_TRUNC)
    _put(path, text + ("\n" if step.action.endswith("n") else ""), flags)


def _put(path: str, text: str, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, FILE_MODE)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape", closefd=False) as file:
            file.write(text)
    finally:
        os.close(descriptor)


def _writefifo(step: Step, _: Surroundings) -> None:
    """Only if somebody reads: a hook does not hang for want of a reader."""
    path, text = step.argument.split(None, 1)
    _put(path, text, os.O_NONBLOCK)


def _spinningfifo(step: Step, surroundings: Surroundings) -> None:
    path, text = step.argument.split(None, 1)
    with stops_heeded(_interrupt):
        while True:
            try:
                return _put(path, text, os.O_NONBLOCK)
            except OSError as error:
                if error.errno not in (errno.ENXIO, errno.ENOENT):
                    raise
            surroundings.log(f"waiting for a reader of {path} ...")
            while not _is_read(path):
                sleep(FIFO_PAUSE)


def _is_read(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in (errno.ENXIO, errno.ENOENT)
    return True


def _interrupt(number: int) -> None:
    raise Interrupted(number)


def _unlink(step: Step, _: Surroundings) -> None:
    os.unlink(step.argument)


# --- the host ---------------------------------------------------------------------------------------------------------


def _mount(step: Step, _: Surroundings) -> None:
    kind, source, target, *rest = step.argument.split()
    number = _flags(rest, MOUNT_FLAGS)
    _call_libc("mount", *map(os.fsencode, (source, target, kind)), number, None)


def _umount(step: Step, _: Surroundings) -> None:
    target, *rest = step.argument.split()
    _call_libc("umount2", os.fsencode(target), _flags(rest, UMOUNT_FLAGS))


def _flags(words: list[str], known: Mapping[str, int]) -> int:
    number = 0
    for word in ",".join(words).split(",") if words else ():
        if word not in known:
            raise HookFailed(f"unknown flag '{word}', there are {', '.join(known)}")
        number |= known[word]
    return number


def _call_libc(function: str, *arguments: object) -> None:
    import ctypes  # as in prctl: costs a megabyte, only for those who mount

    library = ctypes.CDLL(None, use_errno=True)
    converted = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    if getattr(library, function)(*converted) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _hostname(step: Step, _: Surroundings) -> None:
    socket.sethostname(step.argument)


def _wait(step: Step, surroundings: Surroundings) -> None:
    kind = step.action.removeprefix("wait_for_")
    timeout = surroundings.socket_timeout if kind == "socket" else surroundings.fs_timeout
    wait_for(kind, step.argument, timeout=timeout, log=surroundings.log)


def _unix_signal(step: Step, _: Surroundings) -> None:
    """Nothing to do here: the master has bound it already, see `master.hooks`."""


_ACTIONS: Mapping[str, Callable[[Step, Surroundings], None]] = {
    "cd": _chdir,
    "chdir": _chdir,
    "mkdir": _mkdir,
    "putenv": _putenv,
    "chmod": _chmod,
    "chown": _chown,
    "chown2": _chown,
    "sticky": _sticky,
    "exec": _exec,
    "safeexec": _safeexec,
    "creat": _create,
    "create": _create,
    "write": _write,
    "writen": _write,
    "append": _write,
    "appendn": _write,
    "writefifo": _writefifo,
    "spinningfifo": _spinningfifo,
    "unlink": _unlink,
    "mount": _mount,
    "umount": _umount,
    "call": _call,
    "callret": _call,
    "callint": _call,
    "callintret": _call,
    "hostname": _hostname,
    "wait_for_fs": _wait,
    "wait_for_file": _wait,
    "wait_for_dir": _wait,
    "wait_for_socket": _wait,
    "unix_signal": _unix_signal,
    "exit": _exit,
    "print": _print,
    "log": _print,
}
