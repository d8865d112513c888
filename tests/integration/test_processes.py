"""Master, template and workers as real processes: births, deaths, reloads, stops, and what is left behind."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.client import ConnectionEnded
from tests.support.engines import prefork_and_gevent, threads_and_gevent
from tests.support.readable import readable_launcher
from tests.support.server import LAUNCHER, ServerProcess
from tests.support.waiting import wait_until

HTTP = ("--http-socket", "127.0.0.1:0")
HELLO = (*HTTP, "--module", "hello")
AT_ONCE = ("--min-worker-lifetime", "0")
SLOW = b"GET /slow?%s HTTP/1.1\r\nHost: test\r\n\r\n"
NOBODY = pwd.getpwnam("nobody")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else or give files away")


def title(pid: int) -> str:
    """What ps shows for a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def parent(pid: int) -> int:
    """The pid of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def processes(server: ServerProcess) -> dict[str, int]:
    """Title -> pid of the server's processes; one that ends while they are listed is none of them any more."""
    found = {}
    for pid in server.session_pids():
        with suppress(FileNotFoundError, ProcessLookupError):
            found[title(pid)] = pid
    return found


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def slow_request(server: ServerProcess, seconds: float) -> Iterator[object]:
    """A client whose request is being served when the block begins."""
    before = server.log.count("slow: begins")
    with server.connect(timeout=30) as client:
        client.send(SLOW % str(seconds).encode())
        wait_until(lambda: server.log.count("slow: begins") > before, what="the request to run")
        yield client


# --- births -----------------------------------------------------------------------------------------------------------


def test_processes_and_their_names() -> None:
    """A master, a template and the workers; the master is everybody's parent and has not imported the application."""
    with ServerProcess(*HELLO, "-p", "2") as server:
        found = processes(server)
        assert set(found) == {"uWSGI master", "uWSGI template", "uWSGI worker 1", "uWSGI worker 2"}
        assert found["uWSGI master"] == server.pid
        assert {parent(pid) for pid in found.values() if pid != server.pid} == {server.pid}
        assert server.worker_pids == {1: found["uWSGI worker 1"], 2: found["uWSGI worker 2"]}
        assert server.get("/").body == b"hello\n"


def test_startup_lines() -> None:
    """The lines that uWSGI users and their scripts look for, in uWSGI's order."""
    with ServerProcess(*HELLO, "--socket", "x.sock", "-p", "2", "--pidfile", "app.pid") as server:
        position = -1
        for expected in (
            "*** Starting uWSGI-compatible uwsgi-deploy ",
            "os: Linux-",
            "nodename: ",
            "machine: ",
            "detected number of CPU cores: ",
            "current working directory: ",
            "writing pidfile to app.pid",
            f"uwsgi socket 0 bound to TCP address 127.0.0.1:{server.port} (port auto-assigned) fd ",
            "uwsgi socket 1 bound to UNIX address x.sock fd ",
            "*** WARNING: you are running uWSGI as root !!! (use the --uid flag) ***",
            "Python version: 3.",
            "your server socket listen backlog is limited to ",
            "your mercy for graceful operations on workers is 60 seconds",
            "your request buffer size is 65536 bytes",
            "*** Operational MODE: preforking ***",
            f"spawned uWSGI master process (pid: {server.pid})",
            "WSGI app 0 (mountpoint='') ready in 0 seconds on interpreter 0x",
            "spawned uWSGI worker 1 (pid: ",
            "spawned uWSGI worker 2 (pid: ",
            "*** uwsgi-deploy is ready: 2 workers accept requests ***",
        ):
            index = next((n for n, line in enumerate(server.log_lines) if line.startswith(expected)), -1)
            assert index > position, expected
            position = index
        server.stop()
        assert server.log_lines[-3:] == [
            "goodbye to uWSGI.",
            "VACUUM: pidfile removed.",
            "VACUUM: unix socket x.sock removed.",
        ]


def test_procname_options() -> None:
    """Prefix and suffix are put around every process's name."""
    with ServerProcess(*HELLO, "--procname-prefix-spaced", "blog", "--procname-append", "!") as server:
        assert set(processes(server)) == {"blog uWSGI master!", "blog uWSGI template!", "blog uWSGI worker 1!"}


def test_lazy_apps_loads_in_every_worker() -> None:
    """With lazy-apps each worker imports the application itself."""
    with ServerProcess(*HELLO, "-p", "2", "--lazy-apps") as server:
        for pid in server.worker_pids.values():
            server.wait_for_log(rf"^WSGI app 0 \(mountpoint=''\) ready in \d+ seconds on interpreter 0x\w+ pid: {pid} ")
        assert server.get("/").status == 200


