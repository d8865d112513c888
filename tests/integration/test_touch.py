"""Files whose change is a command, with a real server."""

from __future__ import annotations

import os

import pytest

from tests.support.server import ServerProcess

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
