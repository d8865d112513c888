"""The master's next image: tried by a child, then executed in the same process, with all that the present one holds.

Called by the executor; with it the only place of `master/` that forks or executes. What it cannot do it says, and the
present image goes on.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
from typing import Any

from uwsgi_deploy.image import MANIFEST, PLAN, VARIABLE, Image, write_unnamed
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.master.fleet import Fleet
from uwsgi_deploy.master.manifest import Keepsake, Manifest, fleet_row, listener_row, row_of
from uwsgi_deploy.master.observe import Exit, Observer
from uwsgi_deploy.master.resources import Resources
from uwsgi_deploy.net.listener import close_listeners, remove_unix_sockets
from uwsgi_deploy.process.fork import fork_child

# Whom systemd's sockets are meant for: a process that is tried has another pid than the master that takes them.
LISTEN_PID = "LISTEN_PID"
LONGEST_OUTPUT = 1 << 16
# A reason is one line of the log.
LONGEST_REASON = 500
TRACEBACK = "Traceback (most recent call last):"
# How the child ends when it cannot even begin: a shell's code for a command that may not be executed.
CANNOT_RUN = 126


class Reexecution:
    """One image's way to the next one."""

    def __init__(self, resources: Resources, fleet: Fleet, observer: Observer) -> None:
        self._resources, self._fleet, self._observer = resources, fleet, observer
        self._plan = self._output = self._errors = -1
        self._next: Image | None = None
        self._previous = resources.previous
        self._leaving_pidfiles = resources.leaving_pidfiles
        self._keepsakes: dict[str, Keepsake] = {}

    def keep(self, name: str, give: Keepsake) -> None:
        """Have `give` called before the exec; the next image finds its values under `name` (`Adoption.keepsake`)."""
        self._keepsakes[name] = give

    # --- trying -------------------------------------------------------------------------------------------------------

    def start_checker(self) -> int:
        """Start a child that reads the configuration and comes as far as the server itself; its pid. OSError."""
        image = self._resources.image
        assert image is not None
        self._next = None
        self._plan, self._output, self._errors = (
            write_unnamed(f"uwsgi-deploy-{name}", b"") for name in ("plan", "output", "errors")
        )
        environment = {**image.environment, PLAN: str(self._plan)}
        command, directory = image.command, image.directory
        own = -1
        if image.origin is None:  # read once and for all: only the server's own code is tried
            own = write_unnamed("uwsgi-deploy-settings", image.encode())
            environment[VARIABLE] = str(own)
        else:
            command, directory = image.origin.command, image.origin.directory
            for name, value in image.origin.undo:
                environment.pop(name, None)
                if value is not None:
                    environment[name] = value
        inherited = [descriptor for descriptor in (self._plan, own) if descriptor >= 0]
        output, errors = self._output, self._errors

        def body() -> int:
            os.dup2(output, 1)
            os.dup2(errors, 2)
            for descriptor in inherited:
                os.set_inheritable(descriptor, True)
            if LISTEN_PID in environment:
                environment[LISTEN_PID] = str(os.getpid())
            try:
                os.chdir(directory)
                os.execve(command[0], command, environment)
            except OSError as error:
                os.write(2, f"cannot run {command[0]} in {directory}: {error.strerror}\n".encode())
                return CANNOT_RUN

        try:
            return fork_child(body)
        except OSError:
            self._forget_check()
            raise
        finally:
            if own >= 0:
                os.close(own)

    def judge(self, ended: Exit) -> str:
        """The child has ended: why the reload cannot go on, "" when it can. What it wrote is logged if it failed."""
        output, errors = _text(self._output), _text(self._errors)
        plan = os.pread(self._plan, os.fstat(self._plan).st_size, 0)
        self._forget_check()
        if ended.signal or ended.code or not plan:
            for text in (output, errors):
                if text:
                    log(text)
            if ended.signal == signal.SIGKILL and not errors:
                return "reading the configuration took too long"
            if not ended.signal and not ended.code:
                return "the server's command line ended without starting a server"
            return reason_in(errors) or f"reading the configuration failed, {ended.describe()}"
        image = Image.decode(plan)
        if LISTEN_PID in image.environment:
            image = dataclasses.replace(image, environment={**image.environment, LISTEN_PID: str(os.getpid())})
        self._next = image
        return ""

    def _forget_check(self) -> None:
        for descriptor in (self._plan, self._output, self._errors):
            os.close(descriptor)

    @property
    def is_tried(self) -> bool:
        """Whether there is a next image, and it can be started."""
        return self._next is not None

    # --- becoming -----------------------------------------------------------------------------------------------------

    def succeed(self) -> OSError:
        """Execute the image that was tried. Returns only with the reason why that cannot be."""
        image = self._resources.image
        assert image is not None
        assert self._next is not None
        previous = None if _serve_alike(self._next, image) else image.encode()
        log("binary reloading uWSGI...")
        log(f"chdir() to {self._next.directory}")
        log(f"running {self._next.command[0]}")
        return self._become(self._next, previous)

    def go_back(self) -> OSError | None:
        """Execute the image before this one again, if its settings were other ones. Returns if not, or if it fails."""
        if self._previous is None:
            return None
        previous, self._previous = Image.decode(self._previous), None
        log("binary reloading uWSGI, with the settings from before...")
        return self._become(previous, None)

    def arrived(self) -> None:
        """No way back is needed any more: close what only the former image's workers served."""
        self._previous = None
        leaving = [listener for listener in self._resources.leaving if listener.socket.fileno() >= 0]
        if self._resources.settings.identity.vacuum:
            for line in remove_unix_sockets(leaving):
                log(line)
        close_listeners(leaving)
        for intake in self._resources.leaving_intakes:
            for line in intake.remove() if self._resources.settings.identity.vacuum else ():
                log(line)
            intake.close()
        for pidfile in self._leaving_pidfiles:
            for line in pidfile.remove():
                log(line)
            pidfile.close()
        self._leaving_pidfiles = ()

    def _become(self, image: Image, previous: bytes | None) -> OSError:
        # Blocked signals stay pending over the exec; the next image lets them in when it has handlers.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        pending = self._observer.pending_signals()
        try:
            error = become(image, self._manifest(previous, pending))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in pending:
            os.kill(os.getpid(), number)
        return error

    def _manifest(self, previous: bytes | None, signals: tuple[int, ...]) -> Manifest:
        resources = self._resources
        channels = self._observer.channels()
        listeners = [one for one in (*resources.all_listeners, *resources.leaving) if one.socket.fileno() >= 0]
        pidfiles = (*resources.pidfiles, *self._leaving_pidfiles)
        boards = resources.scoreboard.to_rows()
        kept = {name: give() for name, give in self._keepsakes.items()}
        return Manifest(
            fleet=fleet_row(self._fleet),
            channels=channels,
            listeners=[listener_row(listener) for listener in listeners],
            pidfiles=[row_of(pidfile) for pidfile in pidfiles],
            boards=[row_of(board) for board in boards],
            previous=previous,
            signals=signals,
            keepsakes={name: values for name, (values, _) in kept.items()},
            descriptors=tuple(
                dict.fromkeys(
                    (
                        *channels.values(),
                        *(listener.socket.fileno() for listener in listeners),
                        *(pidfile.descriptor for pidfile in pidfiles),
                        *(descriptor for board in boards for descriptor in board.descriptors),
                        *(descriptor for _, descriptors in kept.values() for descriptor in descriptors),
                    )
                )
            ),
        )


