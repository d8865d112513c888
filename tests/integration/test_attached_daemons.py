"""Daemons of a whole server: started, restarted, stopped, adopted."""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.readable import readable_launcher
from tests.support.server import LAUNCHER, ServerProcess
from tests.support.waiting import wait_until

SERVED = ("--http-socket", "127.0.0.1:0", "--module", "app", "--pythonpath", ".")
APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """With the application; what smart daemons of a test leave is killed at its end."""
    (tmp_path / "app.py").write_text(APPLICATION)
    yield tmp_path
    for file in tmp_path.glob("*.smart"):
        if is_alive(pid_in(file)):
            os.kill(pid_in(file), signal.SIGKILL)


def pid_in(file: Path) -> int:
    try:
        return int(file.read_text() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def is_alive(pid: int) -> bool:
    try:
        return pid > 0 and ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """Its children, daemons among them."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def loaded(program: str, pid: int) -> bool:
    """Whether the process runs that program, and is waiting: it has closed what its loader opened."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return f"({program}) S " in text


def new_pid(file: Path, *, unlike: int = 0) -> int:
    """Wait until the file holds the pid of a living process that is another one than before."""
    wait_until(lambda: pid_in(file) not in (0, unlike) and is_alive(pid_in(file)), 30, what=f"a pid in {file}")
    return pid_in(file)


# A program that leaves its pid: `exec` keeps it.
WRITES_PID = "echo $$ > one.new; mv one.new one.pid; exec sleep 1000"


def test_a_daemon_runs_beside_the_workers_and_ends_with_them(directory: Path) -> None:
    """In a session of its own, with the application's variables; started again when it dies; stopped at the stop."""
    command = f"echo $COLOUR > colour; {WRITES_PID}"
    with ServerProcess(*SERVED, "--env", "COLOUR=red", "--attach-daemon", command, directory=directory) as server:
        first = new_pid(directory / "one.pid")
        assert (directory / "colour").read_text() == "red\n"
        assert os.getsid(first) != os.getsid(server.pid)
        assert os.readlink(f"/proc/{first}/fd/0") == "/dev/null"
        own = wait_until(lambda: loaded("sleep", first) and set(os.listdir(f"/proc/{first}/fd")), 20, what="sleep")
        assert own == {"0", "1", "2"}
        os.kill(first, signal.SIGKILL)
        second = new_pid(directory / "one.pid", unlike=first)
        server.wait_for_log(r"throttling .* for 1 seconds")
        server.wait_for_log(r"^\[uwsgi-daemons\] respawning ")
        assert server.get().body == b"served"
        assert server.stop() == 0
        assert not is_alive(second)
        assert "[uwsgi-daemons] stopping daemon" in server.log


def test_a_plain_command_needs_no_shell_beside_it(directory: Path) -> None:
    with ServerProcess(*SERVED, "--attach-daemon", "sleep 1000", directory=directory) as server:
        server.wait_for_log(r"spawning \"sleep 1000\"")

        def children() -> list[str]:
            commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in children_of(server.pid)]
            return [command.replace("\0", " ").strip() for command in commands if "1000" in command]

        wait_until(lambda: children() == ["sleep 1000"], 20, what="sleep to be the master's child")


def test_a_daemon_that_ignores_its_signal_is_killed(directory: Path) -> None:
    """It gets it once: many programs take a second one for haste."""
    command = "trap 'echo told >> told' TERM; echo $$ > one.new; mv one.new one.pid; while :; do sleep 0.1; done"
    with ServerProcess(*SERVED, "--reload-mercy", "500ms", "--attach-daemon", command, directory=directory) as server:
        pid = new_pid(directory / "one.pid")
        assert server.stop() == 0
        server.wait_for_log("daemon did not die in time, killing")
        wait_until(lambda: not is_alive(pid), 10, what="the daemon to end")
        assert (directory / "told").read_text() == "told\n"


def test_stop_signal_and_directory_of_ones_own(directory: Path) -> None:
    """attach-daemon2: keys, and a comma that is no separator."""
    (directory / "below").mkdir()
    command = "trap 'echo a\\,b > told; exit' USR1; echo $$ > one.new; mv one.new one.pid; while :; do sleep 0.05; done"
    with ServerProcess(
        *SERVED, "--attach-daemon2", f"chdir=below,stopsignal=10,cmd={command}", directory=directory
    ) as server:
        new_pid(directory / "below/one.pid")
        assert server.stop() == 0
    assert (directory / "below/told").read_text() == "a,b\n"


