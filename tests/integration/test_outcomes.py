"""`reload --wait` and `restart`: whoever asks learns how it ended, and after a failure the old version serves."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from tests.integration.test_processes import write_version
from tests.support.server import ServerProcess
from tests.support.verbs import verb
from tests.support.waiting import wait_until

HTTP = ("--http-socket", "127.0.0.1:0")
INI = "[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = app\nprocesses = 2\npidfile = app.pid\n"
AFTER_EXEC = r"^gracefully \(RE\)spawned"
UNTIL_TOLD = "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\n"
# What is added to an application whose requests with a query wait for the same.
SLOW = """
import os, time
fast = application
def application(e, s):
    while e["QUERY_STRING"] and not os.path.exists("go"):
        time.sleep(0.01)
    return fast(e, s)
"""


def project(directory: Path) -> None:
    """app.py and app.ini."""
    write_version(directory / "app.py", "one")
    (directory / "app.ini").write_text(INI)


def served(server: ServerProcess) -> set[bytes]:
    return {server.get("/").body for _ in range(8)}


# --- reload -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [(), ("--brutal",)])
def test_success_is_told_when_the_new_version_serves(tmp_path: Path, way: tuple[str, ...]) -> None:
    """When the command returns nobody is answered by the old one any more."""
    project(tmp_path)
    with ServerProcess("app.ini", directory=tmp_path) as server:
        write_version(tmp_path / "app.py", "second")
        result = verb(server, "reload", "--wait", *way, "--ini", "app.ini")
        assert (result.returncode, result.stdout, result.stderr) == (0, "2 workers of generation 2 serve\n", "")
        assert served(server) == {b"second"}


def test_success_with_another_control_socket(tmp_path: Path) -> None:
    """The new configuration moves the socket that the command talks to; as JSON."""
    project(tmp_path)
    (tmp_path / "app.ini").write_text(INI + "control-socket = old.ctl\n")
    with ServerProcess("app.ini", directory=tmp_path) as server:
        (tmp_path / "app.ini").write_text(INI + "control-socket = new.ctl\n")
        result = verb(server, "reload", "--wait", "--json", "--control-socket", "old.ctl")
        assert result.returncode == 0, result.stderr
        answer = json.loads(result.stdout)
        assert (answer["ok"], answer["data"]["state"]) == (True, "complete")
        assert verb(server, "status", "--control-socket", "new.ctl").returncode == 0
        wait_until(lambda: not (tmp_path / "old.ctl").exists(), 30)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("app.py", "def application(:\n", "SyntaxError"),
        ("app.py", "import no_such_library\n", "it imports 'no_such_library', which is not installed"),
        ("app.py", "1 / 0\n", "ZeroDivisionError"),
        ("app.ini", INI.replace("module = app", "module = nowhere"), "there is no module 'nowhere'"),
        ("app.ini", INI.replace("[uwsgi]", "[uwsgi"), "no section [uwsgi]"),
        ("app.ini", INI.replace("= 2", "= two"), "app.ini:4: 'processes' needs a whole number, not 'two'"),
    ],
    ids=["syntax-error", "missing-library", "exception", "missing-module", "broken-ini", "wrong-value"],
)
def test_failure_is_told_with_its_reason(tmp_path: Path, name: str, content: str, reason: str) -> None:
    """Exit code 1, the reason on standard error, and the same workers as before answer."""
    project(tmp_path)
    right = (tmp_path / name).read_text()
    with ServerProcess("app.ini", directory=tmp_path) as server:
        before = dict(server.worker_pids)
        (tmp_path / name).write_text(content)
        result = verb(server, "reload", "--wait", "--pidfile", "app.pid")
        assert (result.returncode, result.stdout) == (1, "")
        assert reason in result.stderr
        assert result.stderr.count("\n") == 1
        assert served(server) == {b"one"}
        state = json.loads(verb(server, "status", "--json").stdout)
        assert (state["reload"], state["last_reload"]["ok"]) == (None, False)
        assert reason in state["last_reload"]["message"]
        assert {worker["id"]: worker["pid"] for worker in state["workers"]} == before
        (tmp_path / name).write_text(right)
        write_version(tmp_path / "app.py", "second")
        assert verb(server, "reload", "--wait").returncode == 0
        assert served(server) == {b"second"}


@pytest.mark.parametrize("way", ["--chain", "--workers"])
def test_failure_of_a_reload_of_the_workers(tmp_path: Path, way: str) -> None:
    """With lazy-apps each worker loads the application itself: the first one that cannot ends the reload."""
    write_version(tmp_path / "app.py", "one")
    options = (*HTTP, "--module", "app", "-p", "2", "--lazy-apps")
    with ServerProcess(*options, directory=tmp_path) as server:
        (tmp_path / "app.py").write_text("import no_such_library\n")
        result = verb(server, "reload", "--wait", way)
        assert result.returncode == 1
        assert result.stderr
        assert served(server) == {b"one"}


def test_two_who_wait_both_learn(tmp_path: Path) -> None:
    """The second reload begins when the first one has ended, and each one is told of its own."""
    project(tmp_path)
    with ServerProcess("app.ini", directory=tmp_path) as server:
        (tmp_path / "app.py").write_text(UNTIL_TOLD + "raise RuntimeError('first')\n")
        results = []
        asking = threading.Thread(target=lambda: results.append(verb(server, "reload", "--wait")))
        asking.start()
        server.wait_for_log(AFTER_EXEC, timeout=60)
        assert verb(server, "reload").stdout == "a reload is running; another one follows\n"
        write_version(tmp_path / "app.py", "second")
        (tmp_path / "go").touch()
        asking.join(60)
        assert results[0].returncode == 1
        assert "RuntimeError: first" in results[0].stderr
        wait_until(lambda: served(server) == {b"second"}, 60)


def test_waiting_for_a_reload_has_an_end(tmp_path: Path) -> None:
    """It goes on when nobody waits any more."""
    project(tmp_path)
    with ServerProcess("app.ini", directory=tmp_path) as server:
        write_version(tmp_path / "app.py", "second")
        text = (tmp_path / "app.py").read_text()
        (tmp_path / "app.py").write_text(f"import time\ntime.sleep(2)\n{text}")
        result = verb(server, "reload", "--wait", "--timeout", "0.3")
        assert result.returncode == 1
        assert "not over after 0.3 s" in result.stderr
        wait_until(lambda: served(server) == {b"second"}, 60)


def test_a_server_that_is_killed_meanwhile(tmp_path: Path) -> None:
    """Whoever waits does not wait for ever."""
    project(tmp_path)
    with ServerProcess("app.ini", directory=tmp_path) as server:
        (tmp_path / "app.py").write_text("import time\ntime.sleep(60)\n")
        results = []
        asking = threading.Thread(target=lambda: results.append(verb(server, "reload", "--wait")))
        asking.start()
        server.wait_for_log(AFTER_EXEC, timeout=60)
        os.kill(server.pid, 9)
        server.wait_end()
        asking.join(60)
        assert results[0].returncode in (1, 7)
        assert results[0].stderr


@pytest.mark.parametrize("words", [("reload", "--wait"), ("restart",)])
def test_exit_on_reload(words: tuple[str, ...]) -> None:
    """Whoever started the server starts it again; that is what is told."""
    with ServerProcess(*HTTP, "--module", "hello", "--exit-on-reload") as server:
        result = verb(server, *words)
        assert (result.returncode, result.stdout) == (0, "the server ends (exit-on-reload)\n")
        assert server.wait_end(30) == 0


# --- restart ----------------------------------------------------------------------------------------------------------


def test_restart_never_has_two_versions(tmp_path: Path) -> None:
    """The request that runs is answered by the old one; one that comes when that has gone waits for the new one."""
    project(tmp_path)
    code = (tmp_path / "app.py").read_text().replace("one", "%s")
    (tmp_path / "app.py").write_text(code % "one" + SLOW)
    with ServerProcess("app.ini", directory=tmp_path) as server, server.connect(timeout=60) as client:
        old = dict(server.worker_pids)
        client.send(b"GET /?wait HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_until(lambda: "state=busy" in verb(server, "status").stdout, 30)
        write_version(tmp_path / "app.py", "second")
        with open(tmp_path / "app.py", "a") as file:
            file.write("\nimport time\ntime.sleep(0.5)\n")
        assert verb(server, "restart", "--no-wait").stdout == "the restart has begun\n"
        (tmp_path / "go").touch()
        assert client.receive().body == b"one"
        server.wait_for_log(AFTER_EXEC, timeout=60)
        assert server.get("/").body == b"second"
        server.wait_for_log(r"^\*\*\* restart complete: 2 workers of generation 2 serve \*\*\*$", timeout=60)
        assert set(old.values()).isdisjoint(server.session_pids())
        assert server.log.index("worker 2 killed") < server.log.index("gracefully (RE)spawned")
        result = verb(server, "restart")
        assert (result.returncode, result.stdout) == (0, "2 workers of generation 3 serve\n")
        assert (tmp_path / "app.pid").read_text() == f"{server.pid}\n"
        assert server.stop() == 0


def test_restart_does_not_begin_with_a_wrong_configuration(tmp_path: Path) -> None:
    project(tmp_path)
    with ServerProcess("app.ini", directory=tmp_path) as server:
        before = dict(server.worker_pids)
        (tmp_path / "app.ini").write_text(INI.replace("= 2", "= two"))
        result = verb(server, "restart", "--pidfile", "app.pid")
        assert result.returncode == 1
        assert "app.ini:4: 'processes' needs a whole number" in result.stderr
        assert set(before.values()) <= server.session_pids()
        assert served(server) == {b"one"}


def test_restart_with_broken_code_waits_for_it(tmp_path: Path) -> None:
    """Nothing old is left to go back to: clients wait until the application can be loaded."""
    project(tmp_path)
    with ServerProcess("app.ini", directory=tmp_path) as server:
        (tmp_path / "app.py").write_text("raise RuntimeError('broken')\n")
        result = verb(server, "restart")
        assert result.returncode == 1
        assert "RuntimeError: broken" in result.stderr
        server.wait_for_log("nobody serves until the application can be loaded", timeout=60)
        write_version(tmp_path / "app.py", "second")
        with server.connect(timeout=60) as client:
            assert client.get("/").body == b"second"
        assert server.stop() == 0


def test_restart_of_a_server_that_was_started_from_python(tmp_path: Path) -> None:
    """Its settings stay; the application is new."""
    write_version(tmp_path / "app.py", "one")
    (tmp_path / "serve.py").write_text(
        "import sys, uwsgi_deploy\n"
        "sys.exit(uwsgi_deploy.run(uwsgi_deploy.settings_from(http_socket='127.0.0.1:0', module='app', pp='.')))\n"
    )
    with ServerProcess("serve.py", launcher=(sys.executable,), directory=tmp_path) as server:
        write_version(tmp_path / "app.py", "second")
        assert verb(server, "restart").returncode == 0
        assert server.get("/").body == b"second"
        assert "binary reloading" not in server.log


# --- the ways in ------------------------------------------------------------------------------------------------------


def asked(path: Path) -> bool:
    """Whether the server tells its status; a connection that the exec cuts off is told apart by being empty."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        try:
            client.sendall(b'{"command": "status"}\n')
            return client.makefile("rb").readline() != b""
        except ConnectionError:
            return False


