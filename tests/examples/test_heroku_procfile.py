"""heroku_procfile: honcho starts both frameworks, a platform's variables configure them, SIGTERM ends them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.examples.browser import Browser
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

HONCHO = (sys.executable, "-m", "honcho")
# The Procfile says `python` and `flask`: the ones of this virtual environment.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.fixture
def project(examples: Path) -> Path:
    """The Procfile's folder, with the tables of the blog made."""
    environment = ServerProcess(directory=examples).environment
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=examples / "django_blog", env=environment, check=True)
    return examples / "heroku_procfile"


@contextmanager
def honcho(project: Path, port: int) -> Iterator[ServerProcess]:
    """`honcho start` with both servers ready; what it started in sessions of their own is gone afterwards."""
    environment = {"PATH": PATH, "PYTHONUNBUFFERED": "1"}
    server = ServerProcess(
        "start", "-p", str(port), launcher=HONCHO, directory=project, environment=environment, wait=False
    )
    started: set[int] = set()
    with server:
        try:
            wait_until(
                lambda: server.exit_code is not None or server.log.count("is ready") == 2, 60, what="both servers"
            )
            started = descendants(server.pid)
            assert server.exit_code is None
            yield server
        finally:
            for pid in started | descendants(server.pid):
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)


def free_base() -> int:
    """A port such that honcho's first two (base and base + 100) are free."""
    for _ in range(50):
        with socket.socket() as web, socket.socket() as api:
            web.bind(("127.0.0.1", 0))
            base: int = web.getsockname()[1]
            try:
                api.bind(("127.0.0.1", base + 100))
            except (OSError, OverflowError):
                continue
            return base
    raise AssertionError("no two free ports")


def descendants(pid: int) -> set[int]:
    """All living children of a process, and theirs."""
    try:
        children = {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return children.union(*(descendants(child) for child in children))


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_honcho(project: Path) -> None:
    """`web` and `api` listen on the PORT that each was given, with WEB_CONCURRENCY workers, and stop with 0."""
    base = free_base()
    with honcho(project, base) as server:
        assert "<h1>Blog</h1>" in Browser(f"http://127.0.0.1:{base}").get("/").text
        api = Browser(f"http://127.0.0.1:{base + 100}")
        assert api.send_json("POST", "/notes/", {"title": "From a Procfile"}).status == 201
        assert "spawned uWSGI worker 2" in server.log
        assert "spawned uWSGI worker 3" not in server.log

        everything = descendants(server.pid)
        server.signal(signal.SIGTERM)
        server.wait_end()
        server.wait_for_log(r"web\.1 stopped \(rc=0\)")
        server.wait_for_log(r"api\.1 stopped \(rc=0\)")
        wait_until(lambda: not any(map(is_alive, everything)), what="every process to end")


def test_sigterm_to_every_process_twice(project: Path) -> None:
    """What Heroku does on a restart is one graceful stop."""
    with honcho(project, free_base()) as server:
        helpers = descendants(server.pid) - {server.pid}
        servers = {pid for pid in helpers if b"honcho" not in Path(f"/proc/{pid}/cmdline").read_bytes()}
        for _ in range(2):
            for pid in servers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        server.wait_end()
        server.wait_for_log(r"web\.1 stopped \(rc=0\)")
        server.wait_for_log(r"api\.1 stopped \(rc=0\)")
        wait_until(lambda: not any(map(is_alive, helpers)), what="every process to end")
