"""Files whose change is a command, with a real server."""

from __future__ import annotations

import os

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

HELLO = ("--http-socket", "127.0.0.1:0", "--module", "hello")


@pytest.mark.parametrize("option", ["touch-reload", "fs-reload", "fs-brutal-reload"])
def test_touch_reloads(option: str) -> None:
    """Touch it, and workers of the next generation serve; touch it again, and so on."""
    with ServerProcess(*HELLO, "-p", "2", f"--{option}", "app.reload") as server:
        file = server.directory / "app.reload"
        first = server.get("/pid").body
        file.touch()
        server.wait_for_log("reload complete: 2 workers", timeout=60)
        second = server.get("/pid").body
        assert second != first
        os.utime(file, (1000, 1000))
        server.wait_for_log("reload complete: 2 workers", count=2, timeout=60)
        assert server.get("/pid").body not in (first, second)
        assert server.log.count("has been touched...") == 2


def test_file_is_named_relative_to_chdir() -> None:
    """As every other path of the configuration that is used after chdir."""
    server = ServerProcess(*HELLO, "--chdir", "project", "--touch-reload", "app.reload")
    (server.directory / "project").mkdir()
    with server:
        (server.directory / "project" / "app.reload").touch()
        server.wait_for_log("reload complete: 1 worker", timeout=60)


def test_nobody_looks_without_a_master() -> None:
    """An option that could do nothing is refused."""
    with ServerProcess(*HELLO, "--master=false", "--touch-reload", "app.reload", wait=False) as server:
        assert server.wait_end(30) == 1
        assert server.log_lines[-1] == "command line: 'touch-reload' needs a master (set master = true)"


def test_touch_executes() -> None:
    """A command that is not waited for, with the application's variables, and an action of hooks in the master."""
    options = ("--touch-exec", "a echo $GREETING $PPID > said; sleep 60", "--hook-touch", "b write:written hello")
    with ServerProcess(*HELLO, "--env", "GREETING=hello", *options) as server:
        (server.directory / "a").touch()
        said = server.directory / "said"
        wait_until(lambda: said.exists() and said.read_text(), 30, what="the command")
        assert said.read_text() == f"hello {server.pid}\n"
        (server.directory / "b").touch()
        written = server.directory / "written"
        wait_until(lambda: written.exists() and written.read_text(), 30, what="the action")
        assert written.read_text() == "hello"
        assert server.get("/").status == 200


def test_action_that_fails_or_ends() -> None:
    """A failure is logged and no more; `exit` stops the server."""
    options = ("--hook-touch", "a exec:exit 3", "--hook-touch", "b exit:")
    with ServerProcess(*HELLO, *options) as server:
        (server.directory / "a").touch()
        server.wait_for_log("hook failed: ", timeout=30)
        assert server.get("/").status == 200
        (server.directory / "b").touch()
        assert server.wait_end(30) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--touch-exec", "alone"), "command line: 'touch-exec' needs a file and what to do, not 'alone'"),
        (("--hook-touch", "a nonsense:x"), "command line: 'hook-touch': 'nonsense:x' is no ACTION:ARGUMENTS"),
    ],
)
def test_what_is_no_action_is_found_at_the_start(options: tuple[str, ...], message: str) -> None:
    """Not when the file is touched."""
    with ServerProcess(*HELLO, *options, wait=False) as server:
        assert server.wait_end(30) == 1
        assert server.log_lines[-1].startswith(message)