def test_nobody_finds_the_server_away(tmp_path: Path) -> None:
    """While the master executes itself anew commands wait, in the FIFO and on the control socket."""
    project(tmp_path)
    (tmp_path / "app.ini").write_text(INI + "master-fifo = app.fifo\ncontrol-socket = app.ctl\n")
    with ServerProcess("app.ini", directory=tmp_path) as server:
        paths = [tmp_path / name for name in ("app.fifo", "app.ctl")]
        before = [path.stat().st_ino for path in paths]
        assert verb(server, "reload").returncode == 0
        answers = []
        while "reload complete" not in server.log:
            os.close(os.open(paths[0], os.O_WRONLY | os.O_NONBLOCK))  # fails when nobody reads
            answers.append(asked(paths[1]))
        assert answers.count(True) > 2
        assert answers.count(False) <= 1
        assert [path.stat().st_ino for path in paths] == before
        paths[0].write_text("s")
        server.wait_for_log(r"^worker 1 \(pid: \d+\): idle, generation 2", timeout=30)
        assert server.stop() == 0
        assert not any(path.exists() for path in paths)


def test_places_of_the_former_configuration_go_with_the_reload(tmp_path: Path) -> None:
    """Not before it has worked, and not at all when it has not."""
    project(tmp_path)
    old, new = (f"control-socket = {name}.ctl\nmaster-fifo = {name}.fifo\n" for name in ("old", "new"))
    (tmp_path / "app.ini").write_text(INI + old)
    with ServerProcess("app.ini", directory=tmp_path) as server:
        code = (tmp_path / "app.py").read_text()
        (tmp_path / "app.ini").write_text(INI + new)
        (tmp_path / "app.py").write_text("import no_such_library\n")
        assert verb(server, "reload", "--wait").returncode == 1
        wait_until(lambda: not list(tmp_path.glob("new.*")), 30)
        assert verb(server, "status", "--control-socket", "old.ctl").returncode == 0
        (tmp_path / "app.py").write_text(code)
        assert verb(server, "reload", "--wait").returncode == 0
        wait_until(lambda: not list(tmp_path.glob("old.*")), 30)
        assert verb(server, "status", "--control-socket", "new.ctl").returncode == 0
        assert verb(server, "status", "--pid", str(server.pid)).returncode == 0
        (tmp_path / "new.fifo").write_text("q")
        assert server.wait_end(30) == 0
        assert not list(tmp_path.glob("new.*"))


def test_the_active_slot_stays_active(tmp_path: Path) -> None:
    """A FIFO that was taken over from another instance is not given up by a reload."""
    project(tmp_path)
    (tmp_path / "app.ini").write_text(INI + "master-fifo = new.fifo\nmaster-fifo = running.fifo\n")
    with ServerProcess("app.ini", directory=tmp_path) as server:
        (tmp_path / "new.fifo").write_text("1")
        server.wait_for_log("^active master fifo is now .*/running.fifo$", timeout=30)
        assert verb(server, "reload", "--wait").returncode == 0
        (tmp_path / "running.fifo").write_text("q")
        assert server.wait_end(30) == 0
        assert not list(tmp_path.glob("*.fifo"))
