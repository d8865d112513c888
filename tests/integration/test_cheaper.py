"""The number of workers follows the load, clients ask all the time, and nobody loses a request."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.integration.test_recycling import AT_ONCE, HTTP, PID
from tests.support.load import Load
from tests.support.server import ServerProcess
from tests.support.verbs import verb
from tests.support.waiting import wait_until

QUIET = ("DAMN", "NO MERCY", "Traceback")
ALGORITHMS = {
    "spare": ("--cheaper-overload", "1"),
    "spare2": ("--cheaper-idle", "1"),
    "backlog": ("--cheaper-overload", "1"),
    "busyness": ("--cheaper-overload", "1", "--cheaper-busyness-multiplier", "1", "--cheaper-busyness-verbose"),
}


def workers(server: ServerProcess) -> int:
    """Worker processes that exist."""
    titles = []
    for pid in server.session_pids():
        try:
            titles.append(Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            continue
    return sum(1 for title in titles if b"worker" in title)


def busy(server: ServerProcess) -> int:
    """Workers that run a request."""
    rows = json.loads(verb(server, "status", "--json").stdout)["workers"]
    return sum(1 for row in rows if row["running"])


def assert_calm(server: ServerProcess) -> None:
    """Nothing in the log that somebody would look into."""
    assert [word for word in QUIET if word in server.log] == []


@pytest.mark.parametrize(
    ("algorithm", "engine"),
    [*((algorithm, ()) for algorithm in ALGORITHMS), ("spare2", ("--gevent", "1")), ("busyness", ("--gevent", "1"))],
)
def test_workers_come_and_go_with_the_load(algorithm: str, engine: tuple[str, ...]) -> None:
    """Few workers without load, more while requests are slow and many, few again after it; nothing is lost."""
    options = ("-p", "2", "--cheaper", "1", "--cheaper-algo", algorithm, *ALGORITHMS[algorithm], *engine)
    with ServerProcess(*PID, *options) as server:
        assert workers(server) == 1
        assert "ready: 1 worker accepts" in server.log
        with Load(server, "/pid", keepalive=1, oneshot=1, pause=0.02) as steady:
            with Load(server, "/slow?0.2", keepalive=0, oneshot=10, timeout=60) as heavy:
                wait_until(lambda: workers(server) == 2, timeout=60, what="more workers")
            wait_until(lambda: workers(server) == 1, timeout=90, what="the workers to leave again")
        assert heavy.lost == []
        assert steady.lost == []
        server.wait_for_log(r"^uWSGI worker \d cheaped\.$")  # a moment after the process has gone
        assert_calm(server)
        assert server.stop() == 0


def test_cheaper_initial_and_manual_signals() -> None:
    """manual: SIGTTIN and SIGTTOU are the only ones who decide, between cheaper and processes."""
    with ServerProcess(
        *PID, "-p", "4", "--cheaper", "2", "--cheaper-initial", "3", "--cheaper-algo", "manual"
    ) as server:
        assert workers(server) == 3
        with Load(server, "/pid") as load:
            server.signal(signal.SIGTTIN)
            wait_until(lambda: workers(server) == 4, what="a fourth worker")
            server.signal(signal.SIGTTIN)
            server.wait_for_log(r"^SIGTTIN: all 4 workers run already \(option processes\)$")
            for count in (3, 2):
                server.signal(signal.SIGTTOU)
                wait_until(lambda: workers(server) == count, timeout=20, what="a worker to leave")  # noqa: B023
            server.signal(signal.SIGTTOU)
            server.wait_for_log(r"^SIGTTOU: 2 workers must stay$")
        assert load.lost == []
        assert_calm(server)


def test_without_cheaper_workers_can_be_stopped_by_hand(tmp_path: Path) -> None:
    """The master FIFO's + and -, down to one worker and up to processes."""
    fifo = tmp_path / "fifo"
    with ServerProcess(*PID, "-p", "2", "--master-fifo", str(fifo)) as server:
        fifo.write_text("-")
        wait_until(lambda: workers(server) == 1, what="one worker")
        fifo.write_text("-")
        server.wait_for_log(r"^master FIFO: 1 worker must stay$")
        assert server.get("/").status == 200
        fifo.write_text("+")
        wait_until(lambda: workers(server) == 2, what="two workers")


