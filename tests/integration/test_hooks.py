"""Hooks of a whole server: when each phase comes, and what a failure does."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.config.hooks import Phase

SERVED = ("--http-socket", "127.0.0.1:0", "--module", "app")
APPLICATION = """
print("the application is loaded", flush=True)
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
"""

# chroot alone has a post-jail.
PHASES = [phase.value for phase in Phase if phase is not Phase.POST_JAIL]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APPLICATION)
    return tmp_path


def hooks_of(*phases: str) -> list[str]:
    return [f"--hook-{phase}=print:<{phase}>" for phase in phases]


def marks(server: ServerProcess) -> list[str]:
    """What hooks printed, and the milestones between."""
    words = {
        "the application is loaded": "LOADED",
        "uwsgi socket 0": "BOUND",
        "*** uwsgi-deploy is ready": "READY",
        "goodbye": "GOODBYE",
    }
    found = []
    for line in server.log_lines:
        if re.fullmatch("<.*>", line):
            found.append(line[1:-1])
        found += [mark for words, mark in words.items() if line.startswith(words)]
    return found


def test_phases_come_in_uwsgis_order(directory: Path) -> None:
    """With one worker, started by root: every phase once, and the exit after everything."""
    with ServerProcess(*SERVED, *hooks_of(*PHASES), directory=directory) as server:
        server.wait_for_log("^<master-start>$")
        assert server.stop() == 0
        found = marks(server)
    expected = [
        *("asap", "pre-jail", "in-jail"),
        *(["as-root"] if os.geteuid() == 0 else []),
        *("as-user", "BOUND", "pre-app", "LOADED", "post-app"),
        *("post-fork", "accepting", "accepting-once", "accepting1", "accepting1-once"),
        *("READY", "master-start", "GOODBYE", "as-user-atexit"),
    ]
    assert found == expected


def test_phases_without_a_master(directory: Path) -> None:
    """The same, as far as there is no master to start."""
    with ServerProcess(*SERVED, "--master=false", *hooks_of(*PHASES), directory=directory, wait=False) as server:
        server.wait_for_log("^<accepting1-once>$", timeout=30)
        wait_until(lambda: server.get().body == b"served", 10, what="an answer")
        assert server.stop() == 0
        found = [mark for mark in marks(server) if mark != "READY"]
    assert found == [
        *("asap", "pre-jail", "in-jail"),
        *(["as-root"] if os.geteuid() == 0 else []),
        *("as-user", "BOUND", "pre-app", "LOADED", "post-app"),
        *("post-fork", "accepting", "accepting-once", "accepting1", "accepting1-once"),
        *("GOODBYE", "as-user-atexit"),
    ]


def test_each_worker_and_each_successor_has_its_hooks(directory: Path) -> None:
    """`accepting` for every process, `once` for the first of a number, `1` for worker 1; with lazy-apps each loads."""
    phases = ("pre-app", "post-app", "post-fork", "accepting", "accepting-once", "accepting1", "accepting1-once")
    with ServerProcess(*SERVED, "-p", "2", "--lazy-apps", *hooks_of(*phases), directory=directory) as server:
        first = marks(server)
        assert {phase: first.count(phase) for phase in phases} == {
            **dict.fromkeys(phases, 2),
            "accepting1": 1,
            "accepting1-once": 1,
        }
        os.kill(server.worker_pids[1], signal.SIGKILL)
        server.wait_for_log("^<accepting1>$", count=2)
        second = marks(server)[len(first) :]
        assert second == ["post-fork", "pre-app", "LOADED", "post-app", "accepting", "accepting1"]


def test_asap_comes_before_what_it_makes_is_needed(directory: Path) -> None:
    """The log's directory, chdir and the socket's directory may be made by hooks."""
    server = ServerProcess(
        *("--exec-asap", "mkdir -p run/logs start", "--logto", "run/logs/app.log", "--chdir", "start"),
        *("--hook-as-user", "mkdir:run/sockets", "--http-socket", str(directory / "run/sockets/app.sock")),
        *("--module", "app", "--pythonpath", "..", "--pidfile", "app.pid"),
        directory=directory,
        wait=False,
    )
    with server:
        log = directory / "run/logs/app.log"
        wait_until(lambda: log.exists() and "is ready" in log.read_text(), 30, what="the server to be ready")
        assert (directory / "run/sockets/app.sock").is_socket()
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--exec-asap=exit 3", r"exec-asap = exec:exit 3: command \"exit 3\" exited with non-zero code: 3"),
        ("--hook-as-user=unlink:none", "hook-as-user = unlink:none: No such file or directory"),
        ("--exec-pre-app=exit 3", 'command "exit 3" exited with non-zero code: 3'),
        ("--call-post-app=app:missing", "has no attribute 'missing'"),
        ("--hook-post-fork=chdir:none", "hook-post-fork = chdir:none: No such file or directory"),
        ("--hook-accepting=exec:false", "hook-accepting = exec:false"),
        ("--hook-master-start=exec:false", "hook-master-start = exec:false"),
        ("--wait-for-file=none", "wait-for-file: none is still missing after 0.1 seconds"),
        ("--wait-for-socket=127.0.0.1:9", "wait-for-socket: 127.0.0.1:9 is still missing after 0.1 seconds"),
    ],
)
def test_a_failing_hook_stops_the_start(directory: Path, option: str, reason: str) -> None:
    """Exit code 1, the reason in the log, and nothing left behind."""
    timeouts = ("--wait-for-fs-timeout", "100ms", "--wait-for-socket-timeout", "100ms")
    server = ServerProcess(*SERVED, option, *timeouts, "--pidfile", "app.pid", directory=directory, wait=False)
    with server:
        assert server.wait_end(30) == 1
        assert re.search(reason, server.log)
        assert server.session_pids() == set()
    assert not (directory / "app.pid").exists()


def test_a_hook_may_end_the_server_with_a_code(directory: Path) -> None:
    for option in ("--hook-asap=exit:7", "--hook-pre-app=exit:7"):
        with ServerProcess(*SERVED, option, directory=directory, wait=False) as server:
            assert server.wait_end(30) == 7


def test_a_failing_hook_at_the_exit_is_only_logged(directory: Path) -> None:
    with ServerProcess(*SERVED, "--exec-as-user-atexit", "exit 3", directory=directory) as server:
        assert server.stop() == 0
        assert "exited with non-zero code: 3" in server.log


def test_a_failing_hook_in_a_reload_keeps_the_old_application(directory: Path) -> None:
    """`exec-pre-app = manage.py migrate` that fails takes nobody down."""
    with ServerProcess(*SERVED, "--exec-pre-app", "test ! -e broken", directory=directory) as server:
        (directory / "broken").touch()
        server.signal(signal.SIGHUP)
        server.wait_for_log("hook failed: exec-pre-app", timeout=30)
        assert server.get().body == b"served"
        (directory / "broken").unlink()
        server.signal(signal.SIGHUP)
        server.wait_for_log("^the application is loaded$", count=2, timeout=30)
        assert server.get().body == b"served"


@pytest.mark.parametrize("option", ["--exec-asap", "--exec-as-user", "--exec-pre-app", "--hook-accepting"])
def test_a_stop_while_a_hook_runs_is_a_stop(directory: Path, option: str) -> None:
    """SIGTERM to the first process alone: the command ends, too, and nothing is an error."""
    command = "echo the hook runs; sleep 600"
    value = f"exec:{command}" if option.startswith("--hook") else command
    with ServerProcess(*SERVED, option, value, directory=directory, wait=False) as server:
        server.wait_for_log("^the hook runs$", timeout=30)
        assert server.stop() == 0
        wait_until(lambda: server.session_pids() == set(), 10, what="the command to end")
        assert "hook failed" not in server.log


def test_a_signal_can_be_bound_to_a_command(directory: Path) -> None:
    """The tiangolo image's idiom: SIGTERM stops gracefully, whatever die-on-term says; and others."""
    options = (
        *("--die-on-term=false", "--hook-master-start", "unix_signal:15 gracefully_kill_them_all"),
        *("--hook-master-start", "unix_signal:28 grace_them_all"),
    )
    with ServerProcess(*SERVED, *options, directory=directory) as server:
        server.signal(signal.SIGWINCH)
        server.wait_for_log("^the application is loaded$", count=2, timeout=30)
        server.wait_for_log("reload complete", timeout=30)
        assert server.stop(signal.SIGTERM) == 0


