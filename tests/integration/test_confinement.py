"""Users, groups, capabilities, roots, limits and variables, as a worker sees them."""

from __future__ import annotations

import grp
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import RawClient
from tests.support.readable import readable_launcher, twin_in
from tests.support.server import LAUNCHER, REPOSITORY, ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.process.capabilities import NUMBERS

HTTP = ("--http-socket", "127.0.0.1:0")
APP = (*HTTP, "--module", "surroundings")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
NOBODY = pwd.getpwnam("nobody")
MAIL = grp.getgrnam("mail").gr_gid


def seen(server: ServerProcess, path: str = "/") -> dict[str, Any]:
    """What a worker tells."""
    answer: dict[str, Any] = json.loads(server.get(path).body)
    return answer


def server_for_anybody(*options: str, wait: bool = True) -> ServerProcess:
    """A server whose processes can import modules as any user."""
    return ServerProcess(*options, launcher=readable_launcher(), wait=wait)


def status(pid: int, field: str) -> list[str]:
    """A line of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(f"{field}:"))


def template(server: ServerProcess) -> int:
    """The pid of the process that has loaded the application."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return next(int(pid) for pid in children if b"template" in Path(f"/proc/{pid}/cmdline").read_bytes())


# --- who --------------------------------------------------------------------------------------------------------------


@AS_ROOT
def test_additional_groups() -> None:
    """add-gid adds to the user's own groups, no-initgroups leaves these out."""
    with server_for_anybody(*APP, "--uid", "nobody", "--add-gid", "mail", "--add-gid", "54321") as server:
        answer = seen(server)
        assert (answer["uid"], answer["gid"]) == (NOBODY.pw_uid, NOBODY.pw_gid)
        own = set(os.getgrouplist("nobody", NOBODY.pw_gid))
        assert set(answer["groups"]) == own | {MAIL, 54321}
        assert f"set additional group {MAIL} (mail)" in server.log_lines
    with server_for_anybody(*APP, "--uid", "nobody", "--no-initgroups", "--add-gid", "mail") as server:
        assert seen(server)["groups"] == [MAIL]


@AS_ROOT
def test_immediate_group() -> None:
    """It takes the place of the user's own."""
    with server_for_anybody(*APP, "--immediate-gid", "mail", "--immediate-uid", "nobody") as server:
        answer = seen(server)
        assert (answer["uid"], answer["gid"]) == (NOBODY.pw_uid, MAIL)
        assert 0 not in answer["groups"]
    with ServerProcess(*APP, "--immediate-gid", "mail") as server:
        assert seen(server)["gid"] == MAIL
        assert status(server.pid, "Uid")[0] == "0"


@AS_ROOT
def test_immediate_user_opens_everything() -> None:
    """immediate-uid counts before the log and the pid file are opened."""
    options = ("--immediate-uid", "nobody", "--logto", "app.log", "--pidfile", "app.pid")
    server = server_for_anybody(*APP, *options, wait=False)
    os.chown(server.directory, NOBODY.pw_uid, -1)
    with server:
        log = server.directory / "app.log"
        wait_until(lambda: log.exists() and "is ready" in log.read_text(), 20, what="the server to be ready")
        assert {path.stat().st_uid for path in server.directory.iterdir()} == {NOBODY.pw_uid}
        assert status(server.pid, "Uid")[0] == str(NOBODY.pw_uid)
        assert log.read_text().index("*** Starting") < log.read_text().index(f"setuid() to {NOBODY.pw_uid}")
        assert server.stop() == 0
        assert not (server.directory / "app.pid").exists(), "who made it can remove it"


@AS_ROOT
def test_master_as_root() -> None:
    """Master and template stay root, workers do not; a successor and a stop work all the same."""
    with server_for_anybody(*APP, "--uid", "nobody", "--master-as-root") as server:
        answer = seen(server)
        assert (answer["loaded_as"], answer["uid"], answer["gid"]) == (0, NOBODY.pw_uid, NOBODY.pw_gid)
        assert status(server.pid, "Uid")[0] == status(template(server), "Uid")[0] == "0"
        os.kill(server.worker_pids[1], signal.SIGKILL)
        server.wait_for_log("^Respawned")
        wait_until(lambda: seen(server)["uid"] == NOBODY.pw_uid, 20, what="the successor")
        assert server.stop() == 0


