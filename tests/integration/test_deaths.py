"""Processes that die where it hurts: nobody is lost from sight, and the service goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.client import ConnectionEnded, RawClient
from tests.support.readable import readable_launcher
from tests.support.server import REPOSITORY, ServerProcess
from tests.support.waiting import wait_until


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def workers_of(server: ServerProcess) -> dict[int, str]:
    """pid -> title of the worker processes that live."""
    titles = {pid: title_of(pid) for pid in server.session_pids()}
    return {pid: title for pid, title in titles.items() if "uWSGI worker" in title}


def template_of(server: ServerProcess) -> int:
    """The template."""
    return next(pid for pid in server.session_pids() if "uWSGI template" in title_of(pid))


HTTP = ("--http-socket", "127.0.0.1:0", "--pythonpath", str(REPOSITORY))
HELLO = (*HTTP, "--module", "hello")


def ask_pid(server: ServerProcess) -> int:
    with RawClient(server.addresses[0], 10.0) as client:
        return int(client.get("/pid").body)


@pytest.mark.parametrize("place", ["before", "between", "middle"])
def test_template_dies_around_a_fork(place: str, tmp_path: Path) -> None:
    """Every worker that exists is known: one per number, and all of them end with the server."""
    order = tmp_path / "die-at"
    with ServerProcess(
        *("--http-socket", "127.0.0.1:0", "--module", "tests.support.apps.dying_template", "-p", "2"),
        *("--auto-procname", "--pythonpath", str(REPOSITORY)),
        environment={"DIE_AT": str(order)},
        timeout=60,
    ) as server:
        before = set(workers_of(server))
        victim = server.worker_pids[1]
        order.write_text(place)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not order.exists(), 30, what="the death around the fork")
        server.wait_for_log(r"^Respawned uWSGI worker 1 \(new pid: \d+\)", timeout=60)
        wait_until(lambda: len(workers_of(server)) == 2, 30, what="two workers")
        survivors = set(workers_of(server))
        assert victim not in survivors
        assert len(before & survivors) == 1
        newest = server.worker_pids[1]
        assert newest in survivors
        # The one that was found is in the master's books: its death is seen, and it is replaced.
        os.kill(newest, signal.SIGKILL)
        server.wait_for_log(rf"^DAMN ! worker 1 \(pid: {newest}\) died", timeout=30)
        wait_until(lambda: newest not in server.worker_pids.values(), 60, what="a successor")
        assert ask_pid(server) in workers_of(server)
        assert server.stop(timeout=60) == 0
        assert server.session_pids() == set()
        assert server.log.count("buried after") == 2


# --- workers ----------------------------------------------------------------------------------------------------------


def test_worker_that_is_killed_again_and_again() -> None:
    """SIGKILL comes from outside: the only worker is replaced at once, however often."""
    with ServerProcess(*HELLO) as server:
        started = time.monotonic()
        for _ in range(9):
            os.kill(ask_pid(server), signal.SIGKILL)
        assert ask_pid(server)
        assert time.monotonic() - started < 6  # with pauses that double it would take twelve
        assert "cannot" not in server.log


def test_request_that_kills_does_not_keep_the_service_down() -> None:
    """An application that ends its process in a request, again and again: the next client waits a moment."""
    with ServerProcess(*HELLO) as server:
        started = time.monotonic()
        for _ in range(9):
            with server.connect() as client, pytest.raises(ConnectionEnded):
                client.get("/exit?3")
        assert server.get("/").status == 200
        assert 0.5 < time.monotonic() - started < 6


def test_worker_that_dies_at_its_birth_ends_a_start(tmp_path: Path) -> None:
    """Nothing ever served: a few tries, then the server says so and ends."""
    dies = tmp_path / "dies"
    dies.touch()
    options = (*HTTP, "--module", "tests.support.apps.dying_birth", "--lazy-apps", "-p", "2")
    with ServerProcess(*options, environment={"DIES": str(dies)}, wait=False) as server:
        assert server.wait_end(timeout=60) == 22
        assert server.log.splitlines()[-1].endswith(
            " ended 5 times in a row soon after its birth, killed by signal 9: the server cannot start"
        )
        assert server.session_pids() == set()


def test_worker_that_dies_at_its_birth_later(tmp_path: Path) -> None:
    """Workers cannot be born any more: tries get rarer, the log says so once, the others serve, and it ends well."""
    dies = tmp_path / "dies"
    options = (*HTTP, "--module", "tests.support.apps.dying_birth", "--lazy-apps", "-p", "2")
    with ServerProcess(*options, environment={"DIES": str(dies)}, timeout=60) as server:
        dies.touch()
        os.kill(server.worker_pids[1], signal.SIGKILL)
        server.wait_for_log(r"^\*\*\* worker 1 ended 5 times in a row .*: trying again and again", timeout=30)
        assert ask_pid(server) == server.worker_pids[2]
        dies.unlink()

        def is_idle() -> bool:
            server.signal(signal.SIGUSR1)
            return re.search(r"^worker 1 \(pid: \d+\): idle,", server.log, re.M) is not None

        wait_until(is_idle, 30, what="a worker 1 that serves", interval=0.1)
        assert server.stop() == 0


def test_fork_refused_to_the_template(tmp_path: Path) -> None:
    """The system has no room for another process: logged, tried again with pauses, while the others serve."""
    refused = tmp_path / "refused"
    options = (*HTTP, "--module", "tests.support.apps.refused_fork", "-p", "2")
    with ServerProcess(*options, environment={"REFUSED": str(refused)}) as server:
        refused.touch()
        os.kill(server.worker_pids[1], signal.SIGKILL)
        line = r"^\*\*\* worker 1 cannot be forked: Resource temporarily unavailable \*\*\*$"
        server.wait_for_log(line, count=4)
        assert ask_pid(server) == server.worker_pids[2]
        refused.unlink()
        server.wait_for_log("^Respawned uWSGI worker 1 ")
        assert server.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody whose processes are counted")
def test_fork_refused_to_everybody() -> None:
    """A real limit of processes: no worker, no template and no reload; all of it is there when there is room again."""
    nobody_else = 54321
    somebody = ("--uid", str(nobody_else), "--gid", str(nobody_else), "--limit-nproc", "12")
    options = ("--http-socket", "127.0.0.1:0", "--module", "hello", "--auto-procname", "-p", "2", *somebody)
    with ServerProcess(*options, launcher=readable_launcher()) as server, ExitStack() as crowd:
        template = template_of(server)
        for _ in range(12):
            crowd.callback(crowd.enter_context(subprocess.Popen(("sleep", "60"), user=nobody_else)).kill)
        os.kill(server.worker_pids[1], signal.SIGKILL)
        server.wait_for_log(r"^\*\*\* worker 1 cannot be forked: Resource temporarily unavailable", count=2)
        os.kill(template, signal.SIGKILL)
        server.wait_for_log(r"^\*\*\* cannot fork a template: Resource temporarily unavailable; trying again", count=2)
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload cancelled: no process can be forked: Resource temporarily unavailable")
        assert ask_pid(server) == server.worker_pids[2]
        crowd.close()
        server.wait_for_log("^Respawned uWSGI worker 1 ", timeout=30)
        assert server.stop() == 0


# --- templates --------------------------------------------------------------------------------------------------------


def test_template_that_dies_while_it_loads(tmp_path: Path) -> None:
    """Tried again a few times, then only when it is needed; the workers serve, and it ends well."""
    dies = tmp_path / "dies"
    options = (*HTTP, "--module", "tests.support.apps.dying_birth", "--auto-procname")
    with ServerProcess(*options, environment={"DIES": str(dies)}) as server:
        dies.touch()
        os.kill(template_of(server), signal.SIGKILL)
        line = "^the process that loaded the application ended while loading it, killed by signal 9"
        server.wait_for_log(line, count=5)
        worker = ask_pid(server)
        assert worker in workers_of(server)
        dies.unlink()
        os.kill(worker, signal.SIGKILL)
        server.wait_for_log("^Respawned uWSGI worker 1 ")
        assert ask_pid(server) != worker
        assert server.stop() == 0


def test_template_that_dies_loading_in_a_reload(tmp_path: Path) -> None:
    """The old generation serves on, and the next reload finds nothing in its way."""
    dies = tmp_path / "dies"
    options = (*HTTP, "--module", "tests.support.apps.dying_birth", "--auto-procname", "-p", "2")
    with ServerProcess(*options, environment={"DIES": str(dies)}) as server:
        before = set(workers_of(server))
        dies.touch()
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload cancelled: .* ended while loading it, killed by signal 9", timeout=30)
        assert set(workers_of(server)) == before
        dies.unlink()
        reload_wholly(server, before)
        assert server.stop() == 0


def test_template_that_dies_forking_in_a_reload(tmp_path: Path) -> None:
    """The application is loaded once more, and the reload completes."""
    order = tmp_path / "die-at"
    options = (*HTTP, "--module", "tests.support.apps.dying_template", "--auto-procname", "-p", "2")
    with ServerProcess(*options, environment={"DIE_AT": str(order)}) as server:
        before = set(workers_of(server))
        order.write_text("before")
        reload_wholly(server, before)
        assert not order.exists()
        assert server.stop() == 0


def reload_wholly(server: ServerProcess, before: set[int]) -> None:
    """SIGHUP, and wait until it has replaced the workers `before`."""
    server.signal(signal.SIGHUP)
    server.wait_for_log(r"^\*\*\* reload complete: ", timeout=60)
    wait_until(lambda: len(after := set(workers_of(server))) == 2 and not after & before, 30, what="new workers")
    assert ask_pid(server) in workers_of(server)


EARLY = """
import os, signal
from hello import application
install = signal.signal

