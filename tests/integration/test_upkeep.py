"""Pause and resume, log rotation, drain, pid files, workers by hand: with real servers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import each_engine, prefork_and_gevent
from tests.support.server import ServerProcess
from tests.support.verbs import verb
from tests.support.waiting import wait_until

HTTP = ("--http-socket", "127.0.0.1:0")
HELLO = (*HTTP, "--module", "hello")
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def status(server: ServerProcess) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(verb(server, "status", "--json").stdout)
    return data


def told(server: ServerProcess, *words: str) -> str:
    """What a verb says that succeeds."""
    result = verb(server, *words)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def silent(client: socket.socket) -> bool:
    """Whether nothing comes within a moment; generous where something would come at once."""
    client.settimeout(0.5)
    try:
        return client.recv(1, socket.MSG_PEEK) is None
    except TimeoutError:
        return True
    finally:
        client.settimeout(30)


def dialled(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 30)


def answered(client: socket.socket) -> bool:
    return client.recv(65536).startswith(b"HTTP/1.1 200")


# --- a pause ----------------------------------------------------------------------------------------------------------


@each_engine
def test_pause_makes_everybody_wait_and_resume_loses_nobody(engine: tuple[str, ...]) -> None:
    """New clients and those that are connected; several at once; in workers that were there and in new ones."""
    with ServerProcess(*HELLO, "-p", "2", *engine) as server:
        known = [dialled(server) for _ in range(4)]
        for client in known:
            client.sendall(GET)
            assert answered(client)
        assert "paused" in told(server, "pause")
        assert "paused already" in told(server, "pause")
        assert status(server)["state"] == "paused"
        new = [dialled(server) for _ in range(4)]
        for client in (*known, *new):
            client.sendall(GET)
        assert silent(known[0])
        assert silent(new[0])
        assert {worker["state"] for worker in status(server)["workers"]} == {"paused"}
        os.kill(server.worker_pids[1], signal.SIGKILL)  # with what it had; its successor is born into the pause
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        with dialled(server) as latest:
            latest.sendall(GET)
            assert silent(latest)
            told(server, "resume")
            assert answered(latest)
        assert all(answered(client) for client in new)
        assert "not paused" in told(server, "resume")
        for client in (*known, *new):
            client.close()
        assert "*** PAUSE (press start to resume" in server.log
        assert server.stop() == 0


def test_pause_by_signal_and_fifo() -> None:
    """SIGTSTP and `p` do the one or the other."""
    with ServerProcess(*HELLO, "--master-fifo", "fifo") as server:
        server.signal(signal.SIGTSTP)
        server.wait_for_log(r"^\*\*\* PAUSE", timeout=30)
        with dialled(server) as client:
            client.sendall(GET)
            assert silent(client)
            (server.directory / "fifo").write_text("p")
            assert answered(client)
        server.signal(signal.SIGTSTP)
        server.wait_for_log(r"^\*\*\* PAUSE", count=2, timeout=30)
        with dialled(server) as client:
            client.sendall(GET)
            assert silent(client)
            server.signal(signal.SIGTSTP)
            server.wait_for_log(r"^\*\*\* \(SIGTSTP received\) resuming workers \*\*\*$", timeout=30)
            assert answered(client)


def test_the_last_of_several_in_a_moment_counts() -> None:
    """The kernel keeps no order among signals that come together, so workers look at what is wanted."""
    with ServerProcess(*HELLO, "-p", "2", "--master-fifo", "fifo") as server:
        fifo = server.directory / "fifo"
        for _ in range(40):
            fifo.write_text("pp")
            with dialled(server) as client:
                client.sendall(GET)
                assert answered(client)
        fifo.write_text("ppp")
        server.wait_for_log(r"^\*\*\* PAUSE", count=42, timeout=30)
        with dialled(server) as client:
            client.sendall(GET)
            assert silent(client)
            fifo.write_text("ppp")
            assert answered(client)


def test_a_paused_server_stops_and_answers_who_waits() -> None:
    with ServerProcess(*HELLO, "-p", "2", "--pidfile", "app.pid") as server:
        with dialled(server) as client:
            client.sendall(GET)
            assert answered(client)
            assert verb(server, "--pause", "app.pid").returncode == 0
            client.sendall(GET)
            assert silent(client)
            told(server, "stop", "--no-wait")
            assert answered(client)
        assert server.wait_end(30) == 0


def test_uwsgis_options() -> None:
    """--pause, --suspend and --resume take a pid file."""
    with ServerProcess(*HELLO, "--pidfile", "app.pid") as server:
        for option, state in (("--pause", "paused"), ("--resume", "running"), ("--suspend", "paused")):
            told(server, option, "app.pid")
            assert status(server)["state"] == state


def test_workers_of_a_reload_in_a_pause_wait_too() -> None:
    """The new code is loaded, its workers serve after the pause."""
    with ServerProcess(*HELLO, "-p", "2") as server:
        told(server, "pause")
        told(server, "reload")
        server.wait_for_log("reload complete", timeout=60)
        with dialled(server) as client:
            client.sendall(GET)
            assert silent(client)
            told(server, "resume")
            assert answered(client)


# --- the log ----------------------------------------------------------------------------------------------------------


def holders(server: ServerProcess, path: Path) -> set[int]:
    """Processes whose log is this file."""
    return {pid for pid in server.session_pids() if os.readlink(f"/proc/{pid}/fd/2") == str(path)}


@pytest.mark.parametrize(("words", "byte"), [(("log", "reopen"), "l"), (("log", "rotate"), "L")])
def test_all_processes_write_to_the_new_file(tmp_path: Path, words: tuple[str, str], byte: str) -> None:
    """Master, template and workers: nobody holds the old file."""
    log = tmp_path / "app.log"
    options = (*HELLO, "-p", "2", "--chdir", str(tmp_path), "--logto", str(log), "--master-fifo", "fifo")
    with ServerProcess(*options, wait=False) as server:
        wait_until(lambda: log.exists() and "uwsgi-deploy is ready" in log.read_text(), 30)
        port = re.findall(r"bound to TCP address 127.0.0.1:(\d+)", log.read_text())[0]
        everybody = server.session_pids()
        assert len(everybody) == 4
        for turn, tell in enumerate(("verb", "fifo")):
            if words[1] == "reopen":
                os.rename(log, tmp_path / f"moved.{turn}")
            if tell == "verb":
                assert verb(server, *words, "--pid", str(server.pid)).returncode == 0
            else:
                (tmp_path / "fifo").write_text(byte)
            if words[1] == "rotate":
                wait_until(lambda turn=turn: len(list(tmp_path.glob("app.log.*"))) == turn + 1, 30)  # type: ignore[misc]
            wait_until(lambda: holders(server, log) == everybody, 30)
            with socket.create_connection(("127.0.0.1", int(port)), 30) as client:
                client.sendall(b"GET /turn-%d HTTP/1.1\r\nHost: test\r\n\r\n" % turn)
                assert answered(client)
            wait_until(lambda turn=turn: f"GET /turn-{turn}" in log.read_text(), 30)  # type: ignore[misc]
        names = [path.name for path in tmp_path.iterdir() if path.name not in ("app.log", "fifo")]
        pattern = r"moved\.\d" if words[1] == "reopen" else r"app\.log\.\d+(\.\d+)?"
        assert len([name for name in names if re.fullmatch(pattern, name)]) == 2


def test_the_log_is_rotated_when_it_is_too_large(tmp_path: Path) -> None:
    """log-maxsize and log-backupname; and touch-logrotate, touch-logreopen."""
    log, backup = tmp_path / "app.log", tmp_path / "old.log"
    touched = ("--touch-logrotate", "rotate", "--touch-logreopen", "reopen")
    options = (
        *HELLO,
        "--chdir",
        str(tmp_path),
        "--logto",
        str(log),
        "--log-maxsize",
        "20k",
        "--log-backupname",
        backup,
    )
    with ServerProcess(*options, *touched, wait=False) as server:
        wait_until(lambda: log.exists() and "uwsgi-deploy is ready" in log.read_text(), 30)
        port = re.findall(r"bound to TCP address 127.0.0.1:(\d+)", log.read_text())[0]
        (tmp_path / "rotate").touch()
        wait_until(backup.exists, 30)
        assert "has been touched... log rotation !!!" in backup.read_text()
        os.rename(log, tmp_path / "moved")
        (tmp_path / "reopen").touch()
        wait_until(lambda: log.exists() and holders(server, log) == server.session_pids(), 30)
        backup.unlink()
        with socket.create_connection(("127.0.0.1", int(port)), 30) as client:
            for _ in range(200):
                client.sendall(GET)
                assert answered(client)
        wait_until(backup.exists, 30)
        wait_until(lambda: holders(server, log) == server.session_pids(), 30)
        assert log.stat().st_size < 20 << 10 < backup.stat().st_size


def test_a_log_that_is_no_file_cannot_be_rotated() -> None:
    with ServerProcess(*HELLO) as server:
        for words in (("log", "reopen"), ("log", "rotate")):
            result = verb(server, *words)
            assert result.returncode == 1
            assert "logto is not set" in result.stderr
        assert server.get("/").status == 200


# --- drain ------------------------------------------------------------------------------------------------------------


@prefork_and_gevent
def test_drain_ends_what_runs_and_frees_the_port(engine: tuple[str, ...]) -> None:
    """The request that runs is answered; another server can listen there; the master tells it and waits for the end."""
    with ServerProcess(*HELLO, "-p", "2", *engine) as server:
        with dialled(server) as client:
            client.sendall(b"GET /slow?6 HTTP/1.1\r\nHost: test\r\n\r\n")
            wait_until(lambda: "busy" in verb(server, "status").stdout, 30)
            told(server, "drain")
            assert status(server)["state"] == "draining"
            assert verb(server, "reload").returncode == 1
            assert verb(server, "pause").returncode == 1
            assert answered(client)
        assert "drained" in told(server, "drain", "--wait")
        assert status(server)["state"] == "drained"
        assert server.session_pids() == {server.pid}
        with ServerProcess("--http-socket", f"127.0.0.1:{server.port}", "--module", "hello") as successor:
            assert successor.get("/").status == 200
            assert "stopped" in told(server, "stop")
            assert server.wait_end(1) == 0
            assert "told to stop again" not in server.log
            assert successor.get("/").status == 200


def test_a_drained_server_ends_with_a_signal() -> None:
    with ServerProcess(*HELLO) as server:
        told(server, "drain", "--wait")
        assert server.stop() == 0


def test_waiting_for_a_drain_has_an_end() -> None:
    with ServerProcess(*HELLO) as server, dialled(server) as client:
        client.sendall(b"GET /slow?30 HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_until(lambda: "busy" in verb(server, "status").stdout, 30)
        result = verb(server, "drain", "--wait", "--timeout", "0.3")
        assert result.returncode == 1
        assert "not drained after 0.3 s" in result.stderr


# --- pid files and workers --------------------------------------------------------------------------------------------


def test_pid_files_are_written_again() -> None:
    """What was removed is there again and still goes with the server; what somebody else took is left alone."""
    with ServerProcess(*HELLO, "--pidfile", "a.pid", "--pidfile2", "b.pid", "--master-fifo", "fifo") as server:
        mine, other = server.directory / "a.pid", server.directory / "b.pid"
        mine.unlink()
        other.unlink()
        other.write_text("precious\n")
        (server.directory / "fifo").write_text("P")
        wait_until(lambda: mine.exists() and mine.read_text() == f"{server.pid}\n", 30)
        server.wait_for_log("b.pid exists and is no pid file", timeout=30)
        assert verb(server, "status", "--pidfile", "a.pid").returncode == 0
        assert server.stop() == 0
        assert not mine.exists()
        assert other.read_text() == "precious\n"


def test_workers_are_replaced_by_hand() -> None:
    """One, or all; the server answers all the time."""
    with ServerProcess(*HELLO, "-p", "2") as server:
        first = dict(server.worker_pids)
        assert told(server, "workers", "recycle", "2") == "replacing worker 2\n"
        wait_until(lambda: server.worker_pids[2] != first[2], 30)
        assert server.worker_pids[1] == first[1]
        wait_until(lambda: [worker["state"] for worker in status(server)["workers"]] == ["idle", "idle"], 30)
        assert told(server, "workers", "recycle") == "replacing workers 1, 2\n"
        deadline = time.monotonic() + 30
        while any(pid in server.session_pids() for pid in first.values()) and time.monotonic() < deadline:
            assert server.get("/").status == 200
        assert not set(first.values()) & server.session_pids()
        assert verb(server, "workers", "recycle", "3").returncode == 1
