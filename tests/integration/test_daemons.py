"""daemonize, daemonize2, logto2 and the four pid files: what the command says, and what is left running."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.readable import readable_launcher
from tests.support.server import LAUNCHER, ServerProcess
from tests.support.waiting import wait_until

HTTP = ("--http-socket", "127.0.0.1:0")
HELLO = (*HTTP, "--module", "hello")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def session(pid: int) -> int:
    """The session of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])


class Daemon:
    """A command that goes into the background in `directory`, its log `app.log` and pid file `app.pid` there."""

    def __init__(self, directory: Path, *options: str, timeout: float = 30) -> None:
        self.log_file, self.pid_file = directory / "app.log", directory / "app.pid"
        self.command = subprocess.run(
            [*LAUNCHER, "--pidfile", str(self.pid_file), *options],
            cwd=directory,
            env=ServerProcess().environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    @property
    def log(self) -> str:
        """What is in the log so far."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def wait_for_log(self, text: str) -> None:
        """Wait for a piece of the log."""
        wait_until(lambda: text in self.log, 20, what=f"{text!r} in the log")

    @property
    def pid(self) -> int:
        """The daemon's pid."""
        return int(self.pid_file.read_text())

    def end(self) -> None:
        """Stop it and everything of its session, whatever state it is in."""
        with suppress(FileNotFoundError, ValueError):
            pid = self.pid
            for name in os.listdir("/proc"):
                if name.isdigit() and alive(int(name)) and session(int(name)) == session(pid):
                    with suppress(ProcessLookupError):
                        os.kill(int(name), signal.SIGKILL)


@contextmanager
def daemon(directory: Path, *options: str) -> Iterator[Daemon]:
    """A daemon that is gone when the block ends."""
    running = Daemon(directory, *options)
    try:
        yield running
    finally:
        running.end()


def test_daemonize_returns_at_once(tmp_path: Path) -> None:
    """The command ends with 0 before the application is loaded; the server is in a session of its own, and stops."""
    (tmp_path / "app.py").write_text(
        "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nfrom hello import application\n"
    )
    with daemon(tmp_path, *HTTP, "--module", "app", "--daemonize", "app.log") as server:
        assert server.command.returncode == 0
        assert (server.command.stdout, server.command.stderr) == ("", "")
        server.wait_for_log("spawned uWSGI master process")
        assert "is ready" not in server.log
        pid = server.pid
        assert session(pid) not in (os.getsid(0), pid), "a session of its own that it does not lead"
        assert [os.readlink(f"/proc/{pid}/fd/{n}") for n in (0, 1, 2)] == [
            os.devnull,
            str(server.log_file),
            str(server.log_file),
        ]
        (tmp_path / "go").touch()
        server.wait_for_log("uwsgi-deploy is ready")
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), 20, what="the daemon to end")
        assert not server.pid_file.exists()
        assert "goodbye to uWSGI." in server.log


def test_daemonize_with_errors_before_it(tmp_path: Path) -> None:
    """What is wrong with the settings, and a log that cannot be opened, are said on the terminal."""
    with daemon(tmp_path, *HTTP, "--module", "hello", "--chdir", "/none", "--daemonize", "app.log") as server:
        assert server.command.returncode == 1
        assert "there is no directory /none" in server.command.stderr
        assert server.log == ""
    with daemon(tmp_path, *HELLO, "-d", "none/app.log") as server:
        assert server.command.returncode == 1
        assert "daemonize: cannot open" in server.command.stderr
        assert not server.pid_file.exists()


