"""Reloads of real servers: what comes in, what is kept, and what happens when the new cannot serve."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.test_processes import alive, parent, processes, slow_request, write_version
from tests.support.client import ConnectionEnded
from tests.support.engines import prefork_and_gevent
from tests.support.readable import readable_launcher
from tests.support.server import REPOSITORY, ServerProcess
from tests.support.verbs import verb
from tests.support.waiting import wait_until

HTTP = ("--http-socket", "127.0.0.1:0")
HELLO = (*HTTP, "--module", "hello", "--disable-logging")
PATIENCE = 60.0


def ini(directory: Path, *lines: str) -> None:
    """Write app.ini: HTTP on a free port, and these lines."""
    common = ("[uwsgi]", "http-socket = 127.0.0.1:0", "pythonpath = .", "disable-logging = true")
    (directory / "app.ini").write_text("\n".join((*common, *lines, "")))


def reload(server: ServerProcess, *, number: int = signal.SIGHUP) -> None:
    """Reload and wait until it has worked."""
    done = server.log.count("*** reload complete")
    server.signal(number)
    server.wait_for_log(r"^\*\*\* reload complete", count=done + 1, timeout=PATIENCE)


def failed_reload(server: ServerProcess) -> str:
    """Reload in vain; the log since then."""
    before = len(server.log)
    done = server.log.count("*** reload cancelled")
    server.signal(signal.SIGHUP)
    server.wait_for_log(r"^\*\*\* reload cancelled", count=done + 1, timeout=PATIENCE)
    return server.log[before:]


def workers(server: ServerProcess) -> dict[str, int]:
    """Title -> pid of the workers."""
    return {title: pid for title, pid in processes(server).items() if "worker" in title}


def descriptors(pid: int) -> list[str]:
    """What a process has open, sockets and pipes without their numbers."""
    directory = Path(f"/proc/{pid}/fd")
    return sorted(os.readlink(entry).partition("[")[0] for entry in directory.iterdir())


@contextmanager
def load(server: ServerProcess) -> Iterator[list[str]]:
    """Clients of both kinds meanwhile; what they lost, which is nothing."""
    stop, lost = threading.Event(), []

    def client(*, keep_alive: bool) -> None:
        while not stop.is_set():
            try:
                with server.connect(timeout=30) as connection:
                    while not stop.is_set():
                        response = connection.get("/")
                        if response.status != 200:
                            lost.append(f"status {response.status}")
                        if not keep_alive or response.header("connection") == "close":
                            break
                        if closed_meanwhile(connection.socket):
                            break
            except (OSError, ConnectionEnded) as error:
                lost.append(repr(error))

    threads = [threading.Thread(target=client, kwargs={"keep_alive": flag}) for flag in (True, True, False, False)]
    for thread in threads:
        thread.start()
    try:
        yield lost
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def closed_meanwhile(end: socket.socket) -> bool:
    """Whether the server closed an idle connection; a moment later than the answer, as a client's next request is."""
    time.sleep(0.005)
    end.setblocking(False)
    try:
        return end.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        end.settimeout(30)


# --- the master -------------------------------------------------------------------------------------------------------


def test_master_executes_itself(tmp_path: Path) -> None:
    """The same pid, pid file and sockets, other workers, everybody the master's child; and uWSGI's lines."""
    options = (*HELLO, "-p", "2", "--socket", "x.sock", "--pidfile", "app.pid")
    with ServerProcess(*options, directory=tmp_path) as server:
        started = Path(f"/proc/{server.pid}/exe").stat().st_ino
        inode = (tmp_path / "x.sock").stat().st_ino
        old = workers(server)
        reload(server)
        wait_until(lambda: not any(alive(pid) for pid in old.values()))
        # One that ends at this moment has no name any more.
        titles = {"uWSGI master", "uWSGI template", "uWSGI worker 1", "uWSGI worker 2"}
        wait_until(lambda: set(processes(server)) == titles)
        new = processes(server)
        assert set(new) == titles
        assert new["uWSGI master"] == server.pid == int((tmp_path / "app.pid").read_text())
        assert {parent(pid) for title, pid in new.items() if title != "uWSGI master"} == {server.pid}
        assert Path(f"/proc/{server.pid}/exe").stat().st_ino == started
        assert (tmp_path / "x.sock").stat().st_ino == inode
        assert server.get("/").status == 200
        for line in (
            "...gracefully killing workers... (when new ones serve; until then the present ones do)",
            "binary reloading uWSGI...",
            f"chdir() to {tmp_path}",
            f"gracefully (RE)spawned uWSGI master process (pid: {server.pid})",
        ):
            assert line in server.log_lines
        assert f"uwsgi socket 0 inherited INET address 127.0.0.1:{server.port} fd " in server.log
        assert server.log.count("*** uwsgi-deploy is ready") == 1
        assert server.stop() == 0
        assert server.session_pids() == set()
        assert list(tmp_path.iterdir()) == []


