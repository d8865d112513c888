"""Hook actions: what each leaves behind, and how each fails."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from uwsgi_deploy.config.hooks import Phase
from uwsgi_deploy.config.settings import ApplicationSettings, HookSettings, Settings
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.process.hooks import HookExit, HookFailed, HookRunner
from uwsgi_deploy.process.waiting import WaitFailed, takes_connections, wait_for

REPOSITORY = Path(__file__).parents[3]


class Lines(list[str]):
    """A log."""

    def __call__(self, line: str) -> None:
        self.append(line)


def run(*actions: str, env: tuple[str, ...] = (), phase: Phase = Phase.AS_USER) -> Lines:
    """Run hooks of one phase; the log."""
    hooks = replace(HookSettings(wait_for_fs_timeout=0.2), **{f"hook_{phase.value.replace('-', '_')}": actions})
    log = Lines()
    settings = Settings(hooks=hooks, application=ApplicationSettings(env=env))
    HookRunner(settings, prepare_imports=lambda: None, log=log).run(phase)
    return log


@pytest.fixture(autouse=True)
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_are_written_as_uwsgi_writes_them() -> None:
    """write replaces, append adds, the n forms end the line."""
    run("write:a one", "append:a  two", "writen:b one", "appendn:b two", "create:c", "creat:d")
    assert Path("a").read_text() == "onetwo"
    assert Path("b").read_text() == "one\ntwo\n"
    assert Path("c").read_text() == Path("d").read_text() == ""
    run("create:a", "unlink:b")
    assert Path("a").read_text() == ""
    assert not Path("b").exists()


def test_directories_may_be_there_already() -> None:
    """A second start works as the first one did; parents are made."""
    run("mkdir:a/b", "mkdir:a/b", "chdir:a/b", "create:here")
    assert Path.cwd().name == "b"


def test_modes_and_owners() -> None:
    run("create:f", "chmod:f 640", "mkdir:d", "sticky:d", f"chown2:f {os.getuid()} {os.getgid()}")
    assert stat.S_IMODE(os.stat("f").st_mode) == 0o640
    assert os.stat("d").st_mode & stat.S_ISVTX


def test_commands_see_the_variables_and_nothing_else_of_the_server() -> None:
    """`env` and `putenv` arrive; no descriptor does, and SIGPIPE ends a pipe."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        run(
            "putenv:P6_SET=by a hook",
            "exec:echo $P6_SET, $P6_ENV > out; ls /proc/self/fd > fds; yes | head -1 >> out",
            env=("P6_ENV=env",),
        )
    finally:
        os.close(reader)
        os.close(writer)
        del os.environ["P6_SET"]
    assert Path("out").read_text() == "by a hook, env\ny\n"
    assert len(Path("fds").read_text().split()) == 4  # three, and the listing itself


def test_a_failing_command_fails_its_phase() -> None:
    """Option, command and code are named, and nothing after it runs."""
    with pytest.raises(HookFailed, match=re.escape('hook-as-user = exec:exit 3: command "exit 3" exited')):
        run("exec:exit 3", "create:never")
    assert not Path("never").exists()
    with pytest.raises(HookFailed, match="ended by signal 9"):
        run("exec:kill -9 $$")


def test_safeexec_may_fail() -> None:
    log = run("safeexec:exit 3", "create:after")
    assert Path("after").exists()
    assert any("exited with non-zero code: 3 (safeexec: ignored)" in line for line in log)


@pytest.mark.parametrize("action", ["unlink:none", "chdir:none", "chmod:none 600", "chmod:. 9x", "writefifo:none x"])
def test_what_the_system_refuses_fails(action: str) -> None:
    with pytest.raises(HookFailed, match=re.escape(action)):
        run(action)


def test_unknown_users_fail() -> None:
    with pytest.raises(ServerError, match="there is no user 'nobody-of-that-name'"):
        run("create:f", "chown:f nobody-of-that-name root")


def test_exit_carries_its_code() -> None:
    with pytest.raises(HookExit) as asked:
        run("exit:7")
    assert asked.value.exit_code == 7


def test_print_goes_to_the_log() -> None:
    assert run("print:hello", "log:again") == [
        'running "print:hello" (as-user)...',
        "hello",
        'running "log:again" (as-user)...',
        "again",
    ]


def test_a_fifo_needs_a_reader() -> None:
    """writefifo does not wait for one, spinningfifo does."""
    os.mkfifo("fifo")
    with pytest.raises(HookFailed, match="writefifo:fifo x"):
        run("writefifo:fifo x")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("fifo").read_text()))
    threading.Timer(0.2, reader.start).start()
    log = run("spinningfifo:fifo hello")
    reader.join(10)
    assert read == ["hello"]
    assert "waiting for a reader of fifo ..." in log


