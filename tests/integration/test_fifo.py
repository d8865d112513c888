"""Commands through the master FIFO of a real server."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

import pytest

from tests.support.server import ServerProcess
from tests.support.verbs import verb
from tests.support.waiting import wait_until

HELLO = ("--http-socket", "127.0.0.1:0", "--module", "hello", "--master-fifo", "app.fifo")


def tell(server: ServerProcess, text: str, name: str = "app.fifo") -> None:
    """`echo TEXT > FIFO`."""
    (server.directory / name).write_text(f"{text}\n")


def test_commands_and_the_file() -> None:
    """It is made at the start with mode 600, takes commands, and is gone at the end."""
    with ServerProcess(*HELLO, "-p", "2") as server:
        path = server.directory / "app.fifo"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        tell(server, "s")
        server.wait_for_log(r"^worker 1 \(pid: \d+\): idle, generation 1", timeout=30)
        tell(server, "x")
        server.wait_for_log(r"^master FIFO: nobody knows the command 'x'", timeout=30)
        tell(server, "r")
        server.wait_for_log("reload complete: 2 workers", timeout=60)
        assert server.get("/").status == 200
        tell(server, "q")
        assert server.wait_end(30) == 0
        assert "graceful shutdown triggered..." in server.log
        assert not path.exists()


def workers_of(server: ServerProcess) -> dict[int, int]:
    """Worker number -> pid of those that serve."""
    rows = status(server)["workers"]
    return {row["id"]: row["pid"] for row in rows if row["state"] in ("idle", "busy")}


def status(server: ServerProcess) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(verb(server, "status", "--json").stdout)
    return data


def all_new(server: ServerProcess, before: dict[int, int]) -> bool:
    """Whether every worker was replaced and serves."""
    now = workers_of(server)
    return now.keys() == before.keys() and not set(now.values()) & set(before.values())


@pytest.mark.parametrize("byte", ["r", "R", "f", "c", "w", "W"])
def test_reloads(byte: str) -> None:
    """All workers are replaced, under the same master; r, R and f bring a new generation of everything."""
    with ServerProcess(*HELLO, "-p", "2") as server:
        before, generation = workers_of(server), status(server)["generation"]
        tell(server, byte)
        wait_until(lambda: all_new(server, before), 60)
        assert status(server)["generation"] == generation + (byte in "rRf")
        assert ("binary reloading uWSGI..." in server.log) == (byte in "rRf")
        assert ("chain reload starting..." in server.log) == (byte == "c")
        assert ("...brutally killing workers..." in server.log) == (byte in "RW")
        assert server.get("/").status == 200


def test_what_changes_no_code() -> None:
    """The bytes + - C p P s, and B E S that mean nothing here, with one server."""
    with ServerProcess(*HELLO, "-p", "3", "--pidfile", "app.pid") as server:
        tell(server, "-")
        wait_until(lambda: len(workers_of(server)) == 2, 30)
        tell(server, "--")
        wait_until(lambda: len(workers_of(server)) == 1, 30)
        server.wait_for_log("^master FIFO: 1 worker must stay$", timeout=30)
        tell(server, "+")
        wait_until(lambda: len(workers_of(server)) == 2, 30)
        tell(server, "p")
        wait_until(lambda: status(server)["state"] == "paused", 30)
        tell(server, "p")
        wait_until(lambda: status(server)["state"] == "running", 30)
        (server.directory / "app.pid").unlink()
        tell(server, "P")
        wait_until((server.directory / "app.pid").exists, 30)
        tell(server, "C")
        wait_until(lambda: not workers_of(server), 30)
        assert server.get("/").status == 200  # which wakes it
        for byte in "BES":
            tell(server, byte)
            server.wait_for_log(f"^master FIFO: '{byte}' has no effect: ", timeout=30)
        tell(server, "7")
        server.wait_for_log("^master FIFO: there is no slot 7", timeout=30)
        assert server.stop() == 0


def test_at_once() -> None:
    """Q waits for nobody, q does."""
    with ServerProcess(*HELLO) as server, server.connect(timeout=60) as client:
        client.send(b"GET /slow?60 HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_until(lambda: any(row["running"] for row in status(server)["workers"]), 30)
        tell(server, "q")
        server.wait_for_log(r"^graceful shutdown triggered\.\.\.$", timeout=30)
        assert server.exit_code is None
        tell(server, "Q")
        assert server.wait_end(20) == 0


def test_children_do_not_hold_it() -> None:
    """A child that did would keep the FIFO alive for writers when the master is gone."""
    with ServerProcess(*HELLO, "-p", "2") as server:
        children = server.session_pids() - {server.pid}
        assert children
        for pid in children:
            targets = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
            assert not [target for target in targets if "app.fifo" in target]


def test_an_instance_takes_over_from_another() -> None:
    """uWSGI's idiom for two instances and one well-known FIFO: the newcomer ends the old one and takes its slot."""
    with ServerProcess(*HELLO) as old:
        running = old.directory / "app.fifo"
        slots = ("--master-fifo", "new.fifo", "--master-fifo", str(running))
        with ServerProcess("--http-socket", "127.0.0.1:0", "--module", "hello", *slots) as new:
            tell(old, "q")
            assert old.wait_end(30) == 0
            tell(new, "1", "new.fifo")
            new.wait_for_log(f"^active master fifo is now {running}$", timeout=30)
            tell(old, "Q")  # the same path, now the newcomer's
            assert new.wait_end(30) == 0
            assert not running.exists()


def test_a_path_that_is_no_fifo_is_not_touched() -> None:
    """The server does not start, and says why."""
    server = ServerProcess(*HELLO, wait=False)
    (server.directory / "app.fifo").write_text("precious")
    with server:
        assert server.wait_end(30) == 1
        assert "the path of the master FIFO exists and is no FIFO" in server.log_lines[-1]
        assert (server.directory / "app.fifo").read_text() == "precious"