def test_daemonize2_returns_when_it_serves(tmp_path: Path) -> None:
    """0 means that requests are answered; the terminal saw the log until then, and nothing after."""
    (tmp_path / "app.log").write_text("an older line\n")
    (tmp_path / "app.py").write_text("import time\ntime.sleep(0.5)\nfrom hello import application\n")
    with daemon(tmp_path, *HTTP, "--module", "app", "-p", "2", "--daemonize2", "app.log") as server:
        assert server.command.returncode == 0, server.command.stderr
        shown = server.command.stderr
        assert shown.startswith("*** Starting uWSGI-compatible")
        assert "*** uwsgi-deploy is ready: 2 workers accept requests ***" in shown
        assert server.log.startswith(f"an older line\n{shown}")
        pid = server.pid
        assert alive(pid)
        os.kill(pid, signal.SIGHUP)
        server.wait_for_log("reload complete")
        assert alive(pid)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), 20, what="the daemon to end")


@pytest.mark.parametrize("options", [(), ("--lazy-apps",), ("--master=false",)])
def test_daemonize2_fails_as_the_server_does(tmp_path: Path, options: tuple[str, ...]) -> None:
    """An application that cannot be loaded: exit code 22 and the traceback on the terminal, and nothing is running."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('as planned')\n")
    with daemon(tmp_path, *HTTP, "--module", "broken", *options, "--daemonize2", "app.log") as server:
        assert server.command.returncode == 22, server.command.stderr
        assert "RuntimeError: as planned" in server.command.stderr
        assert not server.pid_file.exists()


def test_daemonize2_when_the_daemon_is_killed(tmp_path: Path) -> None:
    """Without a verdict the command fails."""
    (tmp_path / "app.py").write_text("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n")
    with daemon(tmp_path, *HTTP, "--module", "app", "--daemonize2", "app.log") as server:
        assert server.command.returncode == 1


def test_daemonize2_ctrl_c_ends_the_start(tmp_path: Path) -> None:
    """Who loses patience on the terminal means the server."""
    (tmp_path / "app.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    command = subprocess.Popen(
        [*LAUNCHER, *HTTP, "--module", "app", "--daemonize2", "app.log", "--pidfile", "app.pid"],
        cwd=tmp_path,
        env=ServerProcess().environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert command.stderr is not None
    for line in command.stderr:
        if b"loading" in line:
            break
    pid = int((tmp_path / "app.pid").read_text())
    command.send_signal(signal.SIGINT)
    assert command.wait(20) == 0
    command.stderr.close()
    wait_until(lambda: not alive(pid), 20, what="the daemon to end")
    assert "goodbye to uWSGI." in (tmp_path / "app.log").read_text()


def test_pid_1_cannot_go_into_the_background() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may unshare the pid namespace")
    launcher = ("unshare", "--pid", "--fork", "--mount-proc", *LAUNCHER)
    with ServerProcess(*HELLO, "--daemonize", "app.log", launcher=launcher, wait=False) as server:
        assert server.wait_end() == 1
        assert "as PID 1 this process cannot go into the background" in server.log


def test_command_line_warnings_are_in_the_daemons_log(tmp_path: Path) -> None:
    with daemon(tmp_path, *HELLO, "--thunder-lock", "--daemonize", "app.log") as server:
        assert "thunder-lock" in server.command.stderr
        server.wait_for_log("is ready")
        assert "'thunder-lock = true' is not needed" in server.log


# --- pid files, logto2 ------------------------------------------------------------------------------------------------


def test_safe_pid_files_tell_how_far_the_start_is(tmp_path: Path) -> None:
    """safe-pidfile when the application is loaded, safe-pidfile2 when workers accept; all four go with the server."""
    (tmp_path / "app.py").write_text(
        "import os, time\nwhile not os.path.exists('loaded'): time.sleep(0.01)\nfrom hello import application\n"
    )
    options = [f"--{name}={name}" for name in ("pidfile", "pidfile2", "safe-pidfile", "safe-pidfile2")]
    with ServerProcess(*HTTP, "--module", "app", *options, directory=tmp_path, wait=False) as server:
        files = {name: tmp_path / name for name in ("pidfile", "pidfile2", "safe-pidfile", "safe-pidfile2")}
        server.wait_for_log("spawned uWSGI master")
        assert [name for name, path in files.items() if path.exists()] == ["pidfile", "pidfile2"]
        (tmp_path / "loaded").touch()
        server.wait_ready()
        wait_until(files["safe-pidfile2"].exists, what="safe-pidfile2")
        assert {path.read_text() for path in files.values()} == {f"{server.pid}\n"}
        written = {name: path.stat().st_mtime_ns for name, path in files.items()}
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        assert {name: path.stat().st_mtime_ns for name, path in files.items()} == written
        assert server.stop() == 0
        assert server.log.count("VACUUM: pidfile removed.") == 4
        assert not any(path.exists() for path in files.values())


def test_no_child_holds_the_lock_of_a_pid_file(tmp_path: Path) -> None:
    """A killed master's pid files are free at once, whatever its workers do; also those that were written late."""
    options = ("--pidfile", "a.pid", "--safe-pidfile", "b.pid", "--safe-pidfile2", "c.pid")
    with ServerProcess(*HELLO, *options, directory=tmp_path) as server:
        wait_until((tmp_path / "c.pid").exists, what="the last pid file")
        os.kill(server.worker_pids[1], signal.SIGKILL)  # its successor is forked when all files are there
        server.wait_for_log("^Respawned")
        server.signal(signal.SIGHUP)  # and so is the next template
        server.wait_for_log("reload complete", timeout=30)
        for pid in server.session_pids() - {server.pid}:
            with suppress(FileNotFoundError):  # one that ends while we look
                held = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
                assert not any(name.endswith(".pid") for name in held), held