def _text(descriptor: int) -> str:
    return os.pread(descriptor, LONGEST_OUTPUT, 0).decode("utf-8", "replace").strip()


def reason_in(errors: str) -> str:
    """What a program wrote on standard error before it failed, in a line: the exception and its place, or all of it."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    if TRACEBACK not in lines:
        return " ".join(lines)[:LONGEST_REASON]
    places = [line for line in lines if line.startswith('File "') and not line.startswith('File "<frozen')]
    place = f" ({places[-1].partition(', in ')[0]})" if places else ""
    return f"{lines[-1]}{place}"[:LONGEST_REASON]


def become(image: Image, manifest: Manifest) -> OSError:
    """Execute `image` in this process and hand it `manifest`. Returns only with the reason why that cannot be."""
    opened = []
    back = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        opened = [write_unnamed("uwsgi-deploy-settings", image.encode())]
        opened.append(write_unnamed("uwsgi-deploy-manifest", manifest.encode()))
        for descriptor in (*opened, *manifest.descriptors):
            os.set_inheritable(descriptor, True)
        environment = {**image.environment, VARIABLE: str(opened[0]), MANIFEST: str(opened[1])}
        os.chdir(image.directory)
        os.execve(image.command[0], image.command, environment)
    except (OSError, ValueError) as reason:  # ValueError: marshal found what is no plain value
        error = reason if isinstance(reason, OSError) else OSError(errno.EINVAL, str(reason))
        os.fchdir(back)
        for descriptor in manifest.descriptors:
            os.set_inheritable(descriptor, False)
        for descriptor in (back, *opened):
            os.close(descriptor)
        return error


def _serve_alike(one: Image, other: Image) -> bool:
    """Whether there is no difference between two images that anybody could want back."""
    return _essence(one) == _essence(other)


def _essence(image: Image) -> tuple[Any, ...]:
    return image.settings, tuple(image.command), image.directory, dict(image.environment)