def test_the_start_waits_for_what_is_missing(directory: Path) -> None:
    """A database that comes up later, a file that somebody writes."""
    with socket.socket() as database:
        database.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{database.getsockname()[1]}"
        options = ("--wait-for-socket", address, "--wait-for-file", "flag")
        with ServerProcess(*SERVED, *options, directory=directory, wait=False) as server:
            server.wait_for_log(r"^waiting for flag \(max 60 seconds\) \.\.\.$", timeout=30)
            (directory / "flag").touch()
            server.wait_for_log(f"^waiting for {address}")
            assert "BOUND" not in marks(server)
            database.listen()
            server.wait_ready()
            assert server.get().body == b"served"


# --- reloads: the master executes itself, and goes through the phases of the start again -----------------------------


def test_a_hook_that_works_once_only_does_not_end_a_server_that_reloads(directory: Path) -> None:
    """Like `exec-as-user = mkdir once`: the settings are the same, and there is nothing else to go back to."""
    with ServerProcess(*SERVED, "--exec-as-user", "mkdir once", "--processes", "2", directory=directory) as server:
        workers = server.worker_pids
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload cancelled: hook failed: exec-as-user", timeout=30)
        assert server.get().body == b"served"
        assert server.worker_pids == workers
        (directory / "once").rmdir()
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        assert server.stop() == 0


