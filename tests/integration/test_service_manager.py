"""systemd's side of a server's life: notification, watchdog, sockets that it opened; and being PID 1."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server import LAUNCHER, ServerProcess
from tests.support.waiting import wait_until

HTTP = ("--http-socket", "127.0.0.1:0")
HELLO = (*HTTP, "--module", "hello")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may unshare namespaces and mount")


class Manager:
    """The notification socket of a service manager, and everything that was said to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.end.bind(str(path))
        self.end.setblocking(False)
        self._heard: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """What a unit's main process finds in its environment."""
        return {"NOTIFY_SOCKET": str(self.path)}

    @property
    def heard(self) -> list[str]:
        """Every assignment so far, in order."""
        while True:
            try:
                self._heard += self.end.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self._heard

    def wait_for(self, assignment: str, *, count: int = 1) -> None:
        """Wait until something was said."""
        wait_until(lambda: self.heard.count(assignment) >= count, 20, what=f"{assignment} among {self._heard}")


@contextmanager
def manager_at(directory: Path) -> Iterator[Manager]:
    """A service manager whose socket is in `directory`."""
    manager = Manager(directory / "notify")
    with manager.end:
        yield manager


def test_notifications_of_a_life(tmp_path: Path) -> None:
    """READY when all workers accept, RELOADING with the time of the clock, READY again, STOPPING; all from one pid."""
    with manager_at(tmp_path) as manager, ServerProcess(*HELLO, "-p", "2", environment=manager.environment) as server:
        manager.wait_for("READY=1")
        assert manager.heard[-3:] == ["READY=1", f"MAINPID={server.pid}", "STATUS=2 workers serve"]
        assert "STATUS=opening sockets" in manager.heard[: manager.heard.index("READY=1")]
        before = time.monotonic()
        server.signal(signal.SIGHUP)
        manager.wait_for("READY=1", count=2)
        after = manager.heard[manager.heard.index("READY=1") :]
        stamp = after[after.index("RELOADING=1") + 1]
        assert stamp.startswith("MONOTONIC_USEC=")
        assert before <= int(stamp.partition("=")[2]) / 1e6 <= time.monotonic()
        assert "STOPPING=1" not in manager.heard
        assert server.stop() == 0
        manager.wait_for("STOPPING=1")
        assert manager.heard.count("READY=1") == 2