def test_a_control_daemon_takes_the_server_with_it(directory: Path) -> None:
    with ServerProcess(*SERVED, "--attach-control-daemon", WRITES_PID, directory=directory) as server:
        os.kill(new_pid(directory / "one.pid"), signal.SIGTERM)
        assert server.wait_end() == 0
        assert "the server stops" in server.log


def test_a_reload_restarts_daemons_or_signals_them(directory: Path) -> None:
    """When the new code serves: an attached daemon is restarted, one with reloadsignal is told."""
    told = "trap 'echo hup >> hups' HUP; echo $$ > two.new; mv two.new two.pid; while :; do sleep 0.05; done"
    with ServerProcess(
        *SERVED,
        *("--attach-daemon", WRITES_PID),
        *("--attach-daemon2", f"reloadsignal=1,cmd={told}"),
        directory=directory,
    ) as server:
        one, two = new_pid(directory / "one.pid"), new_pid(directory / "two.pid")
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        new_pid(directory / "one.pid", unlike=one)
        wait_until(lambda: (directory / "hups").exists(), 20, what="the reload signal")
        assert pid_in(directory / "two.pid") == two
        assert is_alive(two)
        assert not is_alive(one)
        assert server.stop() == 0
        assert not is_alive(two)


def test_a_reload_that_fails_leaves_daemons_alone(directory: Path) -> None:
    with ServerProcess(*SERVED, "--attach-daemon", WRITES_PID, directory=directory) as server:
        one = new_pid(directory / "one.pid")
        (directory / "app.py").write_text("syntax error")
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload cancelled", timeout=30)
        assert server.get().body == b"served"
        assert pid_in(directory / "one.pid") == one
        assert is_alive(one)
        server.signal(signal.SIGKILL)  # it was adopted by another image of its parent, twice
        wait_until(lambda: not is_alive(one), 20, what="the daemon to end")


def test_a_reload_follows_the_configuration(directory: Path) -> None:
    """A daemon that is gone from the file is stopped, a new one started."""
    old, new = WRITES_PID, WRITES_PID.replace("one", "two")
    (directory / "app.ini").write_text(f"[uwsgi]\nattach-daemon = {old}\n")
    with ServerProcess("app.ini", *SERVED, directory=directory) as server:
        one = new_pid(directory / "one.pid")
        (directory / "app.ini").write_text(f"[uwsgi]\nattach-daemon = {new}\n")
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        two = new_pid(directory / "two.pid")
        wait_until(lambda: not is_alive(one), 20, what="the old daemon to end")
        assert server.stop() == 0
        assert not is_alive(two)


def test_what_dies_while_the_master_executes_itself_is_noticed(directory: Path) -> None:
    """A hook of the next image kills a daemon and a worker: nobody can have waited for them."""
    hook = "test ! -e victims || { kill -9 $(cat victims); rm victims; }"
    options = ("--processes", "2", "--attach-daemon", WRITES_PID, "--exec-in-jail", hook)
    with ServerProcess(*SERVED, *options, directory=directory) as server:
        one, worker = new_pid(directory / "one.pid"), server.worker_pids[2]
        (directory / "victims").write_text(f"{one} {worker}\n")
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        server.wait_for_log(r"uwsgi-daemons.* ended, killed by signal 9")
        server.wait_for_log(rf"worker 2 \(pid: {worker}\) died, killed by signal 9")
        new_pid(directory / "one.pid", unlike=one)
        wait_until(lambda: len(server.worker_pids) == 2, 20, what="both workers")
        assert server.get().body == b"served"
        assert server.stop() == 0


def test_smart_daemons_outlive_the_server(directory: Path) -> None:
    """Found by their pid files, at a reload and by the next server; started again when they are gone."""
    options = (
        *("--smart-attach-daemon2", "front.smart,1 sleep 1000"),
        *(
            "--smart-attach-daemon",
            "back.smart,1 setsid sh -c 'echo $$ > back.new; mv back.new back.smart; exec sleep 1000' &",
        ),
    )
    with ServerProcess(*SERVED, *options, directory=directory) as server:
        front, back = new_pid(directory / "front.smart"), new_pid(directory / "back.smart")
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        assert server.stop() == 0
    assert is_alive(front)
    assert is_alive(back)
    with ServerProcess(*SERVED, *options, directory=directory) as server:
        server.wait_for_log("found valid/active pidfile for", count=2)
        os.kill(front, signal.SIGKILL)
        os.kill(back, signal.SIGKILL)
        front_again = new_pid(directory / "front.smart", unlike=front)
        back_again = new_pid(directory / "back.smart", unlike=back)
        assert server.stop() == 0
    assert is_alive(front_again)
    assert is_alive(back_again)


