"""Shell commands of the configuration: how they are started, and how their end is waited for. No policy.

A command gets nothing of the server but its three standard descriptors and its environment: no other descriptor, no
blocked or ignored signal, no handler. It ends when the process that started it does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import close, waitpid  # before gevent replaces them
from types import FrameType

from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.process import prctl, signals
from uwsgi_deploy.process.fork import fork_child

SHELL = "/bin/sh"
CANNOT_RUN = 127  # what shells say when there is no such command
# Python ignores the last two; a command would, too, and a pipe in it would never end.
_NOT_FOR_COMMANDS = (*signals.HANDLED, signal.SIGPIPE, signal.SIGXFSZ)
_STOPPING = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Interrupted(Exception):
    """The server was told to stop, by signal `number`, while it waited for something at its start."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signals.name(number))


def start_shell(
    command: str, *, environ: Mapping[str, str], prepare: Callable[[], None] | None = None, death_signal: int = 0
) -> int:
    """Start `/bin/sh -c command` and return its pid; OSError when no process can be forked.

    prepare: called in the new process just before the shell takes its place, without it the shell reads /dev/null; what
    it raises is written to standard error, and the process ends with code 127. death_signal: sent to it when this
    process ends, 0 for none.
    """
    parent = os.getpid()
    return fork_child(lambda: _become_shell(command, environ, prepare, death_signal, parent), reset=_NOT_FOR_COMMANDS)


def run_shell(command: str, *, environ: Mapping[str, str]) -> int:
    """Run a command and wait for it: its exit code, negative if a signal ended it. OSError when it cannot be forked.

    Raises Interrupted when this process is told to stop meanwhile: the command is told so, too, and waited for; at the
    second time it is killed. All processes of the command that stay in its group end with this process.
    """
    return finish(start_guarded(command, environ=environ))


def start_guarded(
    command: str, *, environ: Mapping[str, str], prepare: Callable[[], None] | None = None, passes_on: bool = True
) -> int:
    """Start a command, with a process between that leads its group and ends with it: the pid of that one.

    When this process ends, however it does, so do all processes of the group. prepare: as for `start_shell`, but in
    the process between. passes_on: what asks that one to stop is meant for all of them; if not, this process tells the
    whole group itself.
    """
    parent = os.getpid()
    return fork_child(lambda: _guard(command, environ, prepare, parent, passes_on), reset=_NOT_FOR_COMMANDS)


def _guard(
    command: str, environ: Mapping[str, str], prepare: Callable[[], None] | None, parent: int, passes_on: bool
) -> int:
    """The life of the process between: leads the command's group, and passes on to it what ends itself.

    It hears of the parent's death, also of one by SIGKILL, which the kernel tells a child and not a group.
    """
    try:
        (prepare or _empty_input)()
        if os.getpgid(0) != os.getpid():
            os.setpgid(0, 0)
    except (OSError, ServerError) as error:
        sys.stderr.write(f"cannot run {command!r}: {error}\n")
        return CANNOT_RUN
    awaited = (*_STOPPING, signal.SIGCHLD)
    signals.heed(number for number in signals.HANDLED if number not in (*awaited, signal.SIGTSTP))
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)  # blocked ones are kept until they are awaited
    prctl.set_parent_death_signal(signal.SIGTERM)
    if os.getppid() != parent:
        return CANNOT_RUN
    _close_all_but_standard()
    pid = start_shell(command, environ=environ, prepare=_as_it_is, death_signal=signal.SIGKILL)
    told = False
    while True:
        heard = signal.sigwaitinfo(awaited)
        if heard.si_signo == signal.SIGCHLD:
            ended, status = waitpid(pid, os.WNOHANG)
            if ended:
                return _ended_alike(os.waitstatus_to_exitcode(status))
        elif os.getppid() != parent:
            os.killpg(0, signal.SIGKILL)  # this process, too: nobody waits for it
        elif not told and (passes_on or heard.si_pid != parent):
            told = True
            os.killpg(0, heard.si_signo)  # comes back to this process once more, to no effect


def _as_it_is() -> None:
    """Standard input is in order already."""


def _empty_input() -> None:
    """A group in the background that reads a terminal would be stopped for ever."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)


def _ended_alike(code: int) -> int:
    """The command's exit code; one that a signal ended ends this process, too."""
    if code < 0:
        _end_by(-code)
    return code


def _end_by(number: int) -> None:
    """End as the command ended, so that its status can be read from this process; without a core file of its own."""
    import resource  # for the rare case

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.kill(os.getpid(), number)


def _become_shell(
    command: str, environ: Mapping[str, str], prepare: Callable[[], None] | None, death_signal: int, parent: int
) -> int:
    try:
        (prepare or _empty_input)()
        _close_all_but_standard()
        if death_signal:  # after `prepare`: a change of user would clear it
            prctl.set_parent_death_signal(death_signal)
            if os.getppid() != parent:
                return CANNOT_RUN
        os.execve(SHELL, [SHELL, "-c", command], dict(environ))
    except (OSError, ServerError) as error:
        sys.stderr.write(f"cannot run {command!r}: {error}\n")
    return CANNOT_RUN


def finish(pid: int) -> int:
    """Wait for a child as `run_shell` does."""
    told: list[int] = []

    def pass_on(number: int) -> None:
        _tell(pid, signal.SIGKILL if told else number)
        told.append(number)

    with stops_heeded(pass_on):
        _, status = waitpid(pid, 0)
    if told:
        raise Interrupted(told[0])
    return os.waitstatus_to_exitcode(status)


def _tell(pid: int, number: int) -> None:
    """To a command's whole group; a function's child leads none."""
    if number == signal.SIGKILL and os.getpgid(pid) == pid:
        os.killpg(pid, number)
    else:
        os.kill(pid, number)


@contextmanager
def stops_heeded(act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` with the number of a signal that asks to stop, at once. What watched these signals sees them, too."""

    def handler(number: int, _frame: FrameType | None) -> None:
        act(number)

    former = {number: signal.signal(number, handler) for number in _STOPPING}
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)  # PID 1 holds them back at its start
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, before in former.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)


def _close_all_but_standard() -> None:
    """Descriptors that were made inheritable for another purpose (a re-exec of the master) are not a command's."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2:
            try:
                close(descriptor)
            except OSError:
                continue  # the descriptor of the listing itself