def and_send(number, handler):
    former = install(number, handler)
    if number == signal.SIGTERM and getattr(handler, "__name__", "") == "_noted_leave":
        os.kill(os.getpid(), number)
    return former

signal.signal = and_send
"""


def test_a_worker_heeds_a_signal_that_comes_while_it_installs_its_handlers() -> None:
    """The server is stopped when a worker is just being born: it must not serve for ever."""
    server = ServerProcess(*HTTP, "--module", "early", "--pythonpath", ".", "--master=false", wait=False)
    (server.directory / "early.py").write_text(EARLY)
    with server:
        assert server.wait_end() == 0


# --- the master -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["sleep", "interpreter"])
@pytest.mark.parametrize("options", [(), ("--threads", "4"), ("--lazy-apps",), ("--gevent", "20")], ids=" ".join)
def test_nothing_outlives_the_master(options: tuple[str, ...], where: str) -> None:
    """kill -9 of the master while a request is stuck, also one that holds the interpreter: two seconds and no more."""
    module = ("--module", "tests.support.apps.endless", "--attach-daemon", "sleep 600")
    with ServerProcess(*HTTP, *module, "-p", "2", *options) as server, server.connect() as client:
        client.send(f"GET /{where} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        server.wait_for_log("^endless: ")
        assert len(server.session_pids()) >= 4
        server.signal(signal.SIGKILL)
        killed = time.monotonic()
        server.wait_end()
        wait_until(lambda: not server.session_pids(), 10, what="all processes to end")
        assert time.monotonic() - killed < 2.5  # two seconds, and some for a busy machine