@prefork_and_gevent
def test_nothing_is_lost_under_load(engine: tuple[str, ...]) -> None:
    """Four reloads, keep-alive and one-shot clients: every request is answered, and the master does not grow."""
    with ServerProcess(*HELLO, *engine, "-p", "2") as server:
        reload(server)
        before, memory = descriptors(server.pid), written_memory(server.pid)
        with load(server) as lost:
            for _ in range(4):
                reload(server)
        assert lost == []
        wait_until(lambda: len(workers(server)) == 2)
        # The first sample may have been taken while the old template was still about.
        wait_until(lambda: not Counter(descriptors(server.pid)) - Counter(before), what="nothing more to be open")
        assert written_memory(server.pid) < memory + 512
        assert len(processes(server)) == 4


def written_memory(pid: int) -> int:
    """KiB that a process has written; what it has mapped of files comes and goes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


@pytest.mark.parametrize("options", [(), ("--lazy-apps",), ("--gevent", "20")])
def test_workers_die_with_a_master_that_was_executed_anew(options: tuple[str, ...]) -> None:
    """The exec itself is no death to them; kill -9 of the master is, for old and new ones."""
    with ServerProcess(*HELLO, "-p", "2", *options) as server, slow_request(server, 60):
        reload(server)
        assert len(server.session_pids()) >= 5  # one old worker still serves
        server.signal(signal.SIGKILL)
        server.wait_end()
        template = processes(server).get("uWSGI template")
        assert template is None or not alive(template) or wait_until(lambda: not alive(template))
        busy = server.session_pids()
        for pid in busy:
            os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: not server.session_pids(), what="all processes to end")


@prefork_and_gevent
def test_requests_run_through_it(engine: tuple[str, ...]) -> None:
    """A request that began before the exec is answered by the old worker, which then goes."""
    with ServerProcess(*HELLO, *engine) as server, slow_request(server, 2) as client:
        (old,) = workers(server).values()
        reload(server)
        assert alive(old)
        assert client.receive().body == b"slow\n"  # type: ignore[attr-defined]
        server.wait_for_log(rf"^worker 1 killed successfully \(pid: {old}\)$")


def test_mercy_runs_through_it() -> None:
    """What an old worker was granted counts from when it was told, whatever happens to the master meanwhile."""
    options = (*HELLO, "--worker-reload-mercy", "2")
    with ServerProcess(*options) as server, slow_request(server, 60):
        (old,) = workers(server).values()
        reload(server)
        reload(server)
        server.wait_for_log(rf"^worker 1 \(pid: {old}\) is taking too much time to die...NO MERCY !!!$", timeout=30)
        wait_until(lambda: not alive(old))
        assert server.get("/").status == 200


def test_signals_during_it_are_obeyed() -> None:
    """SIGTERM right after SIGHUP, at any moment of the reload, stops the server in order."""
    for delay in (0.0, 0.15, 0.4):
        with ServerProcess(*HELLO, "--pidfile", "app.pid") as server:
            server.signal(signal.SIGHUP)
            time.sleep(delay)
            assert server.stop() == 0
            assert server.session_pids() == set()
            assert "goodbye to uWSGI." in server.log_lines
            assert list(server.directory.iterdir()) == []


def test_worker_that_dies_while_the_new_application_loads(tmp_path: Path) -> None:
    """The old template, adopted too, replaces it: there are always enough."""
    write_version(tmp_path / "app.py", "one")
    with ServerProcess(*HTTP, "--module", "app", "-p", "2", directory=tmp_path) as server:
        (tmp_path / "app.py").write_text(f"import time\ntime.sleep(4)\n{(tmp_path / 'app.py').read_text()}")
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^gracefully \(RE\)spawned uWSGI master", timeout=PATIENCE)
        os.kill(workers(server)["uWSGI worker 2"], signal.SIGKILL)
        server.wait_for_log(r"^Respawned uWSGI worker 2 ")
        assert "reload complete" not in server.log
        server.wait_for_log(r"^\*\*\* reload complete", timeout=PATIENCE)
        assert server.get("/").body == b"one"


def test_newly_installed_server_runs(tmp_path: Path) -> None:
    """After an upgrade of the package a reload runs its new code, in the master and in everybody else."""
    packages = tmp_path / "site"
    shutil.copytree(
        REPOSITORY / "uwsgi_deploy", packages / "uwsgi_deploy", ignore=shutil.ignore_patterns("__pycache__")
    )
    environment = {"PYTHONPATH": f"{packages}:{REPOSITORY / 'tests/support/apps'}"}
    with ServerProcess(*HELLO, "-p", "2", environment=environment) as server:
        assert str(packages) not in server.log
        banner = packages / "uwsgi_deploy/logs/banner.py"
        banner.write_text(banner.read_text().replace("gracefully (RE)spawned", "upgraded and (RE)spawned"))
        board = packages / "uwsgi_deploy/shared/scoreboard.py"
        changed = board.read_text().replace("RECORD_SLOTS = 16", "RECORD_SLOTS = 24")
        assert "RECORD_SLOTS = 24" in changed
        board.write_text(changed)  # another layout of what workers and master share
        with load(server) as lost:
            reload(server)
            assert f"upgraded and (RE)spawned uWSGI master process (pid: {server.pid})" in server.log_lines
            reload(server)
        assert lost == []
        assert server.stop() == 0


def test_broken_upgrade_is_noticed(tmp_path: Path) -> None:
    """Server code that cannot be imported does not replace the running one."""
    packages = tmp_path / "site"
    shutil.copytree(
        REPOSITORY / "uwsgi_deploy", packages / "uwsgi_deploy", ignore=shutil.ignore_patterns("__pycache__")
    )
    environment = {"PYTHONPATH": f"{packages}:{REPOSITORY / 'tests/support/apps'}"}
    with ServerProcess(*HELLO, environment=environment) as server:
        banner = packages / "uwsgi_deploy/master/fleet.py"
        content = banner.read_text()
        banner.write_text("what = is this\n" + content)
        assert "SyntaxError" in failed_reload(server)
        assert server.get("/").status == 200
        banner.write_text(content)
        reload(server)


def test_without_a_place_to_start_from(tmp_path: Path) -> None:
    """The directory that the server was started in is gone: the application is loaded anew, the settings stay."""
    home = tmp_path / "home"
    home.mkdir()
    with ServerProcess(*HELLO, "--chdir", str(tmp_path), directory=home) as server:
        home.rmdir()
        old = workers(server)
        reload(server)
        assert "settings stay as they are, the application is loaded anew" in server.log
        assert workers(server) != old
        assert server.get("/").status == 200


def test_link_to_the_present_release(tmp_path: Path) -> None:
    """Started in a link's directory, the server follows when the link is turned to the next release."""
    for release, text in (("1", "first"), ("2", "second")):
        (tmp_path / release).mkdir()
        write_version(tmp_path / release / "app.py", text)
        ini(tmp_path / release, "module = app")
    current = tmp_path / "current"
    current.symlink_to("1")
    with ServerProcess("app.ini", directory=current, environment={"PWD": str(current)}) as server:
        assert server.get("/").body == b"first"
        current.unlink()
        current.symlink_to("2")
        reload(server)
        assert server.get("/").body == b"second"


