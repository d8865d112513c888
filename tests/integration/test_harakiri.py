"""A request that never ends is ended from outside: named in the log, with its stack, and nobody else notices."""

from __future__ import annotations

import os
import re
import signal
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import ConnectionEnded, RawClient
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.protocol.uwsgi import encode_variables

STUCK = ("--http-socket", "127.0.0.1:0", "--module", "stuck", "--disable-logging")
LIMIT = 1.0
# The promise is a second; this machine may be busy with other things.
PROMISE = 1.0
TOLERANCE = 1.5
HOLDING_THE_INTERPRETER = ("/regex", "/power")
KILLED = r"^HARAKIRI triggered by worker (\d+) core (\d+) !!!$"


def ask(path: str) -> bytes:
    """A request's bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


def pid_of(server: ServerProcess) -> int:
    """Who answers."""
    return int(server.get("/").body)


class SteadyClients:
    """Clients that ask on and on, each request on a new connection: how long answers took, and how many never came."""

    def __init__(self, server: ServerProcess, count: int = 2) -> None:
        self.times: list[float] = []
        self.lost: list[BaseException] = []
        self._server = server
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def __enter__(self) -> SteadyClients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            started = time.monotonic()
            try:
                assert self._server.get("/").status == 200
                self.times.append(time.monotonic() - started)
            except BaseException as error:
                self.lost.append(error)
            time.sleep(0.01)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("path", ["/sleep", "/regex", "/power", "/lock"])
def test_stuck_request_is_ended(path: str, threads: int) -> None:
    """Killed within a second of its deadline, named with its stack; the other worker serves on, a successor follows."""
    options = ("--processes", "2", "--threads", str(threads), "--harakiri", str(LIMIT))
    with ServerProcess(*STUCK, *options) as server, server.connect(timeout=30) as victim:
        before = server.worker_pids
        with SteadyClients(server) as clients:
            started = time.monotonic()
            victim.send(ask(f"{path}?1000"))
            with pytest.raises(ConnectionEnded):
                victim.receive()
            taken = time.monotonic() - started
            server.wait_for_log(r"^Respawned uWSGI worker", timeout=30)
            known = len(clients.times)
            wait_until(lambda: len(clients.times) > known + 20, 30, what="answers after the kill")
        # Only threads of the same worker can suffer, and only where nothing in it runs any more.
        assert len(clients.lost) <= (2 if threads > 1 and path in HOLDING_THE_INTERPRETER else 0)
        assert statistics.median(clients.times) < LIMIT / 2
        assert LIMIT <= taken < LIMIT + PROMISE + TOLERANCE
        server.wait_for_log(KILLED)
        log = server.log
        (core, wid), *_ = re.findall(rf"^HARAKIRI: GET {path}.* on core (\d+) of worker (\d+) ", log, re.M)
        pid = before[int(wid)]
        what = re.escape(f"GET {path}?1000")
        assert f"*** HARAKIRI ON WORKER {wid} (pid: {pid}, try: 1, graceful: no) ***" in log
        sentence = (
            rf"^HARAKIRI: {what} from 127\.0\.0\.1 has run for (\S+) s on core {core} of worker {wid} \(pid: {pid}\); "
        )
        match = re.search(sentence + "harakiri allows 1 s$", log, re.M)
        assert match
        assert LIMIT <= float(match[1]) < LIMIT + PROMISE
        assert re.search(rf"^HARAKIRI \[core {core}\] 127\.0\.0\.1 - {what} since \d+$", log, re.M)
        stack = log.partition(f"core {core}, GET {path}?1000 (0x")[2].partition("HARAKIRI triggered")[0]
        assert f"in stuck_in{path.replace('/', '_')}" in stack.partition("another thread")[0], log
        assert pid not in server.worker_pids.values()
        assert pid not in server.session_pids()
        assert set(before.values()) - {pid} <= server.session_pids()


def test_request_in_time_is_left_alone() -> None:
    """The limit is for each request, not for the worker: many short ones on one connection live on."""
    with ServerProcess(*STUCK, "--harakiri", "1") as server, server.connect(timeout=30) as client:
        pids = set()
        for _ in range(8):
            client.send(ask("/sleep?0.3"))
            pids.add(client.receive().body)
        assert len(pids) == 1
        assert "HARAKIRI" not in server.log


def test_other_cores_may_finish() -> None:
    """A worker that is to be killed ends what its other threads run, if that takes no longer than half a second."""
    options = ("--threads", "4", "--harakiri", "1.5")
    with ServerProcess(*STUCK, *options) as server, server.connect(timeout=30) as stuck, server.connect() as other:
        stuck.send(ask("/sleep"))
        time.sleep(0.5)
        other.send(ask("/sleep?1.2"))
        pid = int(other.receive().body)
        assert pid == server.worker_pids[1] or f"worker 1 (pid: {pid})" in server.log
        with pytest.raises(ConnectionEnded):
            stuck.receive()
        server.wait_for_log(r"^HARAKIRI: the other requests of worker 1 have 0\.5 s to end$")
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        assert pid_of(server) != pid


def test_graceful_signal_may_save_the_worker() -> None:
    """An application that ends its request on the signal keeps its worker."""
    options = ("--harakiri", "1", "--harakiri-graceful-timeout", "20", "--harakiri-graceful-signal")
    with ServerProcess(*STUCK, *options, str(int(signal.SIGUSR2))) as server, server.connect(timeout=30) as client:
        pid = pid_of(server)
        client.send(ask("/sleep"))
        assert client.receive().status == 500
        assert re.search(
            r"^HARAKIRI: graceful termination attempt on worker 1 with signal 12 .*Next harakiri: \d+$",
            server.log,
            re.M,
        )
        assert f"*** HARAKIRI ON WORKER 1 (pid: {pid}, try: 1, graceful: yes) ***" in server.log
        assert "stuck.Interrupted" in server.log
        assert pid_of(server) == pid


def test_graceful_signal_that_does_not_help() -> None:
    """After the second deadline the worker is killed; a successor serves meanwhile, since signal 15 makes it leave."""
    options = ("--harakiri", "1", "--harakiri-graceful-timeout", "1", "--harakiri-verbose")
    with ServerProcess(*STUCK, *options) as server, server.connect(timeout=30) as client:
        pid = pid_of(server)
        started = time.monotonic()
        client.send(ask("/regex"))
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        assert pid_of(server) != pid
        with pytest.raises(ConnectionEnded):
            client.receive()
        assert 2 <= time.monotonic() - started < 2 + PROMISE + TOLERANCE
        server.wait_for_log(rf"^\*\*\* HARAKIRI ON WORKER 1 \(pid: {pid}, try: 2, graceful: no\) \*\*\*$")
        assert len(re.findall(r"^HARAKIRI: -- (?:syscall|wchan)> \S", server.log, re.M)) == 4


def test_body_that_does_not_come() -> None:
    """A request that waits for its body inside of the application is overdue; one whose body is read before is not."""
    head = b"POST /read HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345"
    with ServerProcess(*STUCK, "--harakiri", "1") as server, server.connect(timeout=30) as client:
        client.send(head)
        pid = pid_of(server)
        time.sleep(1.5)
        client.send(b"67890")
        assert client.receive().body == b"10"
        assert pid_of(server) == pid
        assert "HARAKIRI" not in server.log
    with ServerProcess(*STUCK, "--harakiri", "1", "--post-buffering", "0") as server, server.connect() as client:
        client.send(head)
        with pytest.raises(ConnectionEnded):
            client.receive()
        server.wait_for_log(r"^HARAKIRI: POST /read from 127\.0\.0\.1 has run for ")
        assert "in stuck_in_read" in server.log


def test_client_that_does_not_take_its_answer() -> None:
    """A whole answer keeps no core busy, however long it takes; a stream does."""
    with ServerProcess(*STUCK, "--harakiri", "1") as server, server.connect(timeout=30) as client:
        client.send(ask("/large"))
        pid = pid_of(server)
        time.sleep(1.5)
        assert len(client.receive().body) == 16 << 20
        assert pid_of(server) == pid
        assert "HARAKIRI" not in server.log
        with server.connect() as other:
            other.send(ask("/stream"))
            server.wait_for_log(r"^HARAKIRI: GET /stream from 127\.0\.0\.1 has run for ", timeout=20)
            server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=20)
        assert "in send_until" in server.log
        assert pid_of(server) != pid


@pytest.mark.parametrize(("path", "threads"), [("/sleep", "1"), ("/lock", "2")])
def test_finished_answers_of_the_round_are_not_lost(path: str, threads: str) -> None:
    """Quick requests that were ready with one that hangs have their answers long before its deadline."""
    options = ("--threads", threads, "--harakiri", "3")
    with ServerProcess(*STUCK, *options) as server:
        clients = [server.connect(timeout=30) for _ in range(6)]
        for client in clients * 3:  # all are known to the worker, and requests are quick
            client.send(ask("/"))
            pid = int(client.receive().body)
        os.kill(pid, signal.SIGSTOP)
        for client in clients[:-1]:
            client.send(ask("/"))
        clients[-1].send(ask(path))
        os.kill(pid, signal.SIGCONT)  # it finds all of them at once
        started = time.monotonic()
        for client in clients[:-1]:
            assert client.receive().status == 200
        assert time.monotonic() - started < 2
        with pytest.raises(ConnectionEnded):
            clients[-1].receive()
        server.wait_for_log(KILLED)
        for client in clients:
            client.close()


def test_client_behind_a_web_server_is_named(tmp_path: Path) -> None:
    """A uwsgi packet says who asks."""
    socket_path = tmp_path / "app.sock"
    options = ("--uwsgi-socket", str(socket_path), "--module", "stuck", "--disable-logging", "--harakiri", "1")
    variables = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/lock?a", "PATH_INFO": "/lock", "QUERY_STRING": "a"}
    variables |= {"REMOTE_ADDR": "192.0.2.7", "SCRIPT_NAME": ""}
    with ServerProcess(*options) as server, RawClient(str(socket_path), timeout=30) as client:
        client.send(encode_variables(variables))
        assert client.read_to_end() == b""
        server.wait_for_log(r"^HARAKIRI: GET /lock\?a from 192\.0\.2\.7 has run for 1\.\d s on core 0 of worker 1 ")


def test_few_waiting_clients_put_it_off() -> None:
    """harakiri-queue-threshold: a stuck worker is left alone until that many clients wait."""
    options = ("--harakiri", "1", "--harakiri-queue-threshold", "3", "--no-defer-accept")
    with ServerProcess(*STUCK, *options) as server, server.connect(timeout=60) as client:
        client.send(ask("/sleep"))
        line = r"^HARAKIRI: Skipping harakiri on worker 1\. Listen queue is smaller than the threshold \(%d < 3\)$"
        server.wait_for_log(line % 0, count=2, timeout=30)
        waiting = [server.connect(timeout=60) for _ in range(3)]
        with pytest.raises(ConnectionEnded):
            client.receive()
        server.wait_for_log(KILLED)
        for one in waiting:
            one.send(ask("/"))
            assert one.receive().status == 200
            one.close()


def test_everybody_stuck_at_once() -> None:
    """Four workers that hang for the same reason at the same time are all told apart and replaced."""
    options = ("--processes", "4", "--harakiri", "1")
    with ServerProcess(*STUCK, *options) as server:
        clients = [server.connect(timeout=30) for _ in range(4)]
        for number, client in enumerate(clients):
            client.send(ask(f"/lock?{number}"))
        for client in clients:
            with pytest.raises(ConnectionEnded):
                client.receive()
            client.close()
        server.wait_for_log(r"^Respawned uWSGI worker", count=4, timeout=30)
        stacks = re.findall(r"^core 0, GET /lock\?(\d) .*\n((?:  File .*\n)+)", server.log, re.M)
        assert sorted(number for number, _ in stacks) == ["0", "1", "2", "3"]
        assert all("in stuck_in_lock" in stack for _, stack in stacks)
        assert server.get("/").status == 200


def test_stopping_worker_has_its_deadline_too() -> None:
    """A stuck request holds a stop up to its deadline only, however long the mercy is."""
    options = ("--harakiri", "2", "--worker-reload-mercy", "60")
    with ServerProcess(*STUCK, *options) as server, server.connect(timeout=30) as client:
        client.send(ask("/sleep"))
        started = time.monotonic()
        wait_until(lambda: b"sleep" in Path(f"/proc/{server.worker_pids[1]}/wchan").read_bytes() or True, 1)
        assert server.stop(timeout=30) == 0
        assert time.monotonic() - started < 20


@pytest.fixture
def idle_master() -> Callable[[ServerProcess], int]:
    """Context switches of the master so far."""

    def switches(server: ServerProcess) -> int:
        status = Path(f"/proc/{server.pid}/status").read_text()
        return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[0])

    return switches


def test_master_sleeps_between_deadlines(idle_master: Callable[[ServerProcess], int]) -> None:
    """With harakiri the master looks when a deadline can be due, not every second or tick."""
    with ServerProcess(*STUCK, "--harakiri", "30") as server:
        for _ in range(3):
            assert server.get("/").status == 200

        def sleeps_on() -> bool:
            before = idle_master(server)
            time.sleep(2.5)
            return idle_master(server) - before <= 1

        assert any(sleeps_on() for _ in range(4))  # what follows the start may take a busy machine some seconds


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("path", ["/sleep", "/power", "/lock"])
def test_without_a_master_the_process_ends(path: str, threads: str) -> None:
    """Nobody could replace it, so the supervisor has to notice: exit code 1, with the stack in the log."""
    options = ("--master=false", "--threads", threads, "--harakiri", "1")
    with ServerProcess(*STUCK, *options) as server, server.connect(timeout=30) as client:
        started = time.monotonic()
        client.send(ask(path))
        assert server.wait_end(30) == 1
        assert 1 <= time.monotonic() - started < 2 + TOLERANCE
        assert f"in stuck_in{path.replace('/', '_')}" in server.log
        if path not in HOLDING_THE_INTERPRETER:
            assert re.search(
                rf"^HARAKIRI: GET {path} from 127\.0\.0\.1 has run for 1\.\d s on core \d ", server.log, re.M
            )


def test_without_a_master_requests_in_time_go_on() -> None:
    """Neither requests in a row nor idleness end the process."""
    with ServerProcess(*STUCK, "--master=false", "--harakiri", "1") as server, server.connect(timeout=30) as client:
        for _ in range(5):
            client.send(ask("/sleep?0.4"))
            assert client.receive().status == 200
        time.sleep(2)
        assert pid_of(server) == server.pid


def test_worker_of_a_former_image_has_its_deadline_too() -> None:
    """After a reload the master is another program; a worker that cannot leave shows its stacks to it all the same."""
    options = ("--threads", "2", "--harakiri", "4")
    with ServerProcess(*STUCK, *options) as server, server.connect(timeout=60) as client:
        pid = pid_of(server)
        client.send(ask("/lock"))
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload complete", timeout=30)
        assert "HARAKIRI" not in server.log
        with pytest.raises(ConnectionEnded):
            client.receive()
        server.wait_for_log(rf"^HARAKIRI: GET /lock .* worker 1 \(pid: {pid}\); harakiri allows 4 s$", timeout=30)
        assert "in stuck_in_lock" in server.log
        assert pid_of(server) != pid