def test_a_touched_file_restarts_a_daemon(directory: Path) -> None:
    with ServerProcess(*SERVED, "--attach-daemon2", f"touch=a;b,cmd={WRITES_PID}", directory=directory) as server:
        one = new_pid(directory / "one.pid")
        (directory / "b").touch()
        new_pid(directory / "one.pid", unlike=one)
        assert "b was touched" in server.log


@pytest.mark.parametrize("command", ["sleep 1000", "echo started; sleep 1000; echo ended"])
def test_no_daemon_is_left_when_the_master_is_killed(directory: Path, command: str) -> None:
    """Neither a program nor what a shell has started; 2 seconds."""
    with ServerProcess(*SERVED, "--attach-daemon", command, directory=directory) as server:
        server.wait_for_log(r"spawning")

        def daemon_pids() -> list[int]:
            found = []
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    words = Path(f"/proc/{name}/cmdline").read_text().split("\0")
                    if words[:2] == ["sleep", "1000"] and os.readlink(f"/proc/{name}/cwd") == str(directory):
                        found.append(int(name))
                except OSError:
                    continue
            return found

        pids = wait_until(daemon_pids, 20, what="the daemon")
        server.process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in pids), 10, what="the daemon to end")


def test_a_daemon_reads_the_servers_input_where_that_is_wanted(directory: Path) -> None:
    (directory / "words").write_text("said\n")
    options = ("--daemons-honour-stdin", "--attach-daemon", "cat > heard.new; mv heard.new heard; exec sleep 1000")
    launcher = ("/bin/sh", "-c", 'exec "$0" "$@" < words', *LAUNCHER)
    with ServerProcess(*SERVED, *options, directory=directory, launcher=launcher):
        wait_until(lambda: (directory / "heard").exists(), 20, what="the daemon to read")
        assert (directory / "heard").read_text() == "said\n"


def status_of(pid: int, field: str) -> list[str]:
    """The words of a line of /proc/PID/status."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(line.split()[1:] for line in text.splitlines() if line.startswith(f"{field}:"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("options", "command", "user"),
    [
        (("--uid", "nobody", "--drop-after-apps"), ("--attach-daemon", "sleep 1000"), "nobody"),
        (("--uid", "nobody", "--cap", "setuid"), ("--attach-daemon", "sleep 1000"), "nobody"),
        (("--uid", "nobody", "--master-as-root"), ("--attach-daemon", "sleep 1000"), "root"),
        (("--uid", "nobody", "--master-as-root"), ("--attach-daemon2", "uid=daemon,cmd=sleep 1000"), "daemon"),
    ],
)
def test_whom_daemons_run_as(options: tuple[str, ...], command: tuple[str, ...], user: str) -> None:
    """As the server's user also where the master stays root for a while; nobody else's groups or capabilities."""
    entry = pwd.getpwnam(user)
    served = ("--http-socket", "127.0.0.1:0", "--module", "hello")
    with ServerProcess(*served, *options, *command, launcher=readable_launcher()) as server:
        (pid,) = wait_until(
            lambda: [pid for pid in children_of(server.pid) if loaded("sleep", pid)], 20, what="the daemon"
        )
        assert status_of(pid, "Uid") == [str(entry.pw_uid)] * 4
        assert status_of(pid, "Gid") == [str(entry.pw_gid)] * 4
        assert {int(group) for group in status_of(pid, "Groups")} <= set(os.getgrouplist(user, entry.pw_gid))
        if user != "root":
            assert int(status_of(pid, "CapEff")[0], 16) == 0
        server.signal(signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), 20, what="the daemon to end")


def test_a_user_that_does_not_exist_is_said_before_the_start(directory: Path) -> None:
    with ServerProcess(*SERVED, "--attach-daemon2", "uid=nosuch,cmd=true", directory=directory, wait=False) as server:
        assert server.wait_end() == 1
        assert "attach-daemon2: 'true': uid: " in server.log