def test_reload_keeps_the_number_of_workers() -> None:
    """A reload replaces those who serve, and starts nobody whom cheaper does not want."""
    with ServerProcess(*PID, "-p", "4", "--cheaper", "2", "--cheaper-algo", "manual") as server:
        with Load(server, "/pid") as load:
            server.signal(signal.SIGHUP)
            server.wait_for_log(r"^worker \d killed successfully", count=2, timeout=60)
        assert load.lost == []
        assert workers(server) == 2
        assert_calm(server)


def test_more_and_fewer_by_verb() -> None:
    """`workers add` and `workers remove`, with the answer for whoever typed it."""
    with ServerProcess(*PID, "--pidfile", "app.pid", "-p", "3", "--cheaper", "1", "--cheaper-algo", "manual") as server:
        result = verb(server, "workers", "add", "2")
        assert (result.returncode, result.stdout) == (0, "starting workers 2, 3\n")
        wait_until(lambda: workers(server) == 3, timeout=30, what="three workers")
        assert json.loads(verb(server, "status", "--json").stdout)["processes"] == 3
        result = verb(server, "workers", "remove", "5")
        assert result.returncode == 0
        assert result.stdout.startswith("stopping workers ")
        wait_until(lambda: workers(server) == 1, timeout=30, what="one worker")


def test_reloads_while_workers_are_recycled_and_come_and_go() -> None:
    """Everything at once: max-requests, cheaper, people and reloads; the number is kept and nobody loses a request."""
    options = ("-p", "4", "--cheaper", "2", "--cheaper-algo", "manual", "--max-requests", "30", *AT_ONCE)
    with ServerProcess(*PID, *options) as server:
        with Load(server, "/pid") as load:
            server.wait_for_log("Seeya!", timeout=30)
            server.signal(signal.SIGTTIN)
            wait_until(lambda: workers(server) >= 3, timeout=30, what="a third worker")
            for round_ in (1, 2):
                server.signal(signal.SIGHUP)
                server.wait_for_log(r"^\*\*\* reload complete: 3 workers of generation", count=round_, timeout=60)
            server.signal(signal.SIGTTOU)
            server.wait_for_log(r"^uWSGI worker \d cheaped\.$", timeout=30)
        assert load.lost == []
        assert_calm(server)
        assert server.stop() == 0


