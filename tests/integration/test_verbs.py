"""`uwsgi-deploy status | reload | stop …` and uWSGI's `--stop FILE` with real servers."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engines import prefork_and_gevent
from tests.support.server import LAUNCHER, ServerProcess
from tests.support.verbs import verb
from tests.support.waiting import wait_until

HTTP = ("--http-socket", "127.0.0.1:0")
HELLO = (*HTTP, "--module", "hello", "--pidfile", "app.pid")
NOT_RUNNING = 7


def sleeper(path: Path) -> subprocess.Popen[bytes]:
    """A process that is no server, and its pid in a file."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    path.write_text(f"{process.pid}\n")
    return process


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_for_programs_and_scripts() -> None:
    """JSON with every fact; lines of name=value where nobody looks at a terminal."""
    with ServerProcess(*HELLO, "-p", "2", "--threads", "3") as server:
        server.get("/")
        result = verb(server, "status", "--json")
        assert (result.returncode, result.stderr) == (0, "")
        data = json.loads(result.stdout)
        assert (data["pid"], data["state"], data["processes"], data["threads"]) == (server.pid, "running", 2, 3)
        assert (data["requests"], data["generation"], data["cwd"]) == (1, 1, str(server.directory))
        assert {worker["id"]: worker["pid"] for worker in data["workers"]} == server.worker_pids
        assert sum(worker["requests"] for worker in data["workers"]) == 1
        assert all(worker["state"] == "idle" and worker["rss"] > 1 << 20 for worker in data["workers"])
        assert data["listeners"][0]["name"] == f"127.0.0.1:{server.port}"
        assert data["listeners"][0]["max_queue"] > 0
        lines = verb(server, "status").stdout.splitlines()
        assert f"pid={server.pid}" in lines
        assert [line.split()[0] for line in lines if " " in line].count("worker") == 2


@prefork_and_gevent
def test_status_shows_the_request_that_runs(engine: tuple[str, ...]) -> None:
    with ServerProcess(*HELLO, *engine, "--harakiri", "50") as server, server.connect(timeout=60) as client:
        client.send(b"GET /slow?30 HTTP/1.1\r\nHost: test\r\n\r\n")

        def busy() -> bool:
            workers = json.loads(verb(server, "status", "--json").stdout)["workers"]
            return any(
                (running["method"], running["uri"], worker["state"]) == ("GET", "/slow?30", "busy")
                and 0 < running["harakiri"] <= 50
                for worker in workers
                for running in worker["running"]
            )

        wait_until(busy, 30)


def test_status_on_a_terminal() -> None:
    """A table with a heading."""
    with ServerProcess(*HELLO, "-p", "2") as server:
        ours, theirs = pty.openpty()
        subprocess.run(
            [*LAUNCHER, "status"],
            cwd=server.directory,
            env=server.environment,
            stdout=theirs,
            stderr=theirs,
            timeout=60,
            check=True,
        )
        shown = os.read(ours, 65536).decode()
        os.close(ours)
        os.close(theirs)
        assert f"(pid {server.pid}) is running" in shown
        assert "2 of 2 workers serve" in shown
        heading = next(line for line in shown.splitlines() if "STATE" in line)
        row = next(line for line in shown.splitlines() if str(server.worker_pids[1]) in line)
        assert heading.index("STATE") == row.index("idle")


# --- finding ----------------------------------------------------------------------------------------------------------


def test_every_way_to_name_a_server(tmp_path: Path) -> None:
    """Its pid file, its control socket, its pid, its ini file, variables of the environment, its directory."""
    ini = tmp_path / "app.ini"
    ini.write_text("[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = hello\npidfile = app.pid\ncontrol-socket = app.ctl\n")
    with ServerProcess(str(ini)) as server:
        pid = str(server.pid)
        for way in (("--pidfile", "app.pid"), ("--control-socket", "app.ctl"), ("--pid", pid), ("--ini", str(ini)), ()):
            result = verb(server, "status", "--json", *way)
            assert json.loads(result.stdout)["pid"] == server.pid, way
        elsewhere = ServerProcess(directory=tmp_path, environment={"UWSGI_PIDFILE": str(server.directory / "app.pid")})
        assert json.loads(verb(elsewhere, "status", "--json").stdout)["pid"] == server.pid
        assert server.stop() == 0
        assert sorted(os.listdir(server.directory)) == []


def test_what_works_elsewhere_is_not_stopped_by_mistake(tmp_path: Path) -> None:
    """Without a hint only the server of this directory is meant; what else runs is named, not touched."""
    with ServerProcess(*HELLO) as server:
        elsewhere = ServerProcess(directory=tmp_path)
        for word in ("stop", "reload"):
            result = verb(elsewhere, word)
            assert result.returncode == 1
            assert f"{server.pid} in {server.directory}" in result.stderr
        assert server.get("/").status == 200


def test_what_works_elsewhere_is_not_the_one_that_was_named(tmp_path: Path) -> None:
    """Whoever names a configuration does not want to hear that some other server runs."""
    (tmp_path / "app.ini").write_text("[uwsgi]\nhttp-socket = 127.0.0.1:0\n")
    with ServerProcess(*HELLO):
        assert verb(ServerProcess(directory=tmp_path), "status", "--ini", "app.ini").returncode == 4


