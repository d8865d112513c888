"""Where the log goes, and the one function that writes a server message to it.

The log is descriptor 2; `logto` and its kin put a file there and on descriptor 1. Nothing here knows what is logged.
"""

from __future__ import annotations

import os
import sys
from os import close  # before gevent replaces it

from uwsgi_deploy.config.settings.logs import LogSettings
from uwsgi_deploy.errors import ConfigError

LOG_FILE_MODE = 0o640  # as uWSGI's

# The file that the log was sent to, absolute: children inherit it, and reopen it when it was moved away.
_file = ""


def open_log(settings: LogSettings, *, daemon: str = "", keeps_input: bool = False) -> None:
    """Make descriptors 0 to 2 usable, send 1 and 2 to a daemon's log or else to `logto`; ConfigError when that fails.

    Standard input becomes /dev/null, if it is not to be kept: no worker may wait for a terminal. Text streams become
    line-buffered, so that what applications print appears at once and is not written again by forked processes.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        if descriptor == 0 and not keeps_input:
            os.dup2(null, 0)
        elif not _is_open(descriptor):
            os.dup2(null, descriptor)  # else the next socket would become standard output
    if null > 2:
        close(null)
    if daemon or settings.logto:
        send_log_to(daemon or settings.logto, "daemonize" if daemon else "logto", truncate=settings.log_truncate)
    _write_lines_at_once()


def keep_log(settings: LogSettings, *, daemon: str = "", is_confined: bool = False) -> list[str]:
    """`open_log` of a master that executed itself: it has a log, and keeps it where the file cannot be opened any more.

    A file that was moved away is made again. is_confined: the root directory was changed, the log is outside. Returns
    lines for the log.
    """
    lines = []
    path = daemon or settings.logto
    if path:
        global _file
        _file = os.path.abspath(path)
    if path and not is_confined:
        try:
            send_log_to(path, "daemonize" if daemon else "logto")
        except ConfigError as error:  # root could, and the user that the server became cannot
            lines.append(f"{error}: the log stays where it is")
    _write_lines_at_once()
    return lines


def _write_lines_at_once() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True, errors="backslashreplace")


def drop_input() -> None:
    """Standard input becomes empty, in a child of a process that keeps it."""
    try:
        null = os.open(os.devnull, os.O_RDONLY)
    except OSError:  # a jail without /dev
        null, writer = os.pipe()
        close(writer)
    os.dup2(null, 0)
    close(null)


def log(message: str) -> None:
    """Write one message as whole lines with a single system call. A log that cannot be written stops nobody."""
    data = (message.rstrip("\n") + "\n").encode("utf-8", "backslashreplace")
    try:
        written = os.write(2, data)
        while written < len(data):  # a pipe takes a long message in pieces
            written += os.write(2, data[written:])
    except OSError:
        return  # the reader is gone or the disk is full, and there is nowhere to say it


def send_log_to(path: str, option: str, *, truncate: bool = False) -> None:
    """Append the log to a file from now on; ConfigError, which names the option, when it cannot be opened.

    truncate: what is in the file goes.
    """
    path = os.path.abspath(path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if truncate else 0)
    try:
        file = os.open(path, flags, LOG_FILE_MODE)
    except OSError as error:
        raise ConfigError(option, f"cannot open {path}: {error.strerror}") from None
    _take(file)
    global _file
    _file = path


def log_file() -> str:
    """The file that the log is appended to, empty when it is not a file of ours."""
    return _file


def reopen_log() -> str:
    """Open the log file again, by its name, for a rotation that moved it; what is wrong, empty when nothing is.

    When that fails the log stays where it is.
    """
    if not _file:
        return "the log is not a file of the server's own: logto is not set"
    try:
        _take(os.open(_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, LOG_FILE_MODE))
    except OSError as error:
        return f"cannot open the log {_file} again: {error.strerror}"
    return ""


def reopen_if_moved() -> str:
    """`reopen_log` where it is needed: in a process whose log is no longer the file of that name."""
    if not _file:
        return ""
    try:
        present, named = os.fstat(2), os.stat(_file)
    except FileNotFoundError:
        return ""  # a rotation is under way: who moved it away is about to say so
    except OSError as error:
        return f"cannot find the log {_file}: {error.strerror}"
    if (present.st_dev, present.st_ino) == (named.st_dev, named.st_ino):
        return ""
    return reopen_log()


def log_size() -> int:
    """Bytes in the log file; 0 where it is not a file of ours."""
    return os.fstat(2).st_size if _file else 0


def rotate_log(now: float, backup: str = "") -> str:
    """Move the log file to `backup`, or to `NAME.UNIXTIME` as uWSGI does, and open a new one.

    A backup that is there is replaced. Returns what is wrong, empty when nothing is.
    """
    if not _file:
        return "the log is not a file of the server's own: logto is not set"
    target = os.path.abspath(backup) if backup else f"{_file}.{int(now)}"
    number = 1
    while not backup and os.path.lexists(target):  # twice in one second
        target = f"{_file}.{int(now)}.{number}"
        number += 1
    log(f"logsize: {os.fstat(2).st_size}, triggering rotation to {target}...")
    try:
        os.rename(_file, target)
    except OSError as error:
        return f"cannot move the log {_file} to {target}: {error.strerror}"
    return reopen_log()


def _take(file: int) -> None:
    """Make an open file standard output and standard error."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    close(file)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
