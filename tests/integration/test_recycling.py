"""Workers are replaced while clients ask all the time: successors serve first, and nobody loses a request."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.engines import each_engine, prefork_and_gevent
from tests.support.load import Load
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

HTTP = ("--http-socket", "127.0.0.1:0", "--disable-logging")
PID = (*HTTP, "--module", "hello")
AT_ONCE = ("--min-worker-lifetime", "0")
GROWING = """
import mmap
import os
KEPT = []
def application(environ, start_response):
    if environ["PATH_INFO"] == "/grow":
        KEPT.append(bytearray(os.urandom(1)) * (4 << 20))
    if environ["PATH_INFO"] == "/reserve":
        KEPT.append(mmap.mmap(-1, 256 << 20))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def assert_replaced_before_they_went(server: ServerProcess) -> None:
    """Of each worker number, the n-th process ended after the process n + 1 was born."""
    births: dict[str, list[int]] = {}
    ends: dict[str, list[int]] = {}
    for number, line in enumerate(server.log_lines):
        if match := re.match(r"(?:spawned|Respawned) uWSGI worker (\d+) ", line):
            births.setdefault(match[1], []).append(number)
        elif match := re.match(r"worker (\d+) killed successfully", line):
            ends.setdefault(match[1], []).append(number)
    assert ends
    for wid, lines in ends.items():
        assert all(end > birth for end, birth in zip(lines, births[wid][1:], strict=False)), wid
        assert len(births[wid]) > len(lines)


@each_engine
def test_max_requests(engine: tuple[str, ...]) -> None:
    """max-requests=50 under keep-alive and one-shot load: many successors, nothing lost, no alarm."""
    with ServerProcess(*PID, "-p", "2", *engine, "--max-requests", "50", *AT_ONCE) as server:
        with Load(server, "/pid") as load:
            wait_until(lambda: len(load.answers) >= 10, timeout=60, what="ten workers to have served")
        assert load.lost == []
        server.stop()
        assert "DAMN" not in server.log
        assert "NO MERCY" not in server.log
        assert re.search(
            r"\.\.\.The work of process \d+ is done \(max requests reached \(\d+ >= 50\)\)\. Seeya!", server.log
        )
        assert_replaced_before_they_went(server)


def test_young_workers_stay() -> None:
    """Before min-worker-lifetime max-requests has no effect."""
    with ServerProcess(*PID, "--max-requests", "2", "--min-worker-lifetime", "600") as server:
        assert len({server.get("/pid").body for _ in range(20)}) == 1
        assert "Seeya" not in server.log


@prefork_and_gevent
def test_max_requests_without_a_master(engine: tuple[str, ...]) -> None:
    """A single process ends by itself with code 17, for a supervisor to start it again."""
    with ServerProcess(*PID, *engine, "--master=false", "--max-requests", "2", *AT_ONCE) as server:
        assert [server.get("/").status for _ in range(2)] == [200, 200]
        assert server.wait_end() == 17


def test_max_worker_lifetime() -> None:
    """Old workers are replaced although nobody asks them anything; uWSGI's line says so."""
    options = ("-p", "2", "--max-worker-lifetime", "1", "--max-worker-lifetime-delta", "1", *AT_ONCE)
    with ServerProcess(*PID, *options) as server:
        with Load(server, "/pid") as load:
            server.wait_for_log(r"^worker 1 lifetime reached, it was running for \d second\(s\)$", count=2, timeout=30)
            server.wait_for_log(r"^worker 2 lifetime reached, it was running for \d second\(s\)$", timeout=30)
            server.wait_for_log(r"^worker 2 killed successfully", timeout=30)
        assert load.lost == []
        assert "DAMN" not in server.log
        server.stop()
        assert_replaced_before_they_went(server)


@pytest.mark.parametrize(
    ("option", "limit"), [("reload-on-rss", "150"), ("reload-on-uss", "120"), ("reload-on-pss", "130")]
)
def test_reload_on_memory(option: str, limit: str, tmp_path: Path) -> None:
    """A worker that has grown is replaced, and nothing is lost."""
    (tmp_path / "growing.py").write_text(GROWING)
    options = (*HTTP, "--module", "growing", "-p", "2", f"--{option}", limit, *AT_ONCE)
    with ServerProcess(*options, directory=tmp_path) as server:
        with Load(server, "/grow", pause=0.01) as load:
            server.wait_for_log(
                rf"is done \({option} limit reached \(\d+ >= {int(limit) << 20}\)\)", count=2, timeout=60
            )
            server.wait_for_log(r"^worker \d killed successfully", count=2, timeout=60)
        assert load.lost == []
        assert "DAMN" not in server.log
        server.stop()