def test_without_master() -> None:
    """master = false with one process: that process is the worker, and cleans up after itself."""
    with ServerProcess(*HELLO, "--master=false", "--socket", "x.sock", "--pidfile", "app.pid") as server:
        assert set(processes(server)) == {"uWSGI worker 1"}
        assert f"spawned uWSGI worker 1 (and the only) (pid: {server.pid}, cores: 1)" in server.log_lines
        assert server.get("/pid").body == str(server.pid).encode()
        assert server.stop() == 0
        assert list(server.directory.iterdir()) == []


def test_processes_need_a_master() -> None:
    """Several processes without a master get one, with a notice."""
    with ServerProcess(*HELLO, "--master=false", "-p", "2") as server:
        assert "uWSGI master" in processes(server)
        assert "master" in server.log.partition("os: Linux")[0]


def test_need_app_off_answers_500() -> None:
    """need-app = false: a broken application is replaced by answer 500, and the log says why."""
    with ServerProcess(*HTTP, "--module", "broken", "--need-app=false", wait=False) as server:
        (server.directory / "broken.py").write_text("import no_such_library\n")
        server.wait_ready()
        response = server.get("/")
        assert (response.status, response.body) == (500, b"Internal Server Error")
        assert "ModuleNotFoundError: No module named 'no_such_library'" in server.log
        assert "no python application found" in server.log


def test_chdir_env_and_chdir2(tmp_path: Path) -> None:
    """chdir comes before the sockets and the application, chdir2 after the application is loaded."""
    (tmp_path / "later").mkdir()
    (tmp_path / "app.py").write_text("from hello import application\nimport os\nprint('loaded in', os.getcwd())\n")
    options = (*HTTP, "--socket", "x.sock", "--module", "app", "--env", "COLOUR=blue")
    with ServerProcess(*options, "--chdir", str(tmp_path), "--chdir2", "later") as server:
        assert (tmp_path / "x.sock").is_socket()
        assert f"loaded in {tmp_path}" in server.log_lines
        assert server.get("/cwd").body == str(tmp_path / "later").encode()
        assert server.get("/env?COLOUR").body == b"blue"
        server.stop()
    assert not (tmp_path / "x.sock").exists()


def test_warning_about_a_shared_connection(tmp_path: Path) -> None:
    """A connection that the application opens at import is named, with its peer and a way out."""
    with socket.create_server(("127.0.0.1", 0)) as database:
        peer = f"127.0.0.1:{database.getsockname()[1]}"
        (tmp_path / "app.py").write_text(
            f"import socket\nfrom hello import application\nC = socket.create_connection({database.getsockname()!r})\n"
            "PAIR = socket.socketpair()\n"
        )
        with ServerProcess(*HTTP, "--module", "app", directory=tmp_path) as server:
            assert server.log.count("*** WARNING: the application opened a connection") == 1
            assert f"opened a connection to {peer} (fd " in server.log


def test_workers_have_their_own_random_numbers(tmp_path: Path) -> None:
    """Workers forked from one template do not share the state of `random`."""
    (tmp_path / "app.py").write_text(
        "import random\n"
        "def application(environ, start_response):\n"
        "    body = str(random.random()).encode()\n"
        "    start_response('200 OK', [('Content-Length', str(len(body)))])\n"
        "    return [body]\n"
    )
    with ServerProcess(
        *HTTP, "--module", "app", "-p", "2", "--max-requests", "1", *AT_ONCE, directory=tmp_path
    ) as server:
        assert len({server.get("/").body for _ in range(6)}) == 6


# --- deaths -----------------------------------------------------------------------------------------------------------


@prefork_and_gevent
def test_killed_worker_is_back_within_a_second(engine: tuple[str, ...]) -> None:
    """kill -9 of a worker: uWSGI's lines, and a successor with the same number."""
    with ServerProcess(*HELLO, *engine, "-p", "2") as server:
        victim = server.worker_pids[1]
        started = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        server.wait_for_log(r"^Respawned uWSGI worker 1 \(new pid: \d+\)$")
        wait_until(lambda: "uWSGI worker 1" in processes(server))
        assert time.monotonic() - started < 1.0
        assert f"DAMN ! worker 1 (pid: {victim}) died, killed by signal 9 :( trying respawn ..." in server.log_lines
        assert server.worker_pids[1] != victim
        for _ in range(4):
            assert server.get("/").status == 200
        assert server.stop() == 0