def test_server_started_from_python(tmp_path: Path) -> None:
    """`uwsgi_deploy.run` has no command line to read again: the application is all that is new."""
    write_version(tmp_path / "app.py", "one")
    (tmp_path / "serve.py").write_text(
        "import sys, uwsgi_deploy\n"
        "sys.exit(uwsgi_deploy.run(uwsgi_deploy.settings_from(http_socket='127.0.0.1:0', module='app', pp='.')))\n"
    )
    with ServerProcess("serve.py", launcher=(sys.executable,), directory=tmp_path) as server:
        write_version(tmp_path / "app.py", "second")
        reload(server)
        assert server.get("/").body == b"second"
        assert "binary reloading" not in server.log
        assert server.stop() == 0


def test_options_from_standard_input(tmp_path: Path) -> None:
    """What was read once and for all is kept; code of server and application is new."""
    write_version(tmp_path / "app.py", "one")
    text = "[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = app\n"
    command = f"printf '{text}' | exec {sys.executable} -m uwsgi_deploy --ini -"
    launcher = ("sh", "-c", f"exec {sys.executable} -m uwsgi_deploy --ini - <<X\n{text}X")
    assert command
    with ServerProcess(launcher=launcher, directory=tmp_path) as server:
        write_version(tmp_path / "app.py", "second")
        reload(server)
        assert "binary reloading uWSGI..." in server.log_lines
        assert server.get("/").body == b"second"


