"""`ServerProcess`: a real server in a child process, for integration tests.

    with ServerProcess("--http-socket", "127.0.0.1:0", "--module", "hello") as server:
        assert server.get("/").status == 200
        server.stop()
        assert server.exit_code == 0

It starts `python -m uwsgi_deploy OPTIONS` in a session of its own, repository and `tests/support/apps` on PYTHONPATH,
collects all output in `server.log`, learns the bound addresses from it, and waits until the server says that it is
ready. On leaving the block everything it started is gone.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGTERM
from types import TracebackType

from tests.support.client import RawClient, Response
from tests.support.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
APPS = Path(__file__).resolve().parent / "apps"
LAUNCHER = (sys.executable, "-m", "uwsgi_deploy")
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "TZ")

TCP_LINE = re.compile(
    r"^uwsgi socket \d+ bound to TCP address (\S*):(\d+)(?: \(port auto-assigned\))? fd \d+$"
    r"|^uWSGI \w+ bound on (\S*):(\d+)(?: \(port auto-assigned\))? fd \d+$",
    re.M,
)
UNIX_LINE = re.compile(r"^uwsgi socket \d+ bound to UNIX address (\S+) fd \d+$", re.M)
WORKER_LINE = re.compile(
    r"^(?:spawned uWSGI worker (\d+) .*\(pid: (\d+)|Respawned uWSGI worker (\d+) \(new pid: (\d+))", re.M
)
READY_LINE = re.compile(r"^\*\*\* uwsgi-deploy is ready", re.M)


class ServerProcess:
    """A server under test. Create it with the server's options; `with` starts it and ends it.

    directory: working directory (default: a new temporary one). environment: additional variables. launcher: what
    stands before the options (default `python -m uwsgi_deploy`). wait: whether entering the block waits for readiness.
    """

    def __init__(
        self,
        *options: str | os.PathLike[str],
        directory: str | os.PathLike[str] | None = None,
        environment: Mapping[str, str] | None = None,
        launcher: Sequence[str] = LAUNCHER,
        wait: bool = True,
        timeout: float = 30.0,
    ) -> None:
        self.command = [*launcher, *(os.fspath(option) for option in options)]
        self.wait = wait
        self.timeout = timeout
        self._temporary = tempfile.TemporaryDirectory(prefix="uwsgi-deploy-test-")
        self._log_path = Path(self._temporary.name) / "server.log"
        self.directory = Path(directory) if directory is not None else Path(self._temporary.name) / "cwd"
        self.directory.mkdir(exist_ok=True)
        os.chmod(self._temporary.name, 0o755)  # servers that drop root must still reach their directory
        self.environment = _environment(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    # --- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> ServerProcess:
        self.start()
        try:
            if self.wait:
                self.wait_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(f"--- log of {' '.join(self.command)}\n{self.log}\n---\n")
        self._end()

    def start(self) -> None:
        """Start the process and return at once."""
        with open(self._log_path, "ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until all workers accept requests; AssertionError with the log when the server ends before."""

        def ready() -> bool:
            if READY_LINE.search(self.log):
                return True
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log}")
            return False

        try:
            wait_until(ready, self.timeout, what="the server to be ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- log:\n{self.log}") from None

    def signal(self, number: int) -> None:
        """Send a signal to the server's first process only."""
        self.process.send_signal(number)

    def stop(self, number: int = SIGTERM, timeout: float = 20.0) -> int:
        """Send a signal (default SIGTERM), wait for the end, return the exit code."""
        self.signal(number)
        return self.wait_end(timeout)

    def wait_end(self, timeout: float = 20.0) -> int:
        """Wait for the end of the server's first process and return its exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server did not end within {timeout:g} s:\n{self.log}") from None

    def _end(self) -> None:
        if self._process is not None:
            for pid in {*self.session_pids(), self._process.pid}:
                _kill(pid)
            self._process.wait(10)
        self._temporary.cleanup()

    # --- what it is doing ---------------------------------------------------------------------------------------------

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's first process: the master, or the only worker."""
        assert self._process is not None, "the server was not started"
        return self._process

    @property
    def pid(self) -> int:
        """Pid of the server's first process."""
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code of the first process, None while it runs."""
        return self.process.poll()

    @property
    def log(self) -> str:
        """Everything written so far, standard output and standard error together."""
        try:
            return self._log_path.read_text("utf-8", "backslashreplace")
        except FileNotFoundError:
            return ""

    @property
    def log_lines(self) -> list[str]:
        """The log as lines."""
        return self.log.splitlines()

    def wait_for_log(self, pattern: str, *, count: int = 1, timeout: float = 10.0) -> re.Match[str]:
        """Wait until the log holds `pattern` (a regular expression, `^$` at lines) `count` times; the last match."""
        expression = re.compile(pattern, re.M)

        def seen() -> list[re.Match[str]]:
            matches = list(expression.finditer(self.log))
            return matches if len(matches) >= count else []

        try:
            return wait_until(seen, timeout, what=f"log line {pattern!r}")[-1]
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- log:\n{self.log}") from None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Bound TCP addresses, also of the http router, as (host, port), in order; a wildcard is given as loopback."""
        loopback = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "::1"}
        found = [(one or other, port or last) for one, port, other, last in TCP_LINE.findall(self.log)]
        return [(loopback.get(host, host.strip("[]")), int(port)) for host, port in found]

    @property
    def port(self) -> int:
        """The first bound TCP port."""
        return self.addresses[0][1]

    @property
    def url(self) -> str:
        """http://host:port of the first TCP address, without a slash at the end."""
        host, port = self.addresses[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def unix_sockets(self) -> list[Path]:
        """Paths of bound Unix sockets, absolute."""
        return [self.directory / path for path in UNIX_LINE.findall(self.log)]

    @property
    def worker_pids(self) -> dict[int, int]:
        """Worker number -> newest pid, from the log; a pid may have ended meanwhile."""
        pids: dict[int, int] = {}
        for spawned, pid, respawned, new_pid in WORKER_LINE.findall(self.log):
            pids[int(spawned or respawned)] = int(pid or new_pid)
        return pids

    def session_pids(self) -> set[int]:
        """Every living process of the server's session, zombies excluded."""
        return {pid for pid, session in _processes() if session == self.pid}

    # --- clients ------------------------------------------------------------------------------------------------------

    def connect(self, index: int = 0, timeout: float = 10.0) -> RawClient:
        """A new raw connection to TCP address number `index`, or to that Unix socket when there is no TCP."""
        addresses = self.addresses
        return RawClient(addresses[index] if addresses else str(self.unix_sockets[index]), timeout)

    def get(self, path: str = "/", **headers: str) -> Response:
        """One GET on a new connection."""
        with self.connect() as client:
            return client.get(path, **headers)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(APPS)])
    environment.update(extra)
    return environment


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _processes() -> list[tuple[int, int]]:
    """(pid, session) of all living processes."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fields = Path(f"/proc/{name}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            found.append((int(name), int(fields[3])))
    return found
