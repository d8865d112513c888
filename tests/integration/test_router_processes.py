"""The http router's processes: their birth, deaths, reloads and stops, and what clients notice of these: nothing."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.integration.test_processes import alive, parent, processes, slow_request
from tests.support.load import Load
from tests.support.server import ServerProcess
from tests.support.verbs import verb
from tests.support.waiting import wait_until

HTTP = ("--http", "127.0.0.1:0")
HELLO = (*HTTP, "--module", "hello", "--disable-logging")
PATIENCE = 30.0
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
HALF_A_BODY = b"POST /slow?0.1 HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\nConnection: close\r\n\r\n01234"


def ini(directory: Path, *lines: str) -> None:
    """Write app.ini."""
    (directory / "app.ini").write_text("\n".join(("[uwsgi]", "pythonpath = .", *lines, "")))


def version(directory: Path, number: int) -> None:
    """Write an application that answers with a number."""
    (directory / "app.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        f"    return [b'{number}']\n"
    )


def routers(server: ServerProcess) -> dict[str, int]:
    """Title -> pid of the router's processes."""
    return {title: pid for title, pid in processes(server).items() if title.startswith("uWSGI http")}


def test_a_router_and_its_processes(tmp_path: Path) -> None:
    """`http` alone is a server; what happens to one of its processes no client notices."""
    options = (*HELLO, "--http-processes", "2", "-p", "2", "--pidfile", "app.pid")
    with ServerProcess(*options, directory=tmp_path) as server:
        found = processes(server)
        assert set(found) == {
            *("uWSGI master", "uWSGI template", "uWSGI worker 1", "uWSGI worker 2"),
            *("uWSGI http 1", "uWSGI http 2"),
        }
        assert {parent(pid) for pid in found.values() if pid != server.pid} == {server.pid}
        assert f"spawned uWSGI http 1 (pid: {found['uWSGI http 1']})" in server.log_lines
        assert server.get("/").body == b"hello\n"
        assert (
            f"router id=2 pid={found['uWSGI http 2']} state=ready"
            in verb(server, "status", "--pidfile", "app.pid").stdout
        )
        with server.connect() as kept, Load(server) as load:
            assert kept.get("/").status == 200
            # A worker that somebody else than the master tells to end is replaced first.
            os.kill(found["uWSGI worker 1"], signal.SIGTERM)
            wait_until(lambda: not alive(found["uWSGI worker 1"]), PATIENCE, what="the worker to leave")
            assert verb(server, "reload", "--workers", "--wait", "--pidfile", "app.pid").returncode == 0
            assert kept.get("/").status == 200  # no matter which workers there were
        assert load.lost == []
        assert routers(server) == {name: pid for name, pid in found.items() if "http" in name}
        os.kill(found["uWSGI http 1"], signal.SIGKILL)
        server.wait_for_log(r"^respawned uWSGI http 1 \(pid: \d+\)$")
        assert f"DAMN ! uWSGI http 1 (pid: {found['uWSGI http 1']}) died, killed by signal 9" in server.log
        assert server.get("/").status == 200
        # When the master is killed nothing is left.
        server.process.kill()
        wait_until(lambda: not server.session_pids(), PATIENCE, what="all processes to end")


def test_a_reload_renews_the_router_and_loses_nothing(tmp_path: Path) -> None:
    """Workers and router are exchanged under load; what is begun is finished, and settings of the router hold."""
    life = ("module = app", "processes = 2", "disable-logging = true", "pidfile = app.pid")
    version(tmp_path, 1)
    ini(tmp_path, *life, "http = 127.0.0.1:0")
    with ServerProcess("--ini", "app.ini", directory=tmp_path) as server:
        before = routers(server)
        with server.connect() as begun, Load(server) as load:
            begun.send(b"GET / HTTP/1.1\r\n")  # its head is not complete when the reload begins
            version(tmp_path, 2)
            ini(tmp_path, *life, "http = 127.0.0.1:0", "http-processes = 2")
            assert reload(server) == 0
            begun.send(b"Host: test\r\n\r\n")
            assert begun.receive().body in (b"1", b"2")
        assert load.lost == []
        assert set(load.answers) == {b"1", b"2"}
        wait_until(lambda: set(routers(server).values()).isdisjoint(before.values()), PATIENCE, what="another router")
        assert set(routers(server)) == {"uWSGI http 1", "uWSGI http 2"}
        # What cannot be served changes nothing.
        present = routers(server)
        ini(tmp_path, *life, "http = 127.0.0.1:0", "http-to = 127.0.0.1:1", "http-use-base = /run/")
        assert reload(server) != 0
        assert "'http-use-base' and 'http-to' contradict each other" in server.log
        assert routers(server) == present
        # The socket goes from the router to the workers, and nobody notices.
        ini(tmp_path, *life, "http-socket = 127.0.0.1:0")
        with Load(server) as load:
            assert reload(server) == 0
            wait_until(lambda: not routers(server), PATIENCE, what="the router to leave")
        assert load.lost == []
        ini(tmp_path, *life, "http = 127.0.0.1:0")
        with Load(server) as load:
            assert reload(server) == 0
        assert load.lost == []
        assert list(routers(server)) == ["uWSGI http 1"]
        assert server.stop() == 0