@AS_ROOT
@pytest.mark.parametrize("options", [(), ("--master=false",)])
def test_drop_after_apps(options: tuple[str, ...]) -> None:
    """The application is loaded as root and runs as the user."""
    with server_for_anybody(*APP, "--uid", "nobody", "--drop-after-apps", *options) as server:
        answer = seen(server)
        assert (answer["loaded_as"], answer["uid"], answer["groups"]) == (
            0,
            NOBODY.pw_uid,
            sorted(os.getgrouplist("nobody", NOBODY.pw_gid)),
        )
        if not options:
            assert status(template(server), "Uid")[0] == str(NOBODY.pw_uid)
            server.signal(signal.SIGHUP)
            server.wait_for_log("reload complete", timeout=30)
            assert seen(server)["loaded_as"] == 0, "the next version is loaded as root, too"
        assert server.stop() == 0


@AS_ROOT
@pytest.mark.parametrize("option", ["--drop-after-apps", "--master-as-root"])
def test_dropped_late_dies_with_the_master(option: str) -> None:
    """The kernel forgets the death signal when a process changes its user: it is asked for again."""
    with server_for_anybody(*APP, "--uid", "nobody", option) as server:
        pids = server.session_pids()
        assert len(pids) == 3
        server.signal(signal.SIGKILL)
        wait_until(lambda: not server.session_pids(), 20, what="the orphans to end")


@AS_ROOT
def test_drop_after_init_is_always_so() -> None:
    with server_for_anybody(*APP, "--uid", "nobody", "--drop-after-init") as server:
        assert seen(server)["loaded_as"] == NOBODY.pw_uid
        assert "'drop-after-init = true' is not needed" in server.log


@AS_ROOT
def test_capabilities() -> None:
    """The listed ones stay when root is given up, in all processes of ours; not in programs that they start."""
    options = ("--uid", "nobody", "--cap", "net_bind_service,cap_sys_nice")
    with server_for_anybody(*APP, *options) as server:
        kept = 1 << NUMBERS["net_bind_service"] | 1 << NUMBERS["sys_nice"]
        assert int(seen(server)["capabilities"], 16) == kept
        assert int(status(server.pid, "CapEff")[0], 16) == kept
        assert int(status(server.pid, "CapPrm")[0], 16) == kept
        assert int(status(server.worker_pids[1], "CapAmb")[0], 16) == 0
        assert "kept capabilities: net_bind_service, sys_nice" in server.log_lines
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        assert int(seen(server)["capabilities"], 16) == kept


@AS_ROOT
def test_capabilities_are_not_for_programs_that_the_application_starts() -> None:
    with ServerProcess(*APP, "--cap", "net_bind_service,setuid,dac_override") as server:
        kept = int(seen(server)["capabilities"], 16)
        assert kept == sum(1 << NUMBERS[name] for name in ("net_bind_service", "setuid", "dac_override"))
        assert int(server.get("/child").body, 16) & ~kept == 0, "what was given up does not come back"


JAIL = """
set -e
jail=$1; shift
mount --make-rprivate /
mkdir -p "$jail/own"
for path in $PATHS; do
    [ -e "$path" ] && mkdir -p "$jail$path" && mount --rbind "$path" "$jail$path"
done
exec "$@"
"""
# What an interpreter needs, and where this one, its packages and the server's directory are.
PATHS = sorted(
    {"/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr"}
    | {
        f"/{Path(path).resolve().parts[1]}"
        for path in (sys.base_prefix, sys.prefix, REPOSITORY, tempfile.gettempdir(), sysconfig.get_path("purelib"))
    }
)


def jailing(jail: Path) -> tuple[str, ...]:
    """A launcher in a mount namespace in which the jail has what a server needs."""
    script = JAIL.replace("$PATHS", " ".join(PATHS))
    return ("unshare", "--mount", "sh", "-c", script, "sh", str(jail), *LAUNCHER)


@AS_ROOT
def test_chroot(tmp_path: Path) -> None:
    """Everything but the pid file is inside: chdir, sockets, the application; the rest is out of reach."""
    jail = tmp_path / "jail"
    (jail / "own").mkdir(parents=True)
    os.chown(jail / "own", NOBODY.pw_uid, -1)
    for path in (tmp_path.parent.parent, tmp_path.parent, tmp_path):
        os.chmod(path, 0o755)
    options = ("--chroot", str(jail), "--chdir", "/own", "--uid", "nobody", "--pidfile", str(tmp_path / "app.pid"))
    command = (
        "--http-socket",
        "app.sock",
        "--chmod-socket=666",
        "--module",
        "surroundings",
        "--cap",
        "dac_read_search",
    )
    # The manager's socket is outside, too: the way to it is opened before the jail, and stays open over reloads.
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as outside,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(f"{outside}/notify")
        manager.settimeout(10)
        _serve_in_jail(jail, manager, *command, *options)