# --- other settings ---------------------------------------------------------------------------------------------------


def test_more_and_fewer_workers(tmp_path: Path) -> None:
    """The number of workers follows the file, both ways, under load."""
    write_version(tmp_path / "app.py", "one")
    ini(tmp_path, "module = app", "processes = 2")
    with ServerProcess("app.ini", directory=tmp_path) as server, load(server) as lost:
        for number in (4, 1, 3):
            ini(tmp_path, "module = app", f"processes = {number}")
            reload(server)
            expected = {f"uWSGI worker {wid}" for wid in range(1, number + 1)}
            wait_until(lambda expected=expected: set(workers(server)) == expected, timeout=PATIENCE)
            assert f"*** reload complete: {number} workers of generation" in server.log
        assert lost == []


def test_more_threads(tmp_path: Path) -> None:
    """The shape of what workers and master share changes, and nobody notices."""
    ini(tmp_path, "module = hello", "processes = 2")
    with ServerProcess("app.ini", directory=tmp_path) as server, load(server) as lost:
        ini(tmp_path, "module = hello", "processes = 2", "threads = 3")
        reload(server)
        assert "*** Operational MODE: preforking+threaded ***" in server.log_lines
        reload(server)
        assert lost == []
        server.signal(signal.SIGUSR1)
        server.wait_for_log(r"^worker 2 \(pid: \d+\): idle, generation 3, \d+ requests, \d+ with predecessors$")


def test_other_sockets(tmp_path: Path) -> None:
    """New sockets are bound, those that stay are not touched, those that go are closed with the last old worker."""
    ini(tmp_path, "module = hello", "http-socket = old.sock", "http-socket = stays.sock")
    with ServerProcess("app.ini", directory=tmp_path) as server:
        inode = (tmp_path / "stays.sock").stat().st_ino
        ini(tmp_path, "module = hello", "http-socket = stays.sock", "http-socket = new.sock", "chmod-socket = 600")
        with load(server) as lost:
            reload(server)
        assert lost == []
        assert (tmp_path / "stays.sock").stat().st_ino == inode
        assert (tmp_path / "stays.sock").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "new.sock").is_socket()
        assert not (tmp_path / "old.sock").exists()
        for name in ("stays.sock", "new.sock"):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / name))
        server.stop()
        assert {path.name for path in tmp_path.iterdir()} == {"app.ini"}