def test_a_reload_while_a_worker_leaves() -> None:
    """The next image goes on waiting for the worker that the former one has told to go, and for its request."""
    options = ("-p", "2", "--cheaper", "1", "--cheaper-initial", "2", "--cheaper-algo", "manual")
    with (
        ServerProcess(*PID, *options) as server,
        server.connect(timeout=30) as one,
        server.connect(timeout=30) as other,
    ):
        for client in (one, other):
            client.send(b"GET /slow?3 HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_until(lambda: busy(server) == 2, what="both workers to be busy")
        server.signal(signal.SIGTTOU)
        server.wait_for_log(r"^SIGTTOU: stopping worker \d$")
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload complete: 1 workers of generation 2 serve", timeout=30)
        assert [client.receive().body for client in (one, other)] == [b"slow\n", b"slow\n"]
        server.wait_for_log(r"^uWSGI worker \d cheaped\.$", timeout=30)
        wait_until(lambda: workers(server) == 1, timeout=30, what="one worker")
        assert_calm(server)


def test_a_worker_that_harakiri_kills_is_replaced() -> None:
    """It has not become needless by that; and nobody is started instead of one that is."""
    cheaper = ("-p", "3", "--cheaper", "1", "--cheaper-initial", "2", "--cheaper-algo", "manual")
    harakiri = ("--harakiri", "0.5", "--harakiri-graceful-timeout", "0.3", "--harakiri-dir", "off")
    options = ("--http-socket", "127.0.0.1:0", "--module", "held", *cheaper, *harakiri)
    with ServerProcess(*options) as server, server.connect(timeout=30) as client:
        client.send(b"GET /hold HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.receive().status == 504
        server.wait_for_log(r"^Respawned uWSGI worker \d", timeout=30)
        assert workers(server) == 2
        assert server.get("/").status == 200


def test_memory_limit_stops_workers() -> None:
    """Beyond cheaper-rss-limit-hard workers leave, although all are needed."""
    with ServerProcess(
        *PID, "-p", "3", "--cheaper", "1", "--cheaper-initial", "3", "--cheaper-rss-limit-hard", "1m"
    ) as s:
        server = s
        with Load(server, "/pid") as load:
            wait_until(lambda: workers(server) == 1, timeout=30, what="two workers to leave")
        assert load.lost == []
        assert_calm(server)


def test_idle_and_the_first_client() -> None:
    """After the idle time all workers leave; the next client is served, after a moment."""
    with ServerProcess(*PID, "-p", "2", "--idle", "1") as server:
        assert server.get("/").status == 200
        for round_ in (1, 2):
            server.wait_for_log(r"^workers have been inactive for more than 1 seconds", count=round_, timeout=30)
            server.wait_for_log(r"^cheap mode enabled: waiting for socket connection\.\.\.$", count=round_)
            wait_until(lambda: workers(server) == 0, what="all workers to leave")
            with Load(server, "/pid", pause=0.05) as load:
                wait_until(lambda: load.requests > 20, timeout=30, what="requests to be served")
            assert load.lost == []
        assert_calm(server)
        assert server.stop() == 0


def test_a_client_comes_while_the_last_worker_leaves() -> None:
    """Going to sleep and waking in turn under load: whoever connects in between is served."""
    with ServerProcess(*PID, "-p", "2", "--master-fifo", "fifo") as server:
        fifo = server.directory / "fifo"
        with Load(server, "/pid", keepalive=2, oneshot=3) as load:
            for round_ in range(1, 8):
                fifo.write_text("C")
                server.wait_for_log(r"^a client: a client connects: leaving cheap mode$", count=round_, timeout=30)
                wait_until(lambda: workers(server) >= 1, timeout=30, what="a worker")
        assert load.lost == []
        assert load.requests
        assert_calm(server)


def test_a_long_request_is_no_idleness() -> None:
    """Who serves is not idle, even if it takes longer than the idle time."""
    with (
        ServerProcess(*PID, "-p", "2", "--threads", "2", "--idle", "1") as server,
        server.connect(timeout=30) as client,
    ):
        client.send(b"GET /slow?3 HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.receive().body == b"slow\n"
        assert "inactive" not in server.log


def test_cheap_starts_without_workers() -> None:
    """The first client starts them."""
    with ServerProcess(*PID, "-p", "2", "--cheap") as server:
        assert "ready: the first client starts the workers" in server.log
        server.wait_for_log(r"^cheap mode enabled: waiting for socket connection\.\.\.$")
        assert workers(server) == 0
        assert server.get("/").body == b"hello\n"
        wait_until(lambda: workers(server) == 2, what="both workers")
        assert server.stop() == 0


def test_reload_in_cheap_mode() -> None:
    """New code is loaded while nobody serves, and wakes up as well as the old."""
    with ServerProcess(*PID, "-p", "2", "--cheap") as server:
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"reload complete", timeout=30)
        assert server.get("/").body == b"hello\n"
        assert_calm(server)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--idle", "1", "--die-on-idle"), "workers have been inactive"),
        (("--idle", "1", "--die-on-no-workers"), "no more workers running"),
    ],
)
def test_die_on_idle(options: tuple[str, ...], line: str) -> None:
    """The server itself ends, with code 0."""
    with ServerProcess(*PID, "-p", "2", *options) as server:
        assert server.get("/").status == 200
        assert server.wait_end(30) == 0
        assert line in server.log
        assert server.log_lines[-1] == "goodbye to uWSGI."


def test_impossible_numbers() -> None:
    """cheaper must be lower than processes, as in uWSGI."""
    with ServerProcess(*HTTP, "--module", "hello", "-p", "2", "--cheaper", "2", wait=False) as server:
        assert server.wait_end() == 1
        assert "invalid cheaper value: 2 must be lower than processes (2)" in server.log