def _serve_in_jail(jail: Path, manager: socket.socket, *options: str) -> None:
    environment = {"NOTIFY_SOCKET": manager.getsockname()}
    with ServerProcess(*options, launcher=jailing(jail), environment=environment) as server:
        assert (jail.parent / "app.pid").read_text() == f"{server.pid}\n"
        with RawClient(str(jail / "own" / "app.sock")) as client:
            answer = json.loads(client.get("/").body)
        assert answer["cwd"] == "/own"
        assert "own" in answer["root"]
        assert "proc" not in answer["root"]
        told = subprocess.run(
            [*LAUNCHER, "status", "--json", "--pidfile", str(jail.parent / "app.pid")],
            env=server.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert json.loads(told.stdout)["state"] == "running", told.stderr
        assert answer["uid"] == NOBODY.pw_uid
        for pid in server.session_pids():
            assert os.readlink(f"/proc/{pid}/root") == str(jail)
            assert os.readlink(f"/proc/{pid}/cwd") == str(jail / "own")
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        with RawClient(str(jail / "own" / "app.sock")) as client:
            assert json.loads(client.get("/").body)["cwd"] == "/own"
        assert server.stop() == 0
        said = ""
        while "STOPPING=1" not in said:
            said += manager.recv(4096).decode() + "\n"
        assert said.count("READY=1") == 2
        assert not (jail / "own" / "app.sock").exists()
        assert "Traceback" not in server.log


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--chroot", "/none/at/all"), "chroot: "),
        (("--cap", "net_bind"), "cap: there is no capability 'net_bind'"),
        (("--add-gid", "no-such-group"), "add-gid: there is no group 'no-such-group'"),
        (("--immediate-uid", "no-such-user"), "immediate-uid: there is no user 'no-such-user'"),
        (("--master-as-root", "--drop-after-apps"), "contradict each other"),
        (("--prio=20",), "'prio' must be from -20 to 19, not '20'"),
        (("--prio=high",), "'prio' must be from -20 to 19, not 'high'"),
        (("--threads-stacksize", "8"), "'threads-stacksize' is KiB, at least 32"),
        (("--force-cwd", "/none/at/all"), "force-cwd: there is no directory /none/at/all"),
        (("--envdir", "/none/at/all"), "envdir: there is no directory /none/at/all"),
        (("--max-fd", "999999999999"), "max-fd: cannot be 999999999999"),
    ],
)
def test_refusals(options: tuple[str, ...], reason: str) -> None:
    """What cannot be done is one line and exit code 1, and nothing runs."""
    with ServerProcess(*APP, *options, wait=False) as server:
        assert server.wait_end() == 1
        assert reason in server.log_lines[-1]
        assert "spawned" not in server.log


@AS_ROOT
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--chroot", "/"), "chroot: cannot change the root to /: Operation not permitted"),
        (("--cap", "kill"), "cap: only root has capabilities to keep"),
        (("--add-gid", "mail"), "add-gid: only root may join group"),
        (("--prio=-5",), "prio: cannot set the priority -5: Permission denied"),
    ],
)
def test_what_only_root_may(options: tuple[str, ...], reason: str) -> None:
    """The same options of somebody else."""
    with server_for_anybody(*APP, "--immediate-uid", "nobody", *options, wait=False) as server:
        assert server.wait_end() == 1
        assert reason in server.log_lines[-1]


@AS_ROOT
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--module", "closed_code"), "there is no module 'closed_code' where this process may look: {}"),
        (("--wsgi-file", "inner/code.py"), "there is no file {directory}/inner/code.py (wsgi-file); {}"),
        (("--wsgi-file", "app.py"), "cannot load file app.py: it imports 'closed_code', which is not found: {} ("),
    ],
)
def test_code_that_the_user_cannot_reach(options: tuple[str, ...], sentence: str) -> None:
    """The message names the user and the directory, not only what was not found."""
    server = server_for_anybody(*HTTP, "--uid", "nobody", "--pythonpath", "inner/lib", *options, wait=False)
    (server.directory / "inner" / "lib").mkdir(parents=True)
    (server.directory / "inner" / "lib" / "closed_code.py").touch()
    (server.directory / "inner" / "code.py").touch()
    (server.directory / "app.py").write_text("import closed_code\n")
    (server.directory / "inner").chmod(0o700)
    with server:
        assert server.wait_end() in (1, 22)
        obstacle = f"user nobody cannot enter {server.directory}/inner (mode 700, of root)"
        assert sentence.format(obstacle, directory=server.directory) in server.log_lines[-1]