def test_other_pidfile(tmp_path: Path) -> None:
    """The old file goes when the reload has worked, not before."""
    ini(tmp_path, "module = hello", "pidfile = old.pid")
    with ServerProcess("app.ini", directory=tmp_path) as server:
        ini(tmp_path, "module = hello", "pidfile = new.pid")
        reload(server)
        wait_until(lambda: not (tmp_path / "old.pid").exists())
        assert (tmp_path / "new.pid").read_text() == f"{server.pid}\n"
        assert server.stop() == 0
        assert {path.name for path in tmp_path.iterdir()} == {"app.ini"}


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[uwsgi\nmodule = hello\n", "app.ini"),
        ("[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = hello\nprocesses = many\n", "app.ini:4: "),
        ("[uwsgi]\nmodule = hello\n", "there is no address to listen on"),
        ("[uwsgi]\nhttp-socket = 127.0.0.1:0\n", "no application is named"),
        ("[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = hello\nchdir = /nowhere\n", "there is no directory /nowhere"),
        ("[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = hello\nuid = nobody-at-all\n", "there is no user"),
    ],
)
def test_wrong_configuration_changes_nothing(tmp_path: Path, content: str, reason: str) -> None:
    """It is read by a child: the master does not even notice, and says why."""
    ini(tmp_path, "module = hello", "processes = 2")
    with ServerProcess("app.ini", directory=tmp_path) as server:
        old = workers(server)
        (tmp_path / "app.ini").write_text(content)
        with load(server) as lost:
            said = failed_reload(server)
        assert reason in said
        assert any(reason in line for line in said.splitlines() if line.startswith("*** reload cancelled"))
        assert "binary reloading" not in said
        assert (lost, workers(server)) == ([], old)
        ini(tmp_path, "module = hello", "processes = 2")
        reload(server)


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("def application(\n", ()),
        ("import no_such_library\n", ("processes = 3", "http-socket = new.sock", "pidfile = new.pid")),
        ("1 / 0\n", ()),
    ],
)
def test_broken_application_changes_nothing(tmp_path: Path, code: str, extra: tuple[str, ...]) -> None:
    """Also when the settings were other ones: these are taken back with everything they brought."""
    write_version(tmp_path / "app.py", "one")
    ini(tmp_path, "module = app", "processes = 2", "pidfile = old.pid")
    with ServerProcess("app.ini", directory=tmp_path) as server:
        old = workers(server)
        (tmp_path / "app.py").write_text(code)
        ini(tmp_path, "module = app", *(extra or ("processes = 2", "pidfile = old.pid")))
        with load(server) as lost:
            said = failed_reload(server)
            assert "Error" in said
            if extra:
                server.wait_for_log(r"^binary reloading uWSGI, with the settings from before", timeout=PATIENCE)
                server.wait_for_log(r"^gracefully \(RE\)spawned", count=2, timeout=PATIENCE)
        assert lost == []
        assert workers(server) == old
        wait_until(lambda: not (tmp_path / "new.sock").exists() and not (tmp_path / "new.pid").exists())
        assert (tmp_path / "old.pid").read_text() == f"{server.pid}\n"
        write_version(tmp_path / "app.py", "third!")
        reload(server)
        assert server.get("/").body == b"third!"
        assert server.stop() == 0


def test_missing_module(tmp_path: Path) -> None:
    """Another `module` that does not exist: what was there goes on, with its settings."""
    ini(tmp_path, "module = hello")
    with ServerProcess("app.ini", directory=tmp_path) as server:
        old = workers(server)
        ini(tmp_path, "module = nowhere")
        assert "there is no module 'nowhere'" in failed_reload(server)
        server.wait_for_log(r"^gracefully \(RE\)spawned", count=2, timeout=PATIENCE)
        os.kill(old["uWSGI worker 1"], signal.SIGKILL)
        server.wait_for_log("^Respawned uWSGI worker 1 ")
        assert server.get("/").status == 200


def test_address_that_is_taken(tmp_path: Path) -> None:
    """What only the new image of the master finds out is taken back, too."""
    ini(tmp_path, "module = hello")
    with ServerProcess("app.ini", directory=tmp_path) as server, socket.create_server(("127.0.0.1", 0)) as taken:
        old = workers(server)
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ini(tmp_path, "module = hello", f"http-socket = {address}")
        with load(server) as lost:
            said = failed_reload(server)
        assert f"cannot listen on {address}: the address is already in use" in said
        assert (lost, workers(server)) == ([], old)
        ini(tmp_path, "module = hello")
        reload(server)
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        ("os._exit(9)", "cannot be forked: the new process ended before it began"),
        ("threading.Timer(0.05, os._exit, [9]).start()", "of the new application ends at once, exit code 9"),
    ],
)
def test_workers_that_end_at_once(tmp_path: Path, end: str, verdict: str) -> None:
    """An application that loads and then takes its workers with it: a verdict, and the old version is back."""
    write_version(tmp_path / "app.py", "one")
    with ServerProcess(*HTTP, "--module", "app", "-p", "2", directory=tmp_path) as server:
        good = (tmp_path / "app.py").read_text()
        (tmp_path / "app.py").write_text(
            f"{good}\nimport os, threading\nos.register_at_fork(after_in_child=lambda: {end})\n"
        )
        assert verdict in failed_reload(server)
        if "Timer" in end:
            server.wait_for_log(
                r"^\*\*\* back to what was before the reload: 2 workers of generation 1", timeout=PATIENCE
            )
        wait_until(lambda: len(workers(server)) == 2)
        assert {server.get("/").body for _ in range(8)} == {b"one"}
        (tmp_path / "app.py").write_text(good)
        reload(server)


