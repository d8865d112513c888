"""Reloading under development: changes are noticed, and broken code is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

MODES = {"polling": ("--py-autoreload", "0.2"), "watchfiles": ("--autoreload", "--py-autoreload", "30")}

APP = """
import part

def application(environ, start_response):
    if environ["PATH_INFO"] == "/late":
        import late
        answer = late.ANSWER
    else:
        answer = part.ANSWER
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
"""
BROKEN = "ANSWER = b'broken\n"


def answer(text: str) -> str:
    """A module. Texts differ in length: Python takes a compiled file for current when second and size are the same."""
    return f"ANSWER = b{text!r}\n"


@pytest.fixture(params=MODES)
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Each way to notice a change. With watchfiles nothing else would notice one in time."""
    return MODES[request.param]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An application of two modules and one that a request imports."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "part.py").write_text(answer("one"))
    (tmp_path / "late.py").write_text(answer("late"))
    return tmp_path


def save(path: Path, text: str) -> None:
    """As an editor does: a new file under the old name."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def serve(project: Path, *options: str, wait: bool = True, workers: int = 2) -> ServerProcess:
    return ServerProcess(
        *("--http-socket", "127.0.0.1:0", "--module", "app", "-p", str(workers), "--chdir", str(project), *options),
        "--disable-logging",
        wait=wait,
        timeout=60,
    )


def wait_for_answer(server: ServerProcess, text: str, path: str = "/") -> None:
    """Every worker answers so, from now on."""
    wait_until(lambda: {server.get(path).body.decode() for _ in range(6)} == {text}, 60, what=f"the answer {text}")


def test_change_is_served(project: Path, options: tuple[str, ...]) -> None:
    """Save a module, and the next requests are answered by the new code; an unchanged one brings nothing."""
    with serve(project, *options) as server:
        wait_for_answer(server, "one")
        save(project / "part.py", answer("second"))
        wait_for_answer(server, "second")
        assert f"[uwsgi-python-reloader] module/file {project / 'part.py'} has been modified" in server.log
        save(project / "part.py", answer("the third"))
        wait_for_answer(server, "the third")


def test_module_that_a_request_imported(project: Path, options: tuple[str, ...]) -> None:
    """The template has never seen it; the worker tells."""
    with serve(project, *options, workers=1) as server:
        wait_for_answer(server, "late", "/late")
        # The worker tells of it a moment later; a change in between would be part of what is told.
        wait_until(lambda: _touched_until_seen(server, project), 60, interval=0.5, what="the reload")
        wait_for_answer(server, "late", "/late")


def _touched_until_seen(server: ServerProcess, project: Path) -> bool:
    save(project / "late.py", answer("late"))
    return "late.py has been modified" in server.log


def test_syntax_error_waits_for_its_fix(project: Path, options: tuple[str, ...]) -> None:
    """The error is shown, the old code answers, and the fix is noticed although no process has that module."""
    with serve(project, *options) as server:
        save(project / "part.py", BROKEN)
        server.wait_for_log(r"^SyntaxError: unterminated string literal", timeout=60)
        server.wait_for_log("goes on serving", timeout=60)
        assert server.get("/").body == b"one"
        save(project / "part.py", answer("it is fixed"))
        wait_for_answer(server, "it is fixed")


def test_missing_module_waits_for_its_creation(project: Path, options: tuple[str, ...]) -> None:
    """The file that mends it is one that was not there."""
    with serve(project, *options) as server:
        save(project / "part.py", "from other import ANSWER\n")
        server.wait_for_log("No module named 'other'", timeout=60)
        (project / "other.py").write_text(answer("another"))
        wait_for_answer(server, "another")


@pytest.mark.parametrize("lazy", [(), ("--lazy-apps",)], ids=["template", "lazy"])
def test_broken_at_the_first_start(project: Path, options: tuple[str, ...], lazy: tuple[str, ...]) -> None:
    """The server shows the error, stays, and starts when a file changes; once more when it is still broken."""
    (project / "part.py").write_text(BROKEN)
    with serve(project, *options, *lazy, wait=False) as server:
        server.wait_for_log("waiting until one of its files changes", timeout=60)
        assert "SyntaxError: unterminated string literal" in server.log
        save(project / "part.py", "import other\n")
        server.wait_for_log("No module named 'other'", timeout=60)
        save(project / "part.py", answer("it is fixed"))
        server.wait_ready()
        wait_for_answer(server, "it is fixed")
        save(project / "part.py", answer("and further on"))
        wait_for_answer(server, "and further on")
        assert server.stop(timeout=60) == 0
        wait_until(lambda: server.session_pids() == set(), 10, what="nothing to be left")


def test_ignored_module(project: Path) -> None:
    """Its changes bring nothing; others' still do."""
    with serve(project, "--py-autoreload", "0.2", "--py-auto-reload-ignore", "part") as server:
        save(project / "part.py", answer("second"))
        save(project / "app.py", APP + "\n# changed\n")
        wait_for_answer(server, "second")
        assert "app.py has been modified" in server.log
        assert "part.py has been modified" not in server.log


def test_without_watchfiles(project: Path) -> None:
    """A line says what would be better, and changes are noticed all the same."""
    (project / "watchfiles.py").write_text("raise ImportError('not installed')\n")
    with serve(project, "--autoreload", "--py-autoreload", "0.2", "--pythonpath", str(project)) as server:
        save(project / "part.py", answer("second"))
        wait_for_answer(server, "second")


def test_watcher_holds_no_socket(project: Path) -> None:
    """A process that kept the listening socket would keep clients waiting after the end."""
    with serve(project, "--py-autoreload", "0.2") as server:
        listening = {os.readlink(f"/proc/{server.pid}/fd/{name}") for name in os.listdir(f"/proc/{server.pid}/fd")}
        serving = {*server.worker_pids.values(), server.pid}
        for pid in server.session_pids() - serving:
            held = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
            assert held & listening
        assert server.stop(timeout=60) == 0
        wait_until(lambda: server.session_pids() == set(), 10, what="nothing to be left")
