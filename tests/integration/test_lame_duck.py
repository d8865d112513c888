"""lame-duck: a server that was told to stop serves on for a while, and sends its clients away one by one."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from tests.support.engines import prefork_and_gevent
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

HELLO = ("--http-socket", "127.0.0.1:0", "--module", "hello")
FAREWELL = r"^\*\*\* lame duck: serving for"


def closes(server: ServerProcess) -> bool:
    """Whether a new client is told that its connection ends."""
    with server.connect() as client:
        return client.get("/").header("Connection") == "close"


@prefork_and_gevent
def test_serves_on_and_closes_connections(engine: tuple[str, ...]) -> None:
    """New and old clients are answered until the time is over, each for the last time on its connection."""
    with ServerProcess(*HELLO, *engine, "-p", "2", "--lame-duck", "2") as server, server.connect() as old:
        assert old.get("/").header("Connection") != "close"
        assert not closes(server)
        begin = time.monotonic()
        for _ in range(3):  # a platform may say it more than once
            server.signal(signal.SIGTERM)
        server.wait_for_log(FAREWELL)
        wait_until(lambda: all(closes(server) for _ in range(10)), what="every answer to close its connection")
        assert old.get("/").header("Connection") == "close"
        os.kill(server.worker_pids[1], signal.SIGKILL)
        server.wait_for_log("^Respawned uWSGI worker 1")
        wait_until(lambda: closes(server), what="the successor to know")
        assert "goodbye" not in server.log
        assert server.wait_end() == 0
        assert time.monotonic() - begin >= 2
        assert server.log.count("the time to say goodbye is over...") == 1


def test_no_reload_any_more() -> None:
    with ServerProcess(*HELLO, "--lame-duck", "1") as server:
        server.signal(signal.SIGTERM)
        server.wait_for_log(FAREWELL)
        server.signal(signal.SIGHUP)
        assert server.wait_end() == 0
        assert "workers... (when new ones serve" not in server.log


def test_at_once() -> None:
    """SIGQUIT, and another SIGTERM later than those that mean the same stop, do not wait."""
    for first, second, pause in ((signal.SIGTERM, signal.SIGQUIT, 0.0), (signal.SIGINT, signal.SIGINT, 0.3)):
        with ServerProcess(*HELLO, "--lame-duck", "60") as server:
            server.signal(first)
            server.wait_for_log(FAREWELL)
            begin = time.monotonic()
            wait_until(lambda begin=begin, pause=pause: time.monotonic() - begin >= pause)
            server.signal(second)
            assert server.wait_end(10) == 0
            assert "told to stop again: leaving at once..." in server.log_lines


def test_stop_before_it_serves(tmp_path: Path) -> None:
    """Nobody is being served while the application is loaded: there is nothing to wait for."""
    (tmp_path / "app.py").write_text("import time\ntime.sleep(60)\n")
    options = ("--http-socket", "127.0.0.1:0", "--module", "app", "--lame-duck", "60")
    with ServerProcess(*options, directory=tmp_path, wait=False) as server:
        server.wait_for_log("spawned uWSGI master process")
        server.signal(signal.SIGTERM)
        assert server.wait_end(10) == 0
        assert "lame duck" not in server.log


def test_service_manager_hears_at_once(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with ServerProcess(*HELLO, "--lame-duck", "60", environment=environment) as server:
            server.signal(signal.SIGTERM)
            said = ""
            while "STOPPING=1" not in said:
                said = manager.recv(4096).decode()
            assert "STATUS=serving for a while before the stop (lame duck)" in said
            wait_until(lambda: closes(server), what="the farewell")
            server.signal(signal.SIGQUIT)
            assert server.wait_end(10) == 0


def test_needs_a_master() -> None:
    with ServerProcess(*HELLO, "--lame-duck", "1", "--master=false", wait=False) as server:
        assert server.wait_end() == 1
        assert server.log_lines[-1].endswith("'lame-duck' needs a master (set master = true)")