def test_a_server_without_a_control_socket() -> None:
    """Signals have to do: it is known to run, to reload and to stop, and nothing more is known of it."""
    with ServerProcess(*HELLO, "--control-socket", "off") as server:
        result = verb(server, "status", "--pidfile", "app.pid")
        assert result.returncode == 0
        assert f"running (pid {server.pid}); its control socket cannot be reached" in result.stdout
        assert verb(server, "reload", "--pidfile", "app.pid").returncode == 0
        server.wait_for_log("reload complete", timeout=60)
        result = verb(server, "reload", "--wait", "--pidfile", "app.pid")
        assert result.returncode == 1
        assert "cannot be known without the control socket" in result.stderr
        server.wait_for_log("reload complete", count=2, timeout=60)
        assert verb(server, "stop", "--pidfile", "app.pid").returncode == 0
        assert server.wait_end(1) == 0


def test_exit_codes_when_nothing_runs(tmp_path: Path) -> None:
    """Of status those of the Linux Standard Base; what is to be stopped and does not run is stopped."""
    nowhere = ServerProcess(directory=tmp_path)
    (tmp_path / "stale").write_text("4194999\n")  # beyond the largest pid
    (tmp_path / "text").write_text("[uwsgi]\n")
    (tmp_path / "empty").write_text("")
    codes = {
        name: [verb(nowhere, word, "--pidfile", name).returncode for word in ("status", "reload", "stop")]
        for name in ("missing", "stale", "text", "empty")
    }
    assert codes == {
        "missing": [3, NOT_RUNNING, 0],
        "stale": [1, NOT_RUNNING, 0],
        "text": [4, 1, 1],
        "empty": [4, 1, 1],
    }
    assert "left over from process 4194999, which has ended" in verb(nowhere, "stop", "--pidfile", "stale").stderr
    assert verb(nowhere, "status", "--control-socket", "missing").returncode == 3
    assert verb(nowhere, "status", "--pid", "4194999").returncode == 3


@pytest.mark.parametrize("words", [("stop", "--pidfile", "app.pid"), ("--stop", "app.pid"), ("--reload", "app.pid")])
def test_somebody_elses_process_is_never_signalled(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A pid file that a dead server left names another program by now."""
    stranger = sleeper(tmp_path / "app.pid")
    try:
        result = verb(ServerProcess(directory=tmp_path), *words)
        assert result.returncode == 1
        assert f"process {stranger.pid} is another program by now" in result.stderr
        assert verb(ServerProcess(directory=tmp_path), "status", "--pidfile", "app.pid").returncode == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


# --- reload and stop --------------------------------------------------------------------------------------------------


def test_reload_and_stop() -> None:
    """stop waits for the end: when it returns, the process is gone and the port is free."""
    with ServerProcess(*HELLO) as server:
        result = verb(server, "reload", "--pidfile", "app.pid")
        assert (result.returncode, result.stderr) == (0, "")
        server.wait_for_log("reload complete", timeout=60)
        assert server.get("/").status == 200
        result = verb(server, "stop", "--pidfile", "app.pid")
        assert (result.returncode, result.stdout) == (0, f"stopped (pid {server.pid})\n")
        assert server.wait_end(1) == 0


def test_stop_waits_for_requests_but_not_for_ever() -> None:
    with ServerProcess(*HELLO) as server, server.connect(timeout=60) as client:
        client.send(b"GET /slow?30 HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_until(lambda: "busy" in verb(server, "status").stdout, 30)
        result = verb(server, "stop", "--timeout", "0.2")
        assert result.returncode == 1
        assert "still runs after 0.2 s" in result.stderr
        assert verb(server, "stop", "--no-wait").returncode == 0  # once more is no impatience
        assert json.loads(verb(server, "status", "--json").stdout)["state"] == "stopping"
        assert "leaving at once" not in server.log
        assert verb(server, "stop", "--now").returncode == 0
        assert server.wait_end(1) == 0


def test_uwsgis_options() -> None:
    """--reload FILE and --stop FILE tell and return."""
    with ServerProcess(*HELLO) as server:
        assert verb(server, "--reload", "app.pid").returncode == 0
        server.wait_for_log("reload complete", timeout=60)
        assert verb(server, "--stop", "app.pid").returncode == 0
        assert server.wait_end(30) == 0
        assert verb(server, "--stop", "app.pid").returncode == 1


# --- the control socket -----------------------------------------------------------------------------------------------


def test_the_control_socket_is_the_masters_alone_and_goes_with_it() -> None:
    """Children that held it would answer for a dead master."""
    with ServerProcess(*HELLO, "-p", "2", "--control-socket", "app.ctl", "--vacuum=false") as server:
        verb(server, "status")
        inodes = {os.readlink(f"/proc/{server.pid}/fd/{name}") for name in os.listdir(f"/proc/{server.pid}/fd")}
        unix = Path("/proc/net/unix").read_text().splitlines()
        inode = next(line.split()[6] for line in unix if line.endswith(f"{server.directory}/app.ctl"))
        assert f"socket:[{inode}]" in inodes
        for pid in server.session_pids() - {server.pid}:
            assert f"socket:[{inode}]" not in [
                os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")
            ]
        assert server.stop() == 0
        assert not (server.directory / "app.ctl").exists()


def test_a_killed_servers_socket_is_in_nobodys_way() -> None:
    with ServerProcess(*HELLO, "--control-socket", "app.ctl") as server:
        server.signal(signal.SIGKILL)
        server.wait_end()
        wait_until(lambda: not server.session_pids(), 30)
        assert (server.directory / "app.ctl").exists()
        assert verb(server, "status", "--control-socket", "app.ctl").returncode == 3
        with ServerProcess(*HELLO, "--control-socket", "app.ctl", directory=server.directory) as successor:
            result = verb(successor, "status", "--json", "--control-socket", "app.ctl")
            assert json.loads(result.stdout)["pid"] == successor.pid