def test_ready_only_when_the_application_is_loaded(tmp_path: Path) -> None:
    """With lazy-apps, too: uWSGI says so before it has imported anything."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('no')\n")
    options = (*HTTP, "--module", "broken", "--lazy-apps")
    with (
        manager_at(tmp_path) as manager,
        ServerProcess(*options, directory=tmp_path, environment=manager.environment, wait=False) as server,
    ):
        assert server.wait_end() == 22
        manager.wait_for("STOPPING=1")
        assert "READY=1" not in manager.heard


def test_broken_reload_is_ready_again(tmp_path: Path) -> None:
    """A reload that is given up leaves a ready server: systemctl reload must not wait for ever."""
    code = tmp_path / "app.py"
    code.write_text("from hello import application\n")
    with (
        manager_at(tmp_path) as manager,
        ServerProcess(*HTTP, "--module", "app", directory=tmp_path, environment=manager.environment) as server,
    ):
        manager.wait_for("READY=1")
        code.write_text("syntax error\n")
        server.signal(signal.SIGHUP)
        manager.wait_for("READY=1", count=2)
        assert server.get("/").status == 200


def test_watchdog_hears_of_an_idle_server(tmp_path: Path) -> None:
    """Signs of life come twice per interval from the master, although nothing happens."""
    with manager_at(tmp_path) as manager:
        environment = {**manager.environment, "WATCHDOG_USEC": "400000"}
        with ServerProcess(*HELLO, environment=environment):
            manager.wait_for("READY=1")
            manager.wait_for("WATCHDOG=1", count=manager.heard.count("WATCHDOG=1") + 5)


def test_reload_keeps_the_pid_and_the_watchdog(tmp_path: Path) -> None:
    """The master executes itself anew: nothing of it is seen from outside but RELOADING and READY."""
    with manager_at(tmp_path) as manager:
        environment = {**manager.environment, "WATCHDOG_USEC": "600000"}
        with ServerProcess(*HELLO, environment=environment) as server:
            manager.wait_for("READY=1")
            begin = time.monotonic()
            server.signal(signal.SIGHUP)
            manager.wait_for("READY=1", count=2)
            server.wait_for_log("^gracefully .RE.spawned uWSGI master process")
            heard = manager.heard[:]
            stamps = [int(line.partition("=")[2]) / 1e6 for line in heard if line.startswith("MONOTONIC_USEC=")]
            assert stamps
            assert begin <= min(stamps)
            assert heard.index("RELOADING=1") < len(heard) - heard[::-1].index("READY=1") - 1
            assert {line for line in heard if line.startswith("MAINPID=")} == {f"MAINPID={server.pid}"}
            assert heard.count("READY=1") == 2
            manager.wait_for("WATCHDOG=1", count=heard.count("WATCHDOG=1") + 3)
            server.signal(signal.SIGHUP)  # what systemd asks for once more
            manager.wait_for("READY=1", count=3)


def test_watchdog_notices_a_master_that_hangs(tmp_path: Path) -> None:
    """One that is stopped in its tracks gives no sign, while its workers go on."""
    with manager_at(tmp_path) as manager:
        environment = {**manager.environment, "WATCHDOG_USEC": "200000"}
        with ServerProcess(*HELLO, environment=environment) as server:
            manager.wait_for("WATCHDOG=1", count=2)
            server.signal(signal.SIGSTOP)
            state = Path(f"/proc/{server.pid}/stat")
            wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", what="the master to stand still")
            heard = len(manager.heard)
            assert server.get("/").status == 200
            time.sleep(0.5)  # the silence itself is what is tested
            assert len(manager.heard) - heard == 0
            server.signal(signal.SIGCONT)
            manager.wait_for("WATCHDOG=1", count=manager.heard.count("WATCHDOG=1") + 1)


def test_workers_do_not_inherit_the_way_to_the_manager(tmp_path: Path) -> None:
    """What the application starts must not take READY or the sockets for its own."""
    with manager_at(tmp_path) as manager:
        environment = {**manager.environment, "WATCHDOG_USEC": "60000000", "LISTEN_FDNAMES": "x"}
        with ServerProcess(*HELLO, environment=environment) as server:
            for name in environment:
                assert server.get(f"/env?{name}").body == b"", name


def test_without_a_master(tmp_path: Path) -> None:
    with (
        manager_at(tmp_path) as manager,
        ServerProcess(*HELLO, "--master=false", environment=manager.environment) as server,
    ):
        manager.wait_for("READY=1")
        assert f"MAINPID={server.pid}" in manager.heard
        assert server.get("/").status == 200
        assert server.stop() == 0
        manager.wait_for("STOPPING=1")


# --- sockets that the manager opened ----------------------------------------------------------------------------------

# Moves sockets to descriptors 3.. and becomes the server under the same pid, as systemd does.
ACTIVATE = """
import os, sys
count, *command = sys.argv[1:]
for index in range(int(count)):
    os.dup2(int(os.environ[f"FD{index}"]), 3 + index)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), count