def test_reload_on_as(tmp_path: Path) -> None:
    """The address space counts as well."""
    (tmp_path / "growing.py").write_text(GROWING)
    with ServerProcess(*HTTP, "--module", "growing", "--reload-on-as", "1g", *AT_ONCE, directory=tmp_path) as server:
        wait_until(
            lambda: server.get("/reserve").status and "reload-on-as limit reached" in server.log,
            timeout=60,
            what="the limit to be reached",
        )
        server.wait_for_log(r"^worker 1 killed successfully", timeout=30)
        assert server.get("/").status == 200


def test_evil_reload_kills_inside_a_request(tmp_path: Path) -> None:
    """A request that eats memory without end is ended with its worker; others do not notice."""
    (tmp_path / "evil.py").write_text(
        "import time\n"
        "def application(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/evil':\n"
        "        eaten = b'x' * (300 << 20)\n"
        "        time.sleep(60)\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'ok']\n"
    )
    options = (*HTTP, "--module", "evil", "-p", "2", "--evil-reload-on-rss", "200", "--mem-collector-freq", "0.2")
    with ServerProcess(*options, directory=tmp_path) as server, server.connect(timeout=30) as victim:
        victim.send(b"GET /evil HTTP/1.1\r\nHost: test\r\n\r\n")
        match = server.wait_for_log(r"^\*\*\* EVIL RELOAD ON WORKER \d RSS: (\d+) \(pid: \d+\) \*\*\*$", timeout=30)
        assert int(match[1]) >= 200 << 20
        assert victim.ended()
        server.wait_for_log(r"^Respawned uWSGI worker", timeout=30)
        assert server.get("/").body == b"ok"


def test_memory_report() -> None:
    """memory-report puts the worker's memory before the request line, 2 with its shares."""
    sizes = r"\{address space usage: \d+ bytes/\d+MB\} \{rss usage: \d+ bytes/\d+MB\} "
    for options, begin in (
        (("-m",), sizes),
        (("--memory-report=2",), sizes + r"\{uss usage: \d+ bytes/\d+MB\} \{pss usage: \d+ bytes/\d+MB\} "),
    ):
        with ServerProcess("--http-socket", "127.0.0.1:0", "--module", "hello", *options) as server:
            server.get("/")
            server.wait_for_log(rf"^{begin}\[pid: \d+\|app: 0\|req: 1/1\] ")


def test_cpu_affinity() -> None:
    """Workers are spread over the CPUs, one after the other."""
    cpus = sorted(os.sched_getaffinity(0))
    with ServerProcess(*PID, "-p", "2", "--cpu-affinity", "1", "--threads", "2") as server:
        for wid, pid in server.worker_pids.items():
            cpu = cpus[(wid - 1) % len(cpus)]
            server.wait_for_log(rf"^mapping worker {wid} to CPUs: {cpu}$")
            assert {frozenset(os.sched_getaffinity(int(task))) for task in os.listdir(f"/proc/{pid}/task")} == {
                frozenset({cpu})
            }


def test_limit_as(tmp_path: Path) -> None:
    """limit-as bounds what the application can have, not the master."""
    (tmp_path / "app.py").write_text(
        "def application(environ, start_response):\n"
        "    try:\n"
        "        body = str(len(bytearray(400 << 20))).encode()\n"
        "    except MemoryError:\n"
        "        body = b'too much'\n"
        "    start_response('200 OK', [('Content-Length', str(len(body)))])\n"
        "    return [body]\n"
    )
    with ServerProcess(*HTTP, "--module", "app", "--limit-as", "400", directory=tmp_path) as server:
        server.wait_for_log(rf"^limiting address space of processes to {400 << 20} bytes$")
        assert server.get("/").body == b"too much"
        ours, masters = (Path(f"/proc/{pid}/limits").read_text() for pid in ("self", server.pid))
        line = re.compile(r"^Max address space.*", re.M)
        assert line.findall(ours) == line.findall(masters)


def test_lifetimes_that_contradict() -> None:
    """max-worker-lifetime must be longer than min-worker-lifetime."""
    with ServerProcess(*PID, "--max-worker-lifetime", "5", wait=False) as server:
        assert server.wait_end() == 1
        assert "'max-worker-lifetime' (5 s) must be longer than 'min-worker-lifetime' (10 s)" in server.log