@AS_ROOT
def test_interpreter_that_the_user_cannot_reach(tmp_path: Path) -> None:
    """The server serves as far as it can by itself, says what will not work, and survives that."""
    launcher = twin_in(tmp_path, interpreter=True)
    tmp_path.chmod(0o700)
    options = ("--uid", "nobody", "--module", "echo", "--post-buffering", "1000")
    server = ServerProcess(*HTTP, *options, launcher=launcher, wait=False)
    (server.directory / "echo.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'%d' % len(environ['wsgi.input'].read())]\n"
    )
    with server:
        server.wait_ready()
        server.wait_for_log(r"^\*\*\* WARNING: user nobody cannot enter /\S+ \(mode 700, of root\): Python modules")
        with server.connect() as client:  # into a temporary file
            client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000)
            assert client.receive().body == b"100000"
        server.signal(signal.SIGHUP)
        server.wait_for_log("^cannot run .*: Permission denied", timeout=20)
        server.wait_for_log("reload complete", timeout=30)
        assert server.get("/").body == b"0"
        assert server.stop() == 0
        assert "Traceback" not in server.log


# --- limits and variables ---------------------------------------------------------------------------------------------


def test_limits_and_priority() -> None:
    """All processes have them; a high limit of descriptors stays within reach."""
    with ServerProcess(*APP, "--max-fd", "300", "--limit-nproc", "4000", "--prio", "3") as server:
        answer = seen(server)
        assert answer["nofile"][0] == 300
        assert answer["nofile"][1] >= 300
        assert answer["nproc"] == [4000, 4000]
        assert answer["priority"] == 3
        assert os.getpriority(os.PRIO_PROCESS, server.pid) == 3
        for line in (
            "scheduler priority set to 3",
            "your processes number limit is 4000",
            "detected max file descriptor number: 300",
        ):
            assert line in server.log_lines


@AS_ROOT
def test_limits_are_raised_before_root_is_given_up() -> None:
    with server_for_anybody(*APP, "--uid", "nobody", "--prio=-5") as server:
        assert seen(server)["priority"] == -5


def test_stack_of_request_threads() -> None:
    with ServerProcess(*APP, "--threads", "3", "--threads-stacksize", "512") as server:
        clients = [server.connect() for _ in range(3)]
        for client in clients:
            client.send(b"GET /stack HTTP/1.1\r\nHost: test\r\n\r\n")
        sizes = sorted(json.loads(client.receive().body)["stack"] for client in clients)
        for client in clients:
            client.close()
        assert sizes[0] == 0, "one core is the main thread"
        assert 512 <= sizes[1] == sizes[2] <= 520, sizes


def test_skip_atexit() -> None:
    """Neither workers nor a lone server run exit handlers; without the option they do."""
    for options, expected in (((), True), (("--skip-atexit",), False), (("--skip-atexit", "--master=false"), False)):
        with ServerProcess(*APP, *options) as server:
            assert server.get("/").status == 200
            assert server.stop() == 0
            assert (f"exit handler in {server.worker_pids[1]}" in server.log_lines) is expected, options


def test_environment(tmp_path: Path) -> None:
    """unenv removes what was inherited, directories add, an empty file removes, env is stronger than both."""
    variables = tmp_path / "variables"
    variables.mkdir()
    (variables / "PLAIN").write_text("value  \nsecond line\n")
    (variables / "LINES").write_bytes(b"one\0two\n")
    (variables / "GONE").write_text("")
    (variables / "SHADOWED").write_text("by env")
    (variables / ".hidden").write_text("no")
    options = ("--unenv", "SECRET", "--envdir", str(variables), "--env", "SHADOWED=env")
    with ServerProcess(*APP, *options, environment={"SECRET": "1", "GONE": "1", "KEPT": "1"}) as server:
        environment = seen(server)["environment"]
        assert {name: environment.get(name) for name in ("PLAIN", "LINES", "GONE", "SHADOWED", "SECRET", "KEPT")} == {
            "PLAIN": "value",
            "LINES": "one\ntwo",
            "GONE": None,
            "SHADOWED": "env",
            "SECRET": None,
            "KEPT": "1",
        }
        assert ".hidden" not in environment