os.execv(command[0], command)
"""


@contextmanager
def activated(
    sockets: dict[str, socket.socket], *options: str, launcher: tuple[str, ...] = LAUNCHER
) -> Iterator[subprocess.Popen[str]]:
    """A server that was given open sockets (by name), when it is ready or has ended."""
    # High numbers that are free, so that putting one at 3 does not overwrite the next.
    high = [fcntl.fcntl(end.fileno(), fcntl.F_DUPFD, 60) for end in sockets.values()]
    names = {"LISTEN_FDNAMES": ":".join(sockets)} if any(sockets) else {}
    environment = {**ServerProcess().environment, **names, **{f"FD{i}": str(fd) for i, fd in enumerate(high)}}
    process = subprocess.Popen(
        [sys.executable, "-c", ACTIVATE, str(len(high)), *launcher, *options],
        pass_fds=high,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for fd in high:
        os.close(fd)
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if "uwsgi-deploy is ready" in line:
            break
    process.args = "".join(lines)  # what the test wants to read
    try:
        yield process
    finally:
        process.kill()
        process.stderr.close()
        process.wait(10)


def answer(address: object, family: socket.AddressFamily = socket.AF_INET) -> bytes:
    """The beginning of what an HTTP server at an address says."""
    with socket.socket(family) as client:
        client.settimeout(10)
        client.connect(address)  # type: ignore[arg-type]
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        return client.recv(12)


def test_activated_sockets_are_served_without_any_option(tmp_path: Path) -> None:
    """Two sockets, TCP and Unix, and nothing but the application on the command line; they survive a reload."""
    path = str(tmp_path / "web.sock")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        with activated({"web": tcp, "local": unix}, "--module", "hello") as server:
            assert "inherited INET address" in str(server.args)
            assert "inherited UNIX address" in str(server.args)
            assert answer(tcp.getsockname()) == b"HTTP/1.1 200"
            assert answer(path, socket.AF_UNIX) == b"HTTP/1.1 200"
            server.send_signal(signal.SIGHUP)
            assert server.stderr is not None
            assert any("reload complete" in line for line in server.stderr)
            assert answer(tcp.getsockname()) == b"HTTP/1.1 200"
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
        assert os.path.exists(path), "the manager's socket is not ours to remove"


def test_activated_socket_is_chosen_by_name() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as web,
        socket.create_server(("127.0.0.1", 0)) as other,
        activated({"other": other, "web": web}, "--http-socket", "fd://web", "--module", "hello") as server,
    ):
        assert "socket that no option uses: fd 3 (other)" in str(server.args)
        assert answer(web.getsockname()) == b"HTTP/1.1 200"
        server.send_signal(signal.SIGHUP)
        assert server.stderr is not None
        assert any("reload complete" in line for line in server.stderr)
        assert answer(web.getsockname()) == b"HTTP/1.1 200"


def test_activated_socket_takes_the_place_of_its_address() -> None:
    """As in uWSGI: the unit file and the ini may both name the port."""
    with socket.create_server(("127.0.0.1", 0)) as web:
        address = f"127.0.0.1:{web.getsockname()[1]}"
        with activated({"": web}, "--http-socket", address, "--module", "hello") as server:
            assert f"uwsgi socket 0 inherited INET address {address} fd 3" in str(server.args)
            assert answer(web.getsockname()) == b"HTTP/1.1 200"


def test_wrong_name_of_an_activated_socket() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as web,
        activated({"web": web}, "--http-socket", "fd://wep", "--module", "hello") as server,
    ):
        assert server.wait(20) == 1
        assert "no socket of that name, but: web" in str(server.args)


def listens(path: Path) -> bool:
    """Whether somebody listens on a Unix socket; asked without connecting, which would be the first client."""
    return any(
        line.split()[-1] == str(path) and int(line.split()[3], 16) & 0x10000  # SO_ACCEPTCON
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]
    )


def test_systemd_itself_opens_the_socket(tmp_path: Path) -> None:
    """With systemd's own tool, which starts the server when the first client comes: that client is answered."""
    tool = shutil.which("systemd-socket-activate")
    if tool is None:
        pytest.skip("systemd is not installed")
    path = tmp_path / "web.sock"
    environment = ServerProcess().environment
    variables = [f"--setenv=PYTHONPATH={environment['PYTHONPATH']}"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [tool, "--listen", str(path), "--fdname=web", *variables, *LAUNCHER, "--module", "hello"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: listens(path), 20, what="systemd to listen")
        assert answer(str(path), socket.AF_UNIX) == b"HTTP/1.1 200"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait(10)


# --- containers -------------------------------------------------------------------------------------------------------


def unshared(*arguments: str) -> tuple[str, ...]:
    """A launcher that runs the server in namespaces of its own."""
    unshare = shutil.which("unshare")
    assert unshare, "util-linux is part of every Linux"
    return (unshare, *arguments, *LAUNCHER)


def child_of(pid: int) -> int:
    """The only child of a process, when it is there."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return int(wait_until(lambda: children.read_text().split(), 20, what="the process to fork")[0])


@AS_ROOT
def test_pid_1_keeps_a_signal_that_comes_while_it_starts(tmp_path: Path) -> None:
    """The kernel drops what PID 1 has no handler for: a container that is stopped early would be killed later."""
    launcher = unshared("--pid", "--fork", "--mount-proc", "--kill-child")
    configuration = tmp_path / "app.ini"
    os.mkfifo(configuration)  # holds the start up for as long as the signal needs
    with ServerProcess(*HELLO, "--ini", configuration, launcher=launcher, wait=False) as server:
        with configuration.open("w") as file:  # opens when the server reads it
            first = child_of(server.pid)
            status = Path(f"/proc/{first}/status").read_text().splitlines()
            (mask,) = (line.split()[1] for line in status if line.startswith("SigBlk"))
            assert int(mask, 16) >> (signal.SIGTERM - 1) & 1
            os.kill(first, signal.SIGTERM)
            file.write("[uwsgi]\n")
        assert server.wait_end() == 0
        assert "goodbye to uWSGI." in server.log_lines
        assert "is ready" not in server.log


@AS_ROOT
def test_pid_1_ignores_the_ends_of_strangers(tmp_path: Path) -> None:
    """Orphans that the application leaves are reaped without a word, however they end."""
    (tmp_path / "stranger.sh").write_text('sleep 0.05\neval "$1"\n')
    (tmp_path / "app.py").write_text(
        "import subprocess\n"
        "def application(environ, start_response):\n"
        "    for end in ('exit 0', 'exit 3', 'kill -9 $$', 'kill -15 $$'):\n"
        "        subprocess.run(['sh', '-c', 'sh stranger.sh \"$1\" &', 'sh', end], check=True)\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'ok']\n"
    )
    launcher = unshared("--pid", "--fork", "--mount-proc", "--kill-child")
    with ServerProcess(*HTTP, "--module", "app", directory=tmp_path, launcher=launcher) as server:
        master = child_of(server.pid)
        children = Path(f"/proc/{master}/task/{master}/children")
        before, log = set(children.read_text().split()), server.log
        for _ in range(5):
            assert server.get("/").status == 200
        wait_until(lambda: set(children.read_text().split()) == before, 20, what="all strangers to be reaped")
        assert [line for line in server.log.removeprefix(log).splitlines() if "GET /" not in line] == []
        os.kill(master, signal.SIGTERM)
        assert server.wait_end() == 0


READ_ONLY = """
set -e
mount --make-rprivate /
for where in $(cut -d' ' -f2 /proc/self/mounts | sort -r | uniq); do
    mount -o remount,bind,ro "$where" 2>/dev/null || true
done
if ( : > /tmp/writable ) 2>/dev/null; then echo "/tmp is still writable"; exit 99; fi
# The capability only lets it read an interpreter that is installed in somebody's home directory.
read="+dac_read_search"
exec setpriv --reuid=54321 --regid=54321 --clear-groups --inh-caps=$read --ambient-caps=$read \\
    env -u HOME -u TMPDIR "$@"
"""


@AS_ROOT
def test_read_only_file_system_and_unknown_user() -> None:
    """As Kubernetes and OpenShift run it: nothing is writable, nobody knows the user, and HOME is not set."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    launcher = ("unshare", "--mount", "sh", "-c", READ_ONLY, "sh", *LAUNCHER)
    options = (*HELLO, "-p", "2", "--post-buffering", "1000")
    with ServerProcess(*options, launcher=launcher) as server:
        assert server.get("/identity").body == b"54321 54321 []"
        body = b"x" * 300_000  # more than is kept in memory: no temporary file can be made
        with server.connect() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert client.receive().status == 200
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        assert server.get("/").status == 200
        assert "Traceback" not in server.log
        assert server.stop() == 0
