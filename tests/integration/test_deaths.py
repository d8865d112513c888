"""Processes that die where it hurts: nobody is lost from sight, and the service goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.client import RawClient
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
