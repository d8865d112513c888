"""The table of exit codes in docs/process-life.md: what a supervisor sees, row by row."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.support.server import REPOSITORY, ServerProcess
from uwsgi_deploy.process.exit_codes import ExitCode

HTTP = ("--http-socket", "127.0.0.1:0")
HELLO = (*HTTP, "--module", "hello")
ALONE = "--master=false"


def test_the_table_is_complete() -> None:
    """Every code of ours has a row, and no row is made up."""
    text = (REPOSITORY / "docs" / "process-life.md").read_text()
    table = text.split("## Exit codes")[1].split("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)} == {int(code) for code in ExitCode}


@pytest.mark.parametrize("options", [(), (ALONE,)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stopped_as_asked(options: tuple[str, ...], number: int) -> None:
    with ServerProcess(*HELLO, *options) as server:
        assert server.stop(number) == ExitCode.OK


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_ends_that_were_asked_for_otherwise(number: int, tmp_path: Path) -> None:
    """exit-on-reload with SIGHUP; and an early stop, while the application is still being loaded."""
    if number == signal.SIGHUP:
        with ServerProcess(*HELLO, "--exit-on-reload") as server:
            assert server.stop(number) == ExitCode.OK
        return
    (tmp_path / "app.py").write_text("print('loading', flush=True)\nimport time\ntime.sleep(60)\n")
    with ServerProcess(*HTTP, "--module", "app", directory=tmp_path, wait=False) as server:
        server.wait_for_log("^loading", timeout=20)
        assert server.stop(number) == ExitCode.OK


@pytest.mark.parametrize(
    "options",
    [
        ("--no-such-option",),
        ("--processes", "many"),
        ("--chdir", "/none/at/all"),
        ("--module", "no_such_module"),
        ("--module", "hello:no_such_callable"),
        ("--hook-asap", "exec:exit 3"),
        ("--ini", "none.ini"),
    ],
)
def test_mistakes_in_the_settings(options: tuple[str, ...]) -> None:
    with ServerProcess(*HELLO, *options, wait=False) as server:
        assert server.wait_end() == ExitCode.FAILED


@pytest.mark.parametrize("options", [(), (ALONE,)])
def test_port_in_use(options: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with ServerProcess("--http-socket", address, "--module", "hello", *options, wait=False) as server:
            assert server.wait_end() == ExitCode.FAILED


@pytest.mark.parametrize("options", [(), ("--lazy-apps", "-p", "2"), (ALONE,)])
@pytest.mark.parametrize(
    "code", ["import no_such_module_at_all\n", "1 / 0\n", "syntax error\n", "raise SystemExit(3)\n"]
)
def test_application_that_cannot_be_loaded(tmp_path: Path, options: tuple[str, ...], code: str) -> None:
    (tmp_path / "app.py").write_text(code)
    with ServerProcess(*HTTP, "--module", "app", *options, directory=tmp_path, wait=False) as server:
        assert server.wait_end() == ExitCode.NO_APPLICATION


def test_work_that_is_done() -> None:
    """Without a master whoever started the process sees it; with one it is replaced and nobody does."""
    limits = ("--max-requests", "1", "--min-worker-lifetime", "0")
    with ServerProcess(*HELLO, ALONE, *limits) as server:
        assert server.get("/").status == 200
        assert server.wait_end() == ExitCode.RETIRED
    with ServerProcess(*HELLO, *limits) as server:
        assert server.get("/").status == 200
        server.wait_for_log("^worker 1 killed successfully")
        assert server.stop() == ExitCode.OK


def test_worker_that_left_at_once() -> None:
    """Seen in the log, if it was not the master who said so."""
    with ServerProcess(*HELLO) as server:
        os.kill(server.worker_pids[1], signal.SIGQUIT)
        server.wait_for_log(rf"^DAMN ! worker 1 \(pid: \d+\) died, exit code {int(ExitCode.QUIET)} ")
        server.wait_for_log("^Respawned uWSGI worker 1")
        assert server.stop() == ExitCode.OK


@pytest.mark.parametrize("options", [(), (ALONE,)])
@pytest.mark.parametrize("hook", ["--hook-post-fork", "--hook-accepting"])
def test_hook_that_fails_at_the_start(options: tuple[str, ...], hook: str) -> None:
    with ServerProcess(*HELLO, hook, "exec:exit 3", *options, wait=False) as server:
        assert server.wait_end() == ExitCode.FAILED
        assert 'command "exit 3" exited with non-zero code: 3' in server.log


def test_hook_that_fails_later() -> None:
    """The server has served: only the worker that cannot is gone, and is tried again."""
    hook = ("--hook-accepting", "exec:mkdir once")
    with ServerProcess(*HELLO, *hook) as server:
        os.kill(server.worker_pids[1], signal.SIGKILL)
        server.wait_for_log(rf"^DAMN ! worker 1 \(pid: \d+\) died, exit code {int(ExitCode.HOOK_FAILED)} ")
        assert server.exit_code is None
        (server.directory / "once").rmdir()
        server.wait_for_log("^Respawned uWSGI worker 1", count=2, timeout=20)
        assert server.get("/").status == 200