def test_template_that_dies_while_loading(tmp_path: Path) -> None:
    """kill -9 of the process that loads the new application: that reload has failed, nothing else."""
    write_version(tmp_path / "app.py", "one")
    with ServerProcess(*HTTP, "--module", "app", directory=tmp_path) as server:
        good = (tmp_path / "app.py").read_text()
        (tmp_path / "app.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
        said = failed_reload(server)
        assert "the process that loaded the application ended while loading it, killed by signal 9" in said
        assert server.get("/").body == b"one"
        (tmp_path / "app.py").write_text(good)
        reload(server)


def test_template_that_dies_while_workers_are_replaced(tmp_path: Path) -> None:
    """kill -9 of the new template half-way: the application is loaded once more, and the reload works."""
    write_version(tmp_path / "app.py", "one")
    with ServerProcess(*HTTP, "--module", "app", "-p", "2", "--disable-logging", directory=tmp_path) as server:
        with (tmp_path / "app.py").open("a") as file:
            file.write("\nimport os, time\nos.register_at_fork(after_in_child=lambda: time.sleep(0.5))\n")
        with load(server) as lost:
            server.signal(signal.SIGHUP)
            server.wait_for_log(r"^Respawned uWSGI worker 1 ", timeout=PATIENCE)
            template = re.findall(r"^WSGI app 0 .* pid: (\d+) ", server.log, re.M)[1]
            os.kill(int(template), signal.SIGKILL)
            server.wait_for_log(r"^the template \(pid: \d+\) died, killed by signal 9", timeout=PATIENCE)
            server.wait_for_log(r"^\*\*\* reload complete: 2 workers of generation 3 serve", timeout=PATIENCE)
        assert lost == []
        wait_until(lambda: len(processes(server)) == 4)


FORKING = """
import subprocess
from hello import application as hello
started = []

def application(environ, start_response):
    if environ["PATH_INFO"] == "/start":
        started.append(subprocess.Popen(["sleep", "1000"]))
    if environ["PATH_INFO"] == "/end":
        started.pop().kill()
    return hello(environ, start_response)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user who has no other process")
def test_fork_refused(tmp_path: Path) -> None:
    """EAGAIN: to the new template, or to the child that reads the configuration. A verdict, and who serves stays."""
    options = (*HTTP, "--module", "app", "--pythonpath", ".", "--uid", "54399", "--limit-nproc", "5")
    server = ServerProcess(*options, launcher=readable_launcher())
    (server.directory / "app.py").write_text(FORKING)
    with server:
        old = workers(server)
        refused = "Resource temporarily unavailable"
        assert f"reload cancelled: worker 1 cannot be forked: {refused}" in failed_reload(server)
        assert workers(server) == old
        assert server.get("/start").status == 200
        assert f"no process can be forked: {refused}" in failed_reload(server)
        assert workers(server) == old
        assert server.get("/end").status == 200
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("code", "content", "reason"),
    [
        ("def application(\n", "", "SyntaxError"),
        ("import no_such_library\n", "", "it imports 'no_such_library', which is not installed"),
        ("", "processes = many", "processes"),
    ],
)
def test_verdict_for_who_waits(tmp_path: Path, code: str, content: str, reason: str) -> None:
    """`uwsgi-deploy reload --wait` ends with 1 and the reason; with 0 when the new version serves."""
    write_version(tmp_path / "app.py", "one")
    lines = ("module = app", "control-socket = control.sock")
    ini(tmp_path, *lines)
    with ServerProcess("app.ini", directory=tmp_path) as server:
        good = (tmp_path / "app.py").read_text()
        (tmp_path / "app.py").write_text(code or good)
        ini(tmp_path, *lines, content)
        place = ("--control-socket", "control.sock")
        result = verb(server, "reload", "--wait", *place)
        assert (result.returncode, result.stdout) == (1, "")
        assert reason in result.stderr
        assert "Traceback" not in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert server.get("/").body == b"one"
        (tmp_path / "app.py").write_text(good)
        ini(tmp_path, *lines)
        result = verb(server, "reload", "--wait", *place)
        assert (result.returncode, result.stderr) == (0, "")


# --- other kinds ------------------------------------------------------------------------------------------------------


def fifo(server: ServerProcess, byte: str) -> None:
    """Write to the master FIFO."""
    (server.directory / "fifo").write_text(byte)


@pytest.mark.parametrize("options", [(), ("--lazy-apps",), ("--lazy-apps", "--gevent", "20")])
def test_chain_reload(tmp_path: Path, options: tuple[str, ...]) -> None:
    """One worker at a time in order, uWSGI's lines; with lazy-apps the code is new, without it is not."""
    write_version(tmp_path / "app.py", "one")
    options = (*HTTP, "--module", "app", "-p", "3", "--master-fifo", "fifo", "--disable-logging", *options)
    with ServerProcess(*options, directory=tmp_path) as server:
        master, old = server.pid, workers(server)
        write_version(tmp_path / "app.py", "second")
        with load(server) as lost:
            fifo(server, "c")
            server.wait_for_log("^chain reloading complete$", timeout=PATIENCE)
        assert lost == []
        assert [line for line in server.log_lines if "next victim" in line] == [
            f"chain next victim is worker {wid}" for wid in (1, 2, 3)
        ]
        wait_until(lambda: not any(alive(pid) for pid in old.values()))
        assert "binary reloading" not in server.log
        assert server.pid == master
        assert server.get("/").body == (b"second" if "--lazy-apps" in options else b"one")


def test_chain_reload_to_broken_code(tmp_path: Path) -> None:
    """With lazy-apps the first worker that cannot load it ends the chain; nobody is lost."""
    write_version(tmp_path / "app.py", "one")
    options = (*HTTP, "--module", "app", "-p", "2", "--master-fifo", "fifo", "--lazy-apps")
    with ServerProcess(*options, directory=tmp_path) as server:
        old = workers(server)
        (tmp_path / "app.py").write_text("import no_such_library\n")
        fifo(server, "c")
        server.wait_for_log(r"^\*\*\* reload cancelled: the new application cannot be loaded", timeout=PATIENCE)
        wait_until(lambda: workers(server) == old)
        assert server.get("/").body == b"one"


@pytest.mark.parametrize("byte", ["w", "W"])
def test_reload_of_workers_only(byte: str) -> None:
    """The master and its template stay, all workers are new; brutally or not."""
    with ServerProcess(*HELLO, "-p", "2", "--master-fifo", "fifo") as server:
        template, old = processes(server)["uWSGI template"], workers(server)
        fifo(server, byte)
        server.wait_for_log(r"^\*\*\* reload complete: 2 workers of generation 1 serve", timeout=PATIENCE)
        wait_until(lambda: not any(alive(pid) for pid in old.values()))
        wait_until(lambda: len(workers(server)) == 2)
        assert processes(server)["uWSGI template"] == template
        assert server.get("/").status == 200
        assert "binary reloading" not in server.log


@prefork_and_gevent
def test_brutal_reload_executes_the_master(engine: tuple[str, ...], tmp_path: Path) -> None:
    """FIFO `R`: configuration and code are new, and no old worker finishes anything."""
    options = (*HELLO, *engine, "--master-fifo", "fifo")
    with ServerProcess(*options) as server, slow_request(server, 60) as client:
        (old,) = workers(server).values()
        fifo(server, "R")
        server.wait_for_log(r"^\*\*\* reload complete", timeout=PATIENCE)
        wait_until(lambda: not alive(old))
        with pytest.raises(ConnectionEnded):
            client.receive()  # type: ignore[attr-defined]
        assert server.get("/").status == 200
        assert "binary reloading uWSGI..." in server.log_lines


def test_lazy_reloads_workers_only(tmp_path: Path) -> None:
    """uWSGI's lazy mode: each worker loads the application, and SIGHUP replaces the workers."""
    write_version(tmp_path / "app.py", "one")
    with ServerProcess(*HTTP, "--module", "app", "-p", "2", "--lazy", directory=tmp_path) as server:
        write_version(tmp_path / "app.py", "second")
        reload(server)
        assert server.get("/").body == b"second"
        assert "binary reloading" not in server.log


def test_exit_on_reload() -> None:
    """The server ends, with uWSGI's words and code 0; requests are answered first."""
    with ServerProcess(*HELLO, "--exit-on-reload") as server, slow_request(server, 1) as client:
        server.signal(signal.SIGHUP)
        assert client.receive().body == b"slow\n"  # type: ignore[attr-defined]
        assert server.wait_end() == 0
        assert "uWSGI: GAME OVER (insert coin)" in server.log_lines
        assert server.session_pids() == set()


def test_reloads_on_top_of_each_other() -> None:
    """Five at once: one runs, one follows, and no more."""
    with ServerProcess(*HELLO, "-p", "2") as server:
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\.\.\.gracefully killing workers")
        for _ in range(4):
            server.signal(signal.SIGHUP)
            time.sleep(0.02)
        server.wait_for_log(r"^\*\*\* reload complete", count=2, timeout=PATIENCE)
        assert server.get("/").status == 200
        assert "reload complete: 2 workers of generation 4" not in server.log


def test_reload_during_the_start(tmp_path: Path) -> None:
    """SIGHUP before the server is ready: it gets ready, and reloads then."""
    write_version(tmp_path / "app.py", "one")
    (tmp_path / "app.py").write_text(
        f"import time\nprint('importing', flush=True)\ntime.sleep(1)\n{(tmp_path / 'app.py').read_text()}"
    )
    with ServerProcess(*HTTP, "--module", "app", directory=tmp_path, wait=False) as server:
        server.wait_for_log("^importing$")
        server.signal(signal.SIGHUP)
        server.wait_ready()
        server.wait_for_log(r"^\*\*\* reload complete", timeout=PATIENCE)
        assert server.get("/").body == b"one"


# --- frameworks -------------------------------------------------------------------------------------------------------


def test_django_settings(tmp_path: Path) -> None:
    """A changed settings.UWSGI counts: the command that started the server is run again, as far as the server."""
    subprocess.run(
        (sys.executable, "-m", "django", "startproject", "site1", str(tmp_path)), check=True, capture_output=True
    )
    settings = tmp_path / "site1/settings.py"
    original = (
        settings.read_text()
        .replace("INSTALLED_APPS = [", "INSTALLED_APPS = [\n    'django_integration',")
        .replace("ALLOWED_HOSTS = []", "ALLOWED_HOSTS = ['*']")
    )
    settings.write_text(f"{original}\nUWSGI = {{'processes': 1}}\n")
    launcher = (sys.executable, "manage.py", "runuwsgi")
    with ServerProcess("127.0.0.1:0", launcher=launcher, directory=tmp_path) as server:
        assert len(workers(server)) == 1
        settings.write_text(f"{original}\nUWSGI = {{'processes': 3}}\nCHANGED = True\n")
        reload(server)
        wait_until(lambda: len(workers(server)) == 3, what="three workers")
        assert server.log.count("Performing system checks...") == 1
        settings.write_text(f"{original}\nUWSGI = {{'wrokers': 3}}\n#############\n")
        assert "wrokers" in failed_reload(server)
        settings.write_text(f"{original}\nUWSGI = {{\n")
        assert "SyntaxError" in failed_reload(server)
        assert server.get("/").status == 200
        assert len(workers(server)) == 3


def test_flask_configuration(tmp_path: Path) -> None:
    """The same for app.config["UWSGI"]."""
    application = "from flask import Flask\napp = Flask(__name__)\napp.config['UWSGI'] = {'processes': %d}\n"
    (tmp_path / "web.py").write_text(application % 1)
    launcher = (sys.executable, "-m", "flask", "--app", "web", "uwsgi", "run", "--port", "0")
    with ServerProcess(launcher=launcher, directory=tmp_path) as server:
        (tmp_path / "web.py").write_text(application % 2 + "\n# changed\n")
        reload(server)
        wait_until(lambda: len(workers(server)) == 2, what="two workers")
        (tmp_path / "web.py").write_text("def app(\n")
        assert "SyntaxError" in failed_reload(server)
        assert server.get("/").status == 404