def test_a_stop_finishes_what_clients_of_the_router_have_begun() -> None:
    """Workers are there until the router has served everybody, also when the signal reaches all processes."""
    with ServerProcess(*HELLO, "-p", "2") as server, slow_request(server, 1.0) as running:
        with server.connect() as sending:
            sending.send(HALF_A_BODY)
            time.sleep(0.1)  # it has connected, which nobody can see from outside
            os.killpg(server.pid, signal.SIGINT)
            server.wait_for_log(r"^SIGINT/SIGTERM received...killing workers...$")
            sending.send(b"56789")
            assert sending.receive().status == 200
        assert running.receive().body == b"slow\n"  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            server.connect()
        assert server.wait_end() == 0
        assert server.session_pids() == set()
        assert "Traceback" not in server.log


def test_a_router_alone_forwards_and_has_no_workers(tmp_path: Path) -> None:
    """With `http-to` nothing is loaded; a reload renews the router; without a master it is one process."""
    options = ("--socket", "backend.sock", "--module", "hello", "--disable-logging")
    with ServerProcess(*options, directory=tmp_path):
        alone = (*HTTP, "--http-to", str(tmp_path / "backend.sock"))
        with ServerProcess(*alone, "--pidfile", "router.pid") as server:
            assert set(processes(server)) == {"uWSGI master", "uWSGI http 1"}
            assert "*** Operational MODE: no-workers ***" in server.log_lines
            before = routers(server)
            with Load(server) as load:
                assert reload(server, "router.pid") == 0
            assert load.lost == []
            assert set(load.answers) == {b"hello\n"}
            assert routers(server) != before
            assert server.stop() == 0
        with ServerProcess(*alone, "--master=false", "--force-gateway", wait=False) as server:
            server.wait_for_log(r"^spawned uWSGI http 1 \(and the only\)")
            assert set(processes(server)) == {"uWSGI http 1"}
            assert server.get("/").body == b"hello\n"
            assert server.stop() == 0


def test_a_stuck_router_is_replaced() -> None:
    """With http-harakiri: its time runs while it cannot."""
    with ServerProcess(*HELLO, "--http-harakiri", "500ms") as server:
        (router,) = routers(server).values()
        with server.connect() as client:
            assert client.get("/").status == 200
            time.sleep(1.0)  # longer than that without anything to do is no reason
            assert client.get("/").status == 200
        os.kill(router, signal.SIGSTOP)
        time.sleep(0.7)
        os.kill(router, signal.SIGCONT)
        server.wait_for_log(rf"^\*\*\* HARAKIRI ON GATEWAY uWSGI http 1 \(pid: {router}\) \*\*\*$")
        server.wait_for_log(r"^respawned uWSGI http 1 ")
        assert server.get("/").status == 200
        assert server.stop() == 0


def test_a_paused_server_keeps_clients_of_the_router_waiting(tmp_path: Path) -> None:
    """Until it resumes, or stops, which ends the pause."""
    with ServerProcess(*HELLO, "--pidfile", "app.pid", directory=tmp_path) as server:
        for number in (signal.SIGTSTP, signal.SIGTERM):
            assert verb(server, "pause", "--pidfile", "app.pid").returncode == 0
            with server.connect() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
                client.socket.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    client.socket.recv(1, socket.MSG_PEEK)
                client.socket.settimeout(PATIENCE)
                server.signal(number)
                assert client.receive().status == 200
        assert server.wait_end() == 0


@AS_ROOT
def test_the_router_as_another_user(tmp_path: Path) -> None:
    """http-uid is for the router only, which still reaches the workers; the state of the router is asked elsewhere."""
    nobody = pwd.getpwnam("nobody")
    options = (*HELLO, "--http-uid", "nobody", "--http-stats", "stats.sock", "--socket", "127.0.0.1:0")
    with ServerProcess(*options, directory=tmp_path) as server:
        (router,) = routers(server).values()
        assert os.stat(f"/proc/{router}").st_uid == nobody.pw_uid
        with server.connect(1) as client:
            assert client.get("/identity").body.startswith(b"0 ")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "stats.sock"))
            assert client.makefile("rb").read().startswith(b"{")
        assert server.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_router_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    """A port in use ends the start with the reason, after everything was opened."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ("--http", f"127.0.0.1:{port}", "--socket", "x.sock", "--pidfile", "app.pid", "--module", "hello")
        with ServerProcess(*options, directory=tmp_path, wait=False) as server:
            assert server.wait_end() == 1
            assert f"127.0.0.1:{port}" in server.log_lines[-1]
            assert "Traceback" not in server.log
    assert list(tmp_path.iterdir()) == []


def test_sleeping_workers_wake_for_the_router() -> None:
    """The router stays when idle workers go, and its first client brings them back."""
    with ServerProcess(*HELLO, "--idle", "1") as server:
        server.wait_for_log(r"^cheap mode enabled", timeout=PATIENCE)
        wait_until(lambda: not [name for name in processes(server) if "worker" in name], PATIENCE, what="no worker")
        assert len(routers(server)) == 1
        assert server.get("/").status == 200
        assert server.stop() == 0


def reload(server: ServerProcess, pidfile: str = "app.pid") -> int:
    """Reload and wait for the end; 0 when all is well."""
    return verb(server, "reload", "--wait", "--pidfile", pidfile, timeout=PATIENCE * 2).returncode
