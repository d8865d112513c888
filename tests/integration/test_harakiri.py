"""Harakiri's limits and what surrounds them: what counts, who else notices, leaving, stopping, no master at all."""

from __future__ import annotations

import os
import re
import signal
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


def test_request_in_time_is_left_alone() -> None:
    """The limit is for each request, not for the worker: many short ones on one connection live on."""
    with ServerProcess(*STUCK, "--harakiri", "1") as server, server.connect(timeout=30) as client:
        pids = set()
        for _ in range(8):
            client.send(ask("/sleep?0.3"))
            pids.add(client.receive().body)
        assert len(pids) == 1
        assert "HARAKIRI" not in server.log


def test_graceful_signal_may_save_the_worker() -> None:
    """An application that ends its request on the signal keeps its worker."""
    options = ("--harakiri", "1", "--harakiri-graceful-timeout", "20", "--harakiri-graceful-signal")
    with ServerProcess(*STUCK, *options, str(int(signal.SIGUSR2))) as server, server.connect(timeout=30) as client:
        pid = pid_of(server)
        client.send(ask("/habit"))
        assert client.receive().status == 500
        server.wait_for_log(r"^HARAKIRI: graceful termination attempt on worker 1 with signal 12 .*Next harakiri: \d+$")
        assert "stuck.Interrupted" in server.log
        assert pid_of(server) == pid


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
        pid = pid_of(server)
        client.send(head)
        assert client.receive().status == 504
        server.wait_for_log(r"^HARAKIRI: POST /read from 127\.0\.0\.1 has run for ")
        server.wait_for_log(r"in stuck_in_read$")
        assert pid_of(server) == pid


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
            server.wait_for_log(r"^  request   phase streaming, sent [1-9]", timeout=20)
            with pytest.raises((ConnectionEnded, ConnectionResetError)):
                other.receive()
        assert pid_of(server) == pid


@pytest.mark.parametrize(("path", "threads"), [("/sleep", "1"), ("/lock", "2")])
def test_finished_answers_of_the_round_are_not_lost(path: str, threads: str) -> None:
    """Quick requests that were ready with one that hangs have their answers long before its deadline."""
    options = ("--threads", threads, "--harakiri", "3", "--harakiri-graceful-timeout", "1")
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
        assert clients[-1].receive().status == 504
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
        assert client.read_to_end().startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
        server.wait_for_log(r"^HARAKIRI: GET /lock\?a from 192\.0\.2\.7 has run for 1\.\d s on core 0 of worker 1 ")


def test_few_waiting_clients_put_it_off() -> None:
    """harakiri-queue-threshold: a stuck worker is left alone until that many clients wait."""
    options = ("--harakiri", "1", "--harakiri-graceful-timeout", "0.5", "--harakiri-queue-threshold", "3")
    with ServerProcess(*STUCK, *options, "--no-defer-accept") as server, server.connect(timeout=60) as client:
        client.send(ask("/habit"))
        assert client.receive().status == 504
        line = r"^HARAKIRI: Skipping harakiri on worker 1\. Listen queue is smaller than the threshold \(%d < 3\)$"
        server.wait_for_log(line % 0, count=2, timeout=30)
        waiting = [server.connect(timeout=60) for _ in range(3)]
        for one in waiting:
            one.send(ask("/"))
            assert one.receive().status == 200
            one.close()


def test_everybody_stuck_at_once() -> None:
    """Four workers that hang for the same reason at the same time are all told apart, and go on."""
    options = ("--processes", "4", "--harakiri", "1")
    with ServerProcess(*STUCK, *options) as server:
        before = server.worker_pids
        clients = [server.connect(timeout=30) for _ in range(4)]
        for number, client in enumerate(clients):
            client.send(ask(f"/lock?{number}"))
        for client in clients:
            assert client.receive().status == 504
            client.close()
        server.wait_for_log(r"^HARAKIRI: GET /lock", count=4, timeout=30)
        assert server.log.count("in stuck_in_lock") >= 4
        named = re.findall(
            r"^HARAKIRI: GET /lock\S* from 127\.0\.0\.1 .* of worker (\d) \(pid: (\d+)\)", server.log, re.M
        )
        assert {int(wid): int(pid) for wid, pid in named} == before
        assert server.get("/").status == 200
        assert server.worker_pids == before


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


def test_master_sleeps_between_deadlines(idle_master: Callable[[ServerProcess], int], tmp_path: Path) -> None:
    """With harakiri the master looks when a deadline can be due, not every second or tick."""
    hidden = {"XDG_RUNTIME_DIR": str(tmp_path)}  # from other tests, which ask all servers of this user how they are
    with ServerProcess(*STUCK, "--harakiri", "30", environment=hidden) as server:
        for _ in range(3):
            assert server.get("/").status == 200

        def sleeps_on() -> bool:
            before = idle_master(server)
            time.sleep(2.5)
            return idle_master(server) - before <= 1

        assert any(sleeps_on() for _ in range(4))  # what follows the start may take a busy machine some seconds


@pytest.mark.parametrize(("path", "threads"), [("/habit", "1"), ("/power", "1"), ("/power", "4"), ("/lock", "4")])
def test_without_a_master_the_process_ends(path: str, threads: str) -> None:
    """Nobody could replace it, so the supervisor has to notice: exit code 1, with the stack in the log."""
    options = ("--master=false", "--threads", threads, "--harakiri", "1", "--harakiri-graceful-timeout", "0.5")
    with ServerProcess(*STUCK, *options) as server, server.connect(timeout=30) as client:
        started = time.monotonic()
        client.send(ask(path))
        if path in HOLDING_THE_INTERPRETER:
            with pytest.raises((ConnectionEnded, ConnectionResetError)):
                client.receive()
        else:
            assert client.receive().status == 504
        assert server.wait_end(30) == 1
        assert 1.5 <= time.monotonic() - started < 2.5 + TOLERANCE
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
        client.send(ask("/sleep"))
        assert client.receive().status == 504
        time.sleep(1)
        assert pid_of(server) == server.pid


def test_worker_of_a_former_image_has_its_deadline_too() -> None:
    """After a reload the master is another program; a worker that cannot leave shows its stacks to it all the same."""
    options = ("--threads", "2", "--harakiri", "4", "--harakiri-graceful-timeout", "0.5")
    with ServerProcess(*STUCK, *options) as server, server.connect(timeout=60) as client:
        pid = pid_of(server)
        client.send(ask("/lock"))
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload complete", timeout=30)
        assert "HARAKIRI" not in server.log
        assert client.receive().status == 504
        server.wait_for_log(rf"^HARAKIRI: GET /lock .* worker 1 \(pid: {pid}\); harakiri allows 4 s$", timeout=30)
        server.wait_for_log(r"in stuck_in_lock$", timeout=30)
        assert pid_of(server) != pid