@prefork_and_gevent
def test_worker_that_ends_in_a_request(engine: tuple[str, ...]) -> None:
    """An application that ends its process loses that request only."""
    with ServerProcess(*HELLO, *engine) as server:
        with server.connect() as client, pytest.raises(ConnectionEnded):
            client.get("/exit?3")
        server.wait_for_log(r"^DAMN ! worker 1 \(pid: \d+\) died, exit code 3 :\( trying respawn ...$")
        assert server.get("/").status == 200


def test_worker_told_by_somebody_else() -> None:
    """SIGTERM to a worker alone: it ends politely and is replaced."""
    with ServerProcess(*HELLO) as server:
        os.kill(server.worker_pids[1], signal.SIGTERM)
        server.wait_for_log("^Respawned uWSGI worker 1 ")
        assert server.get("/").status == 200


def test_lost_template_is_loaded_again() -> None:
    """The workers do not notice that the template died; a new one is there before it is needed."""
    with ServerProcess(*HELLO, "-p", "2") as server:
        template = processes(server)["uWSGI template"]
        os.kill(template, signal.SIGKILL)
        server.wait_for_log(rf"^the template \(pid: {template}\) died, killed by signal 9")
        assert server.get("/").status == 200
        wait_until(lambda: processes(server).get("uWSGI template", template) != template, what="another template")
        os.kill(server.worker_pids[2], signal.SIGKILL)
        server.wait_for_log("^Respawned uWSGI worker 2 ")
        assert server.stop() == 0


@pytest.mark.parametrize("options", [(), ("--lazy-apps",), ("--threads", "4"), ("--gevent", "20")])
def test_no_orphans(options: tuple[str, ...]) -> None:
    """kill -9 of the master: template and workers end by themselves."""
    with ServerProcess(*HELLO, "-p", "2", *options) as server:
        server.signal(signal.SIGKILL)
        server.wait_end()
        wait_until(lambda: not server.session_pids(), what="all processes to end")