def test_waiting_ends_when_it_comes_or_the_time_is_over() -> None:
    threading.Timer(0.05, lambda: Path("late").write_text("")).start()
    log = run("wait_for_file:late")
    assert log[-2:] == ["waiting for late (max 0.2 seconds) ...", "late is there"]
    with pytest.raises(ServerError, match="wait-for-dir: late is still missing after 0"):
        run("wait_for_dir:late")
    with pytest.raises(WaitFailed):
        wait_for("interface", "no-such-interface", timeout=0.01, log=Lines())
    wait_for("interface", "lo", timeout=0.01, log=Lines())
    wait_for("mountpoint", "/proc", timeout=0.01, log=Lines())


def test_servers_are_found_by_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert takes_connections(f"127.0.0.1:{port}")
        assert takes_connections(f":{port}")
    assert not takes_connections(f"127.0.0.1:{port}")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("app.sock")
        assert not takes_connections("./app.sock")
        unix.listen()
        assert takes_connections("./app.sock")


# --- functions: in a process of their own, since they import ----------------------------------------------------------

PROGRAM = """
import os, sys
sys.path.insert(0, {directory!r})
os.chdir({directory!r})
from uwsgi_deploy.config.hooks import Phase
from uwsgi_deploy.config.settings import HookSettings, Settings
from uwsgi_deploy.process.hooks import HookRunner
from uwsgi_deploy.errors import ServerError
def run(phase, text):
    hooks = HookSettings(**{{"hook_" + phase.value.replace("-", "_"): (text,)}})
    try:
        HookRunner(Settings(hooks=hooks), prepare_imports=lambda: None, log=lambda line: None).run(phase)
    except ServerError as error:
        print("failed:", error)
"""


def functions(directory: Path, program: str) -> list[str]:
    (directory / "mine.py").write_text(
        "import os\n"
        "class group:\n"
        "    @staticmethod\n"
        "    def inner(*a): print(a, os.getpid() == int(os.environ['PARENT']), flush=True)\n"
        "def bad(*a): raise ValueError('no good')\n"
        "def five(*a): return 5\n"
    )
    program = (
        "import os; os.environ['PARENT'] = str(os.getpid())\n" + PROGRAM.format(directory=str(directory)) + program
    )
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_functions_run_where_the_application_is_and_else_in_a_child(in_directory: Path) -> None:
    """The master imports nothing of the application."""
    lines = functions(
        in_directory,
        "run(Phase.PRE_APP, 'call:mine:group.inner one two')\n"
        "assert 'mine' in sys.modules; del sys.modules['mine']\n"
        "run(Phase.AS_USER, 'callint:mine:group.inner 3')\n"
        "assert 'mine' not in sys.modules\n",
    )
    assert lines == ["('one two',) True", "(3,) False"]


def test_functions_fail_by_raising_and_callret_by_what_it_returns(in_directory: Path) -> None:
    lines = functions(
        in_directory,
        "for text in ('call:mine:bad', 'call:mine:none', 'call:nowhere:x', 'call:mine:five', 'callret:mine:five',\n"
        "             'callint:mine:five x'):\n"
        "    run(Phase.PRE_APP, text)\n"
        "run(Phase.ASAP, 'call:mine:bad')\n",
    )
    assert [line.partition(": hook-")[2].partition(": ")[2] for line in lines] == [
        "mine:bad raised ValueError: no good",
        "mine:none raised AttributeError: module 'mine' has no attribute 'none'",
        "nowhere:x raised ModuleNotFoundError: No module named 'nowhere'",
        "mine:five returned 5",
        "mine:five needs a number, not 'x'",
        "mine:bad failed, see above",
    ]


def test_a_stop_reaches_the_command_and_ends_the_wait(in_directory: Path) -> None:
    """SIGTERM to the server alone is passed on; the caller learns that it was interrupted."""
    program = PROGRAM.format(directory=str(in_directory)) + textwrap.dedent(
        """
        import signal, threading, time
        from uwsgi_deploy.process.command import Interrupted
        from uwsgi_deploy.process.waiting import wait_for
        def tell():
            while not os.path.exists("started"): time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=tell).start()
        try:
            run(Phase.ASAP, "exec:trap 'echo told; exit 0' TERM; touch started; while :; do sleep 0.05; done")
        except Interrupted:
            print("interrupted", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            wait_for("file", "never", timeout=60, log=lambda line: None)
        except Interrupted:
            print("interrupted")
        """
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines() == ["told", "interrupted True", "interrupted"], result.stderr


def test_a_command_ends_with_the_process_that_waits_for_it(in_directory: Path) -> None:
    """kill -9 of a template in the middle of `exec-pre-app` leaves no orphan."""
    program = PROGRAM.format(directory=str(in_directory)) + (
        "\nrun(Phase.ASAP, 'exec:echo $$ > pid.new; mv pid.new pid; exec sleep 600')\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    try:
        wait_for("file", "pid", timeout=20, log=Lines())
        command = int(Path("pid").read_text())
        parent.kill()
        parent.wait(20)
        for _ in range(500):
            if not Path(f"/proc/{command}").exists() or "(zombie)" in Path(f"/proc/{command}/status").read_text():
                break
            threading.Event().wait(0.02)
        else:
            pytest.fail("the command lives on")
    finally:
        parent.kill()