def test_going_back_restores_the_process_and_repeats_nothing_else(directory: Path) -> None:
    """The new settings' hook fails: of the old ones' hooks only what they do to the master itself is done again."""
    old = "[uwsgi]\nhook-asap = putenv:COLOUR=red\nexec-asap = echo $COLOUR >> asap\nexec-as-user-atexit = touch left\n"
    (directory / "app.ini").write_text(old)
    with ServerProcess("app.ini", *SERVED, directory=directory) as server:
        (directory / "app.ini").write_text(old + "exec-in-jail = false\n")
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload cancelled: hook failed: exec-in-jail", timeout=30)
        assert server.get().body == b"served"
        assert (directory / "asap").read_text() == "red\n" * 2  # the start, and the new settings
        (directory / "app.ini").write_text(old)
        server.signal(signal.SIGHUP)
        server.wait_for_log("reload complete", timeout=30)
        assert (directory / "asap").read_text() == "red\n" * 3
        assert server.stop() == 0
        assert (directory / "left").exists()


@pytest.mark.parametrize("option", ["exec-asap", "exec-in-jail", "hook-as-user"])
def test_a_stop_in_the_middle_of_a_reload_is_a_stop(directory: Path, option: str) -> None:
    """A hook of the new image runs and is told to end; no signal gets lost between the images."""
    command = "test ! -e go || { echo the hook waits; sleep 600; }"
    value = f"exec:{command}" if option.startswith("hook") else command
    (directory / "app.ini").write_text(f"[uwsgi]\n{option} = {value}\n")
    with ServerProcess("app.ini", *SERVED, directory=directory) as server:
        (directory / "go").touch()
        server.signal(signal.SIGHUP)
        server.wait_for_log("^the hook waits$", timeout=30)
        assert server.get().body == b"served"
        assert server.stop() == 0
        assert "worker 1 buried" in server.log
        wait_until(lambda: server.session_pids() == set(), 10, what="the command to end")


def test_a_stop_just_before_the_new_image_fails_is_a_stop(directory: Path) -> None:
    (directory / "app.ini").write_text("[uwsgi]\n")
    with ServerProcess("app.ini", *SERVED, directory=directory) as server:
        text = f"[uwsgi]\nhook-in-jail = exec:trap '' TERM; kill -TERM {server.pid}; echo told; sleep 0.2; false\n"
        (directory / "app.ini").write_text(text)
        server.signal(signal.SIGHUP)
        server.wait_for_log("^told$", timeout=30)
        assert server.wait_end() == 0
        assert "worker 1 buried" in server.log