@AS_ROOT
def test_secrets_are_read_as_root(tmp_path: Path) -> None:
    """A directory that only root may read still gives its variables to workers of another user."""
    (tmp_path / "TOKEN").write_text("secret\n")
    os.chmod(tmp_path, 0o700)
    with server_for_anybody(*APP, "--uid", "nobody", "--envdir", str(tmp_path)) as server:
        assert seen(server)["environment"]["TOKEN"] == "secret"
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        assert seen(server)["environment"]["TOKEN"] == "secret", "a reload has them although it cannot read them"


@AS_ROOT
def test_log_of_root_survives_a_reload(tmp_path: Path) -> None:
    """The user cannot open root's log again, so it stays; one that was moved away and can be made again is."""
    os.chmod(tmp_path, 0o700)
    log = tmp_path / "app.log"
    with server_for_anybody(*APP, "--uid", "nobody", "--logto", str(log), wait=False) as server:
        wait_until(lambda: log.exists() and "is ready" in log.read_text(), 20, what="the server to be ready")
        server.signal(signal.SIGHUP)
        wait_until(lambda: "reload complete" in log.read_text(), 20, what="the reload")
        assert f"logto: cannot open {log}: Permission denied: the log stays where it is" in log.read_text()
        assert server.stop() == 0
        assert "goodbye" in log.read_text()


def test_reloads_in_another_directory(tmp_path: Path) -> None:
    """force-cwd: the directory that the server was started in may go, and with it a configuration of the same name."""
    start, stays = tmp_path / "release-1", tmp_path / "current"
    for directory, number in ((start, 1), (stays, 2)):
        directory.mkdir()
        (directory / "app.ini").write_text(
            "[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = surroundings\nforce-cwd = ../current\n"
            f"env = RELEASE={number}\n"
        )
    with ServerProcess("--ini", "app.ini", directory=start) as server:
        assert seen(server)["environment"]["RELEASE"] == "1"
        start.rename(tmp_path / "gone")
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        answer = seen(server)
        assert (answer["environment"]["RELEASE"], answer["cwd"]) == ("2", str(stays))


def test_log_is_made_again_by_a_reload() -> None:
    """mv app.log app.log.1; kill -HUP."""
    with ServerProcess(*APP, "--logto", "app.log", wait=False) as server:
        log, former = server.directory / "app.log", server.directory / "app.log.1"
        wait_until(lambda: log.exists() and "is ready" in log.read_text(), 20, what="the server to be ready")
        log.rename(former)
        server.signal(signal.SIGHUP)
        wait_until(lambda: log.exists() and "reload complete" in log.read_text(), 20, what="the new log")
        assert "reload complete" not in former.read_text()


# --- together with hooks ----------------------------------------------------------------------------------------------


@AS_ROOT
def test_hooks_around_the_change_of_root(tmp_path: Path) -> None:
    """pre-jail outside, post-jail, in-jail and as-root inside, in this order; without chroot there is no post-jail."""
    jail = tmp_path / "jail"
    jail.mkdir()
    phases = ("pre-jail", "post-jail", "in-jail", "as-root")
    files = [f"--hook-{phase}=writen:/written-{phase} in order" for phase in phases[1:]]
    options = (f"--hook-pre-jail=writen:{tmp_path}/outside yes", *files, "--chroot", str(jail))
    with ServerProcess(*HTTP, "--module", "surroundings", *options, launcher=jailing(jail)) as server:
        root = Path(f"/proc/{server.pid}/root")
        written = [root / f"written-{phase}" for phase in phases[1:]]
        assert (tmp_path / "outside").read_text().strip() == "yes"
        times = [path.stat().st_mtime_ns for path in written]
        assert times == sorted(times)
        assert f"chroot() to {jail}" in server.log_lines


@AS_ROOT
@pytest.mark.parametrize("option", ["--drop-after-apps", "--master-as-root"])
def test_hooks_of_the_user_run_where_root_is_given_up(option: str) -> None:
    hook = "--hook-as-user=exec:id -u > as-user"
    server = server_for_anybody(*APP, "--uid", "nobody", option, hook, wait=False)
    os.chmod(server.directory, 0o777)
    with server:
        server.wait_ready()
        assert (server.directory / "as-user").read_text().strip() == str(NOBODY.pw_uid)