def test_without_a_master_pid_files_are_written_too(tmp_path: Path) -> None:
    options = ("--safe-pidfile", "a.pid", "--safe-pidfile2", "b.pid", "--master=false")
    with ServerProcess(*HELLO, *options, directory=tmp_path) as server:
        wait_until((tmp_path / "b.pid").exists, what="the last pid file")
        assert (tmp_path / "a.pid").read_text() == (tmp_path / "b.pid").read_text() == f"{server.pid}\n"
        assert server.stop() == 0
        assert not (tmp_path / "b.pid").exists()


def test_a_safe_pid_file_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    with ServerProcess(*HELLO, "--safe-pidfile2", "none/b.pid", directory=tmp_path, wait=False) as server:
        assert server.wait_end() == 1
        assert "safe-pidfile2: cannot write" in server.log_lines[-1]


@AS_ROOT
def test_pidfile2_and_logto2_are_opened_as_the_user() -> None:
    """After privileges were dropped, relative to chdir; with pidfile and logto it is the other way round."""
    files = ("--pidfile", "a.pid", "--pidfile2", "b.pid", "--logto2", "app.log")
    options = ("--uid", "nobody", "--chdir", "inner", *files)
    server = ServerProcess(*HELLO, *options, launcher=readable_launcher(), wait=False)
    inner = server.directory / "inner"
    inner.mkdir()
    os.chown(inner, 65534, 65534)
    with server:
        log = inner / "app.log"
        wait_until(lambda: log.exists() and "uwsgi-deploy is ready" in log.read_text(), 20, what="the log")
        assert (server.directory / "a.pid").stat().st_uid == 0
        assert (inner / "b.pid").stat().st_uid == log.stat().st_uid == 65534
        assert "setuid() to 65534" in server.log
        assert "is ready" not in server.log
        assert server.stop() == 0
        assert not (inner / "b.pid").exists()
        assert "goodbye to uWSGI." in log.read_text()


@pytest.mark.parametrize("option", ["--logto", "--logto2", "--daemonize", "--daemonize2"])
def test_an_address_is_no_log_file(option: str) -> None:
    """uWSGI sends UDP there; a file of that name would be a surprise."""
    with ServerProcess(*HELLO, option, "127.0.0.1:514", wait=False) as server:
        assert server.wait_end() == 1
        assert "logs are not sent to addresses such as 127.0.0.1:514" in server.log
        assert list(server.directory.iterdir()) == []
