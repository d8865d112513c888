"""Commands through the master FIFO of a real server."""

from __future__ import annotations

import os
import stat

from tests.support.server import ServerProcess

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