def test_no_orphans_while_loading(tmp_path: Path) -> None:
    """A template that is busy importing dies with its master, too."""
    (tmp_path / "app.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    with ServerProcess(*HTTP, "--module", "app", directory=tmp_path, wait=False) as server:
        server.wait_for_log("^importing$")
        server.signal(signal.SIGKILL)
        server.wait_end()
        wait_until(lambda: not server.session_pids(), what="all processes to end")


@prefork_and_gevent
def test_orphans_finish_their_requests(engine: tuple[str, ...]) -> None:
    """A worker whose master was killed still answers what it has begun, if that takes no longer than a moment."""
    with ServerProcess(*HELLO, *engine) as server, slow_request(server, 0.7) as client:
        server.signal(signal.SIGKILL)
        assert client.receive().body == b"slow\n"  # type: ignore[attr-defined]
        wait_until(lambda: not server.session_pids(), what="all processes to end")


@prefork_and_gevent
def test_retired_workers_are_replaced(engine: tuple[str, ...]) -> None:
    """max-requests: workers are replaced without an alarm and without a lost request."""
    with ServerProcess(*HELLO, *engine, "--max-requests", "3", *AT_ONCE) as server:
        pids: set[bytes] = set()
        wait_until(lambda: pids.add(server.get("/pid").body) or len(pids) >= 4, timeout=30, what="a fourth worker")
        assert "DAMN" not in server.log
        server.wait_for_log(r"^worker 1 killed successfully \(pid: \d+\)$", count=3)


def test_strangers_are_reaped(tmp_path: Path) -> None:
    """Orphans of the application are adopted, reaped and otherwise ignored, whatever they end with."""
    (tmp_path / "app.py").write_text(
        "import subprocess\n"
        "from hello import application as hello\n"
        "def application(environ, start_response):\n"
        "    subprocess.run(['sh', '-c', '(sleep 0.1; exit 22) & (sleep 0.1; kill -9 $$) & exit 0'])\n"
        "    return hello(environ, start_response)\n"
    )
    with ServerProcess(*HTTP, "--module", "app", directory=tmp_path) as server:
        assert server.get("/").status == 200
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        wait_until(lambda: len(children.read_text().split()) == 2, what="template and worker to be the only children")
        assert server.get("/").status == 200
        assert "DAMN" not in server.log


def test_as_pid_1() -> None:
    """In a container: PID 1 serves, reaps and stops on SIGTERM."""
    unshare = shutil.which("unshare")
    assert unshare, "util-linux is part of every Linux"
    launcher = (unshare, "--pid", "--fork", "--mount-proc", *LAUNCHER)
    with ServerProcess(*HELLO, "-p", "2", launcher=launcher) as server:
        assert "spawned uWSGI master process (pid: 1)" in server.log_lines
        assert server.get("/").status == 200
        (master,) = (pid for name, pid in processes(server).items() if name == "uWSGI master")
        os.kill(processes(server)["uWSGI worker 1"], signal.SIGKILL)
        server.wait_for_log("^Respawned uWSGI worker 1 ")
        os.kill(master, signal.SIGTERM)
        assert server.wait_end() == 0
        assert "goodbye to uWSGI." in server.log_lines


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop(number: signal.Signals) -> None:
    """Every way to stop ends with exit code 0 and nothing left behind."""
    with ServerProcess(*HELLO, "-p", "2", "--socket", "x.sock", "--pidfile", "app.pid") as server:
        port = server.port
        assert server.stop(number) == 0
        assert server.session_pids() == set()
        assert list(server.directory.iterdir()) == []
        assert "goodbye to uWSGI." in server.log_lines
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


@prefork_and_gevent
def test_stop_finishes_requests(engine: tuple[str, ...]) -> None:
    """A request that is being served is answered, and nobody new is let in meanwhile."""
    with ServerProcess(*HELLO, *engine, "-p", "2") as server, slow_request(server, 0.7) as client:
        server.signal(signal.SIGTERM)
        server.wait_for_log("^SIGINT/SIGTERM received...killing workers...$")
        assert client.receive().body == b"slow\n"  # type: ignore[attr-defined]
        assert server.wait_end() == 0


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@prefork_and_gevent
def test_second_signal_stops_at_once(engine: tuple[str, ...], first: signal.Signals) -> None:
    """An impatient second Ctrl-C or SIGQUIT does not wait for requests."""
    second = signal.SIGINT if first is signal.SIGINT else signal.SIGQUIT
    with ServerProcess(*HELLO, *engine, "-p", "2") as server, slow_request(server, 30):
        server.signal(first)
        server.wait_for_log("^worker . buried after 0 seconds$")
        started = time.monotonic()
        wait_until(lambda: time.monotonic() - started > 0.25)  # sooner it would be the same Ctrl-C
        server.signal(second)
        assert server.wait_end(5) == 0
        assert time.monotonic() - started < 5


@prefork_and_gevent
def test_heroku_stop(engine: tuple[str, ...]) -> None:
    """SIGTERM to every process, again and again: the request is answered, nobody is respawned, exit code 0."""
    with ServerProcess(*HELLO, *engine, "-p", "2") as server, slow_request(server, 1) as client:
        started = time.monotonic()
        for rounds in range(6):
            if rounds > 1 and time.monotonic() - started > 0.5:
                break  # later than a second it would be somebody's impatience
            for pid in server.session_pids():
                with suppress(ProcessLookupError):  # an idle worker may have ended since it was listed
                    os.kill(pid, signal.SIGTERM)
            wait_until(lambda: "killing workers" in server.log)
        assert client.receive().body == b"slow\n"  # type: ignore[attr-defined]
        assert server.wait_end() == 0
        assert server.log.count("goodbye to uWSGI.") == 1
        assert "espawned" not in server.log
        assert "leaving at once" not in server.log


def test_no_mercy() -> None:
    """A worker that does not end within worker-reload-mercy is killed, with uWSGI's words."""
    with ServerProcess(*HELLO, "--worker-reload-mercy", "0.3") as server, slow_request(server, 60):
        assert server.stop(timeout=10) == 0
        server.wait_for_log(r"^worker 1 \(pid: \d+\) is taking too much time to die...NO MERCY !!!$")


@threads_and_gevent
def test_mercy_of_a_worker_that_is_not_stuck(engine: tuple[str, ...]) -> None:
    """It sees by itself that the time is over, and nobody has to kill it."""
    with ServerProcess(*HELLO, *engine, "--worker-reload-mercy", "0.3") as server, slow_request(server, 60):
        assert server.stop(timeout=10) == 0
        assert server.session_pids() == set()
        assert "DAMN" not in server.log


def test_stop_while_loading(tmp_path: Path) -> None:
    """SIGTERM while the application is imported ends the server at once."""
    (tmp_path / "app.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    options = (*HTTP, "--socket", "x.sock", "--module", "app")
    for extra in ((), ("--lazy-apps",), ("--master=false",)):
        with ServerProcess(*options, *extra, directory=tmp_path, wait=False) as server:
            server.wait_for_log("^importing$")
            assert server.stop(timeout=10) == 0
            assert server.session_pids() == set()
            assert not (tmp_path / "x.sock").exists()


@prefork_and_gevent
def test_exit_handlers_and_threads(engine: tuple[str, ...]) -> None:
    """A worker's background jobs and exit handlers run before it ends, once and only in the worker."""
    with ServerProcess(*HTTP, "--module", "background", *engine) as server:
        assert server.get("/").status == 200
        assert server.stop() == 0
        worker = server.worker_pids[1]
        assert [line for line in server.log_lines if "job done" in line] == [f"job done in {worker}"]
        assert [line for line in server.log_lines if "exit handler" in line] == [f"exit handler in {worker}"]


def test_idle_master_sleeps() -> None:
    """Nothing to do means no wake-ups: the master's voluntary context switches stand still."""

    def switches(pid: int) -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)

    with ServerProcess(*HELLO, "-p", "2") as server:
        template = processes(server)["uWSGI template"]
        before = switches(server.pid), switches(template)
        started = time.monotonic()
        wait_until(lambda: time.monotonic() - started > 1.5, interval=0.1)
        assert switches(server.pid) - before[0] <= 1
        assert switches(template) - before[1] <= 1


# --- reloading --------------------------------------------------------------------------------------------------------

VERSION = "def application(e, s):\n    s('200 OK', [('Content-Length', '{n}')])\n    return [b'{text}']\n"


def write_version(path: Path, text: str) -> None:
    """An application that answers with `text`; its size changes so that no stale bytecode is taken for it."""
    path.write_text(VERSION.format(n=len(text), text=text) + "#" * len(text))


@pytest.mark.parametrize("options", [(), ("--lazy-apps",)])
def test_reload_takes_new_code(tmp_path: Path, options: tuple[str, ...]) -> None:
    """SIGHUP: the workers are replaced by ones with the new code, the master stays, no request is refused."""
    write_version(tmp_path / "app.py", "one")
    with ServerProcess(*HTTP, "--module", "app", "-p", "2", *options, directory=tmp_path) as server:
        old = set(server.worker_pids.values())
        assert server.get("/").body == b"one"
        write_version(tmp_path / "app.py", "second")
        server.signal(signal.SIGHUP)
        answers = set()
        while "reload complete" not in server.log:
            answers.add(server.get("/").body)
        assert answers <= {b"one", b"second"}
        wait_until(lambda: not any(alive(pid) for pid in old), what="the old workers to leave")
        assert {server.get("/").body for _ in range(4)} == {b"second"}
        assert "*** reload complete: 2 workers of generation 2 serve ***" in server.log_lines
        assert len(processes(server)) == 4
        assert server.stop() == 0


@pytest.mark.parametrize("options", [(), ("--lazy-apps",)])
def test_broken_code_keeps_the_old(tmp_path: Path, options: tuple[str, ...]) -> None:
    """A reload to code that does not load is cancelled with its traceback; the next one, to good code, works."""
    write_version(tmp_path / "app.py", "one")
    with ServerProcess(*HTTP, "--module", "app", "-p", "2", *options, directory=tmp_path) as server:
        (tmp_path / "app.py").write_text("import no_such_library\n")
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload cancelled")
        assert "No module named 'no_such_library'" in server.log
        assert {server.get("/").body for _ in range(4)} == {b"one"}
        write_version(tmp_path / "app.py", "third!")
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload complete")
        assert server.get("/").body == b"third!"
        assert server.stop() == 0


@prefork_and_gevent
def test_reload_finishes_requests(engine: tuple[str, ...]) -> None:
    """A worker that is replaced answers what it has begun."""
    with ServerProcess(*HELLO, *engine) as server, slow_request(server, 0.7) as client:
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload complete")
        assert server.get("/").status == 200
        assert client.receive().body == b"slow\n"  # type: ignore[attr-defined]
        server.wait_for_log("^worker 1 killed successfully")


def test_two_reloads_at_once() -> None:
    """A reload that is asked for during a reload follows it."""
    with ServerProcess(*HELLO, "-p", "2") as server:
        server.signal(signal.SIGHUP)
        server.wait_for_log("gracefully killing workers")
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload complete", count=2)
        assert server.get("/").status == 200
        assert server.stop() == 0


def test_brutal_reload() -> None:
    """die-on-term = false: SIGTERM replaces all workers at once, SIGINT stops."""
    with ServerProcess(*HELLO, "-p", "2", "--die-on-term=false") as server:
        old = set(server.worker_pids.values())
        server.signal(signal.SIGTERM)
        server.wait_for_log(r"^\*\*\* reload complete")
        wait_until(lambda: "uWSGI worker 1" in processes(server) and "uWSGI worker 2" in processes(server))
        assert server.get("/").status == 200
        assert not old & set(processes(server).values())
        assert server.stop(signal.SIGINT) == 0


def test_other_signals_are_harmless() -> None:
    """SIGUSR1 logs statistics; SIGUSR2 and SIGWINCH change nothing."""
    with ServerProcess(*HELLO) as server:
        assert server.get("/").status == 200
        for number in (signal.SIGUSR2, signal.SIGWINCH, signal.SIGUSR1):
            server.signal(number)
        server.wait_for_log(r"^worker 1 \(pid: \d+\): \w+, generation 1, \d requests, \d with predecessors$")
        assert server.get("/").status == 200


# --- failing starts ---------------------------------------------------------------------------------------------------


def failed_start(*options: str, directory: Path, launcher: tuple[str, ...] = LAUNCHER) -> tuple[int, list[str]]:
    """Exit code and log of a start that fails; nothing that it created is left."""
    before = sorted(path.name for path in directory.iterdir())
    with ServerProcess(*options, directory=directory, wait=False, launcher=launcher) as server:
        code = server.wait_end()
        assert server.session_pids() == set()
        left = sorted(path.name for path in directory.iterdir() if path.name != "__pycache__")
        assert left == before
        return code, server.log_lines


LEFTOVERS = (*HTTP, "--socket", "x.sock", "--pidfile", "app.pid")


@pytest.mark.parametrize("extra", [(), ("--master=false",), ("--lazy-apps", "-p", "2")])
@pytest.mark.parametrize(
    ("module", "code", "last"),
    [
        ("nosuch", 1, "there is no module 'nosuch'"),
        ("hello:aplication", 1, 'unable to find "aplication" callable in module hello; did you mean application?'),
        ("hello:ROUTES", 1, "'ROUTES' in module hello is a dict, which is no WSGI application"),
        ("broken", 22, "cannot load module broken: it imports 'no_such_library', which is not installed"),
    ],
)
def test_application_that_cannot_be_loaded(
    tmp_path: Path, module: str, code: int, last: str, extra: tuple[str, ...]
) -> None:
    """The reason is the last line; a wrong name ends with 1, a failing import with 22 and its traceback before."""
    (tmp_path / "broken.py").write_text("import no_such_library\n")
    exit_code, log = failed_start(*LEFTOVERS, "--module", module, *extra, directory=tmp_path)
    assert exit_code == code
    assert log[-1].startswith(last)
    assert ("Traceback (most recent call last):" in log) == (code == 22)
    if code == 22:
        assert log[-2] == "ModuleNotFoundError: No module named 'no_such_library'"


def test_application_that_ends_the_process(tmp_path: Path) -> None:
    """An import that ends the process is told from one that fails."""
    (tmp_path / "app.py").write_text("import os\nos._exit(3)\n")
    code, log = failed_start(*LEFTOVERS, "--module", "app", directory=tmp_path)
    assert (code, log[-1]) == (22, "the process that loaded the application ended while loading it, exit code 3")


@pytest.mark.parametrize(
    ("options", "last"),
    [
        (("--chdir", "/nonexistent"), "chdir: there is no directory /nonexistent"),
        (("--chdir2", "none"), "chdir2: there is no directory "),
        (("--home", "/nonexistent"), "home: the virtual environment /nonexistent does not exist"),
        (("--uid", "no-such-user"), "uid: there is no user 'no-such-user'"),
        (("--chown-socket", "0:none"), "chown-socket: there is no group 'none'"),
        (("--http-socket", ":http"), "command line: 'http-socket': 'http' in ':http' is no port number"),
        (("--http-socket", "203.0.113.9:0"), "cannot listen on 203.0.113.9:0: no network interface"),
        (("--socket", "/nonexistent/x.sock"), "cannot listen on /nonexistent/x.sock: the directory /nonexistent does"),
        (("--socket", "file"), "cannot listen on file: the path exists and is no socket"),
        (("--pidfile", "/nonexistent/app.pid"), "pidfile: cannot write /nonexistent/app.pid: No such file"),
        (("--logto", "/nonexistent/app.log"), "logto: cannot open /nonexistent/app.log: No such file"),
    ],
)
def test_settings_that_cannot_work(tmp_path: Path, options: tuple[str, ...], last: str) -> None:
    """One clear line at the end, exit code 1, nothing left behind."""
    (tmp_path / "file").write_text("precious")
    code, log = failed_start(*HTTP, "--socket", "x.sock", "--module", "hello", *options, directory=tmp_path)
    assert code == 1
    assert log[-1].startswith(last)
    assert "Traceback (most recent call last):" not in log


def test_port_in_use(tmp_path: Path) -> None:
    """The line says which process has the port."""
    with ServerProcess(*HELLO) as first:
        address = f"127.0.0.1:{first.port}"
        options = ("--socket", "x.sock", "--http-socket", address, "--pidfile", "app.pid", "--module", "hello")
        code, log = failed_start(*options, directory=tmp_path)
        assert code == 1
        assert log[-1].startswith(f"cannot listen on {address}: the address is already in use by process ")
        assert "(uWSGI " in log[-1]


def test_unix_socket_in_use(tmp_path: Path) -> None:
    """A living server's socket is not taken away from it."""
    with ServerProcess("--http-socket", "a.sock", "--module", "hello", directory=tmp_path) as first:
        code, log = failed_start("--http-socket", "a.sock", "--module", "hello", directory=tmp_path)
        assert code == 1
        assert log[-1].startswith("cannot listen on a.sock: another process listens on it by process ")
        assert first.get("/").status == 200


def test_pidfile_of_a_running_server(tmp_path: Path) -> None:
    """The same pid file twice: the second server does not start and leaves the first one's file alone."""
    options = (*HELLO, "--pidfile", "app.pid")
    with ServerProcess(*options, directory=tmp_path) as first:
        code, log = failed_start(*options, directory=tmp_path)
        assert code == 1
        assert f"app.pid belongs to a running server (pid {first.pid})" in log[-1]
        assert (tmp_path / "app.pid").read_text() == f"{first.pid}\n"


def powerless(*options: str) -> tuple[str, ...]:
    """A launcher whose root has no capabilities, as in a container: file modes and owners hold for it."""
    setpriv = shutil.which("setpriv")
    assert setpriv, "util-linux is part of every Linux"
    return (setpriv, "--bounding-set=-all", "--inh-caps=-all", *LAUNCHER, *options)


@AS_ROOT
def test_permission_denied(tmp_path: Path) -> None:
    """A directory that may not be written to is named, and so is the user."""
    os.chown(tmp_path, NOBODY.pw_uid, NOBODY.pw_gid)
    tmp_path.chmod(0o755)
    code, log = failed_start("--socket", "x.sock", "--module", "hello", directory=tmp_path, launcher=powerless())
    assert (code, log[-1]) == (
        1,
        "cannot listen on x.sock: permission denied; the user with uid 0 may not create files in .",
    )


@AS_ROOT
@pytest.mark.parametrize(
    ("options", "last"),
    [
        (("--uid", "nobody"), f"uid: cannot become user {NOBODY.pw_uid}: Operation not permitted"),
        (("--gid", "54321"), "gid: cannot become group 54321: Operation not permitted"),
        (
            ("--socket", "x.sock", "--chown-socket", "nobody"),
            "cannot listen on x.sock: its owner or mode cannot be set: Operation not permitted",
        ),
    ],
)
def test_identity_that_cannot_be_had(tmp_path: Path, options: tuple[str, ...], last: str) -> None:
    """Root without capabilities cannot become anybody: one line, nothing left behind."""
    start = (*HELLO, "--pidfile", "app.pid", *options)
    code, log = failed_start(*start, directory=tmp_path, launcher=powerless())
    assert (code, log[-1]) == (1, last)


# --- identity and files -----------------------------------------------------------------------------------------------


@AS_ROOT
def test_dropping_privileges() -> None:
    """Bound as root, served as nobody: no process keeps root's user, group or supplementary groups."""
    options = ("--uid", "nobody", "--socket", "x.sock", "--pidfile", "app.pid", "-p", "2")
    server = ServerProcess(*HELLO, *options, launcher=readable_launcher())
    os.chown(server.directory, NOBODY.pw_uid, NOBODY.pw_gid)
    with server:
        for pid in server.session_pids():
            status = dict(
                line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
            )
            assert set(status["Uid"].split()) == {str(NOBODY.pw_uid)}
            assert set(status["Gid"].split()) == {str(NOBODY.pw_gid)}
            assert "0" not in status["Groups"].split()
        for line in (f"setgid() to {NOBODY.pw_gid}", f"setuid() to {NOBODY.pw_uid}"):
            assert line in server.log_lines
        assert "running uWSGI as root" not in server.log
        assert os.stat(server.directory / "x.sock").st_uid == NOBODY.pw_uid
        assert server.get("/").status == 200
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload complete")
        assert server.stop() == 0
        assert list(server.directory.iterdir()) == []


@AS_ROOT
def test_workers_of_another_user_die_with_the_master(tmp_path: Path) -> None:
    """The death signal, which a change of user clears, is set after that change."""
    with ServerProcess(*HELLO, "--uid", "nobody", "-p", "2", launcher=readable_launcher()) as server:
        server.signal(signal.SIGKILL)
        server.wait_end()
        wait_until(lambda: not server.session_pids(), what="all processes to end")


@AS_ROOT
def test_socket_mode_and_owner(tmp_path: Path) -> None:
    """chmod-socket and chown-socket, and umask for what the application writes."""
    options = (
        "--socket",
        "x.sock",
        "--chmod-socket=664",
        "--chown-socket",
        f"nobody:{NOBODY.pw_gid}",
        "--umask",
        "027",
    )
    with ServerProcess(*HELLO, *options, directory=tmp_path) as server:
        status = os.stat(tmp_path / "x.sock")
        assert stat.S_IMODE(status.st_mode) == 0o664
        assert (status.st_uid, status.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
        assert "Umask:\t0027" in Path(f"/proc/{server.pid}/status").read_text()


def test_vacuum_spares_what_is_not_ours(tmp_path: Path) -> None:
    """A successor at the same path and a pid file with another pid stay where they are."""
    options = (*HELLO, "--socket", "x.sock", "--pidfile", "app.pid")
    with ServerProcess(*options, directory=tmp_path) as server:
        (tmp_path / "x.sock").rename(tmp_path / "kept.sock")
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(tmp_path / "x.sock"))
        (tmp_path / "app.pid").write_text("1\n")
        assert server.stop() == 0
        assert "VACUUM WARNING: unix socket x.sock changed inode. Skip removal" in server.log_lines
    assert {path.name for path in tmp_path.iterdir()} >= {"x.sock", "kept.sock", "app.pid"}


def test_vacuum_off_keeps_files(tmp_path: Path) -> None:
    """vacuum = false leaves socket and pid file, and the next start takes them over."""
    options = (*HELLO, "--socket", "x.sock", "--pidfile", "app.pid", "--vacuum=false")
    for _ in range(2):
        with ServerProcess(*options, directory=tmp_path) as server:
            assert (tmp_path / "app.pid").read_text() == f"{server.pid}\n"
            assert server.stop() == 0
        assert (tmp_path / "x.sock").exists()
        assert (tmp_path / "app.pid").exists()


def test_logto_takes_the_log(tmp_path: Path) -> None:
    """With logto everything goes to the file, start-up lines and the application's output included."""
    with ServerProcess(*HTTP, "--module", "background", "--logto", "app.log", directory=tmp_path, wait=False) as server:
        log = tmp_path / "app.log"
        wait_until(lambda: log.exists() and "uwsgi-deploy is ready" in log.read_text())
        assert server.stop() == 0
        assert server.log == ""
    assert "exit handler in " in log.read_text()
    assert "goodbye to uWSGI." in log.read_text()


def test_inherited_socket() -> None:
    """fd://N serves on a socket that the caller opened."""
    with socket.create_server(("127.0.0.1", 0)) as outer:
        outer.set_inheritable(True)
        command = ["--http-socket", f"fd://{outer.fileno()}", "--module", "hello"]
        process = subprocess.Popen(
            [*LAUNCHER, *command],
            pass_fds=(outer.fileno(),),
            env=ServerProcess().environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        address = outer.getsockname()
        expected = f"uwsgi socket 0 inherited INET address 127.0.0.1:{address[1]} fd {outer.fileno()}\n"
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "is ready" in line:
            break
    assert expected in lines
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(9) == b"HTTP/1.1 "
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    assert process.wait(10) == 0
    process.stderr.close()
