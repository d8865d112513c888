"""Harakiri's hard stage: a worker whose interpreter is held is ended from outside, and its clients get an answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import ConnectionEnded, RawClient
from tests.support.readable import readable_launcher
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until
from uwsgi_deploy.protocol.uwsgi import encode_variables

NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))

LIMIT, GRACE = 1.0, 0.5
# An answer within a second of the hard instant; this machine may be busy with other things.
PROMISE, TOLERANCE = 1.0, 3.0
# Reports of former runs would be remembered: the log does not repeat a stack that it has shown before.
UNKNOWN = ("--harakiri-dir", "off")
HELD = ("--module", "held", "--harakiri", str(LIMIT), "--harakiri-graceful-timeout", str(GRACE), *UNKNOWN)
HTTP = ("--http-socket", "127.0.0.1:0", *HELD)
ENGINES = {"prefork": (), "threads": ("--threads", "4"), "gevent": ("--gevent", "20")}


def ask(path: str, method: str = "GET") -> bytes:
    """A request's bytes."""
    return f"{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n".encode()


def runs(server: ServerProcess, count: int = 1) -> None:
    """Wait until so many requests that last have begun."""
    server.wait_for_log(r"^at /", count=count, timeout=30)


def descriptors(pid: int) -> list[str]:
    """What a process has open."""
    return sorted(os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("engine", ENGINES)
def test_held_interpreter(engine: str) -> None:
    """The client of a kept connection has 504 in time; the log has its line, its report and stack; others serve."""
    options = (
        "--processes",
        "2",
        *ENGINES[engine],
        "--log-format",
        "%(addr) %(method) %(uri) %(status) %(proto) %(core)",
    )
    with ServerProcess(*HTTP, *options) as server, server.connect(timeout=30) as client:
        before = server.worker_pids
        client.send(ask("/"))
        pid = int(client.receive().body)
        (wid,) = (wid for wid, worker in before.items() if worker == pid)
        started = time.monotonic()
        client.send(ask("/hold?a"))
        answer = client.receive()
        taken = time.monotonic() - started
        assert (answer.status, answer.header("connection")) == (504, "close")
        assert answer.body.startswith(b"504 Gateway Timeout: ")
        assert client.ended()
        assert LIMIT + GRACE <= taken < LIMIT + GRACE + PROMISE + TOLERANCE
        server.wait_for_log(rf"^Respawned uWSGI worker {wid} \(new pid: \d+\)$", timeout=30)
        log = server.log
        (core,) = re.findall(r"^127\.0\.0\.1 GET /hold\?a 504 - (\d)$", log, re.M)
        assert re.search(rf"^\*\*\* HARAKIRI ON WORKER {wid} \(pid: {pid}, try: 1, graceful: no\) \*\*\*$", log, re.M)
        assert re.search(
            rf"^HARAKIRI: GET /hold\S* from 127\.0\.0\.1 has run for \S+ s on core {core} of worker", log, re.M
        )
        assert re.search(r"^    File \"\S+/held\.py\", line \d+ in hold$", log, re.M)
        assert f"HARAKIRI triggered by worker {wid} core {core} !!!" in log
        assert pid not in server.session_pids()
        assert set(before.values()) - {pid} <= server.session_pids()
        assert server.get("/").status == 200


def test_siblings_are_answered_too() -> None:
    """They cannot end where the interpreter is held: 503, and whoever may ask again is told so."""
    with ServerProcess(*HTTP, "--threads", "4", "--harakiri", "50") as server:
        clients = [server.connect(timeout=30) for _ in range(3)]
        clients[0].send(ask("/wait?50"))
        clients[1].send(ask("/wait?50", "POST"))
        runs(server, 2)
        clients[2].send(ask("/hold?1"))
        reader, writer, guilty = (client.receive() for client in clients)
        assert guilty.status == 504
        assert (reader.status, reader.header("retry-after")) == (503, "1")
        assert (writer.status, writer.header("retry-after")) == (503, None)
        assert guilty.header("retry-after") is None
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        lines = re.findall(r"(GET|POST) (/\w+)\S* => .* \(- (\d+)\) ", server.log)
        assert sorted(lines) == [("GET", "/hold", "504"), ("GET", "/wait", "503"), ("POST", "/wait", "503")]
        assert len(re.findall(r"^\*\*\* HARAKIRI ON WORKER 1", server.log, re.M)) == 1
        for client in clients:
            client.close()


def test_several_overdue_at_once() -> None:
    """Each has its answer and its report."""
    with ServerProcess(*HTTP, "--threads", "4") as server:
        clients = [server.connect(timeout=30) for _ in range(3)]
        clients[0].send(ask("/wait?50"))
        clients[1].send(ask("/wait?60"))
        runs(server, 2)
        clients[2].send(ask("/hold"))
        assert {client.receive().status for client in clients} == {504}
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        assert sorted(re.findall(r"^HARAKIRI triggered by worker 1 core (\d) !!!$", server.log, re.M)) != []
        for client in clients:
            client.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_suspended_worker(engine: str) -> None:
    """It shows no stacks, and does not have to run for its clients to be answered."""
    with ServerProcess(*HTTP, *ENGINES[engine]) as server, server.connect(timeout=30) as client:
        client.send(ask("/wait?100"))
        runs(server, 1)
        os.kill(server.worker_pids[1], signal.SIGSTOP)
        assert client.receive().status == 504
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        assert server.get("/").status == 200


def test_uwsgi_protocol(tmp_path: Path) -> None:
    """A web server in front gets the answer like any other."""
    place = tmp_path / "app.sock"
    variables = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/hold?a", "PATH_INFO": "/hold", "QUERY_STRING": "a"}
    variables |= {"REMOTE_ADDR": "192.0.2.7", "SCRIPT_NAME": "", "SERVER_PROTOCOL": "HTTP/1.1"}
    options = ("--uwsgi-socket", str(place), *HELD)
    with ServerProcess(*options) as server, RawClient(str(place), timeout=30) as client:
        client.send(encode_variables(variables))
        answer = client.receive()
        assert answer.status == 504
        assert client.ended()
        server.wait_for_log(r"^\[pid: \d+\|.*\] 192\.0\.2\.7 \(\) .* GET /hold\?a => .* \(- 504\) ")


@pytest.fixture(params=["uwsgi", "proxy"])
def behind_nginx(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ServerProcess, str]]:
    """A server and the address of a real nginx before it, which speaks uwsgi or HTTP to it."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    tmp_path.chmod(0o755)
    place = tmp_path / "app.sock"
    kind = request.param
    option = "--uwsgi-socket" if kind == "uwsgi" else "--http-socket"
    fields = (
        "REQUEST_METHOD $request_method;REQUEST_URI $request_uri;PATH_INFO $document_uri;QUERY_STRING $query_string"
    )
    parameters = "".join(f"uwsgi_param {field}; " for field in f"{fields};REMOTE_ADDR $remote_addr".split(";"))
    passing = f"{parameters} uwsgi_pass unix:{place};" if kind == "uwsgi" else f"proxy_pass http://unix:{place};"
    configuration = tmp_path / "nginx.conf"
    folders = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in ("proxy", "uwsgi", "fastcgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(
        f"daemon off; {user} worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/error.log;"
        f"events {{}} http {{ access_log off; client_body_temp_path {tmp_path}/body; {folders}"
        f"server {{ listen unix:{tmp_path}/front.sock; location / {{ {passing} }} }} }}"
    )
    with ServerProcess(option, str(place), *HELD) as server:
        nginx = subprocess.Popen([NGINX, "-p", tmp_path, "-c", configuration, "-e", tmp_path / "error.log"])
        try:
            wait_until((tmp_path / "front.sock").exists, 20, what="nginx")
            yield server, str(tmp_path / "front.sock")
        finally:
            nginx.terminate()
            nginx.wait(20)


def test_behind_nginx(behind_nginx: tuple[ServerProcess, str]) -> None:
    """Its client has the server's 504, not nginx's own 502 for a connection that broke."""
    server, address = behind_nginx
    with RawClient(address, timeout=30) as client:
        client.send(ask("/hold"))
        answer = client.receive()
        assert answer.status == 504
        assert b"nginx" not in answer.body
    server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)


def test_worker_that_leaves_has_its_deadline_too() -> None:
    """During a reload the master is another program when the time is over."""
    options = (
        "--http-socket",
        "127.0.0.1:0",
        "--module",
        "held",
        "--harakiri",
        "5",
        "--harakiri-graceful-timeout",
        "1",
    )
    with ServerProcess(*options, "--threads", "2", *UNKNOWN) as server, server.connect(timeout=60) as client:
        pid = server.worker_pids[1]
        client.send(ask("/hold"))
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload complete", timeout=30)
        assert client.receive().status == 504
        server.wait_for_log(rf"^\*\*\* HARAKIRI ON WORKER 1 \(pid: {pid}, try: 1, graceful: no\) \*\*\*$", timeout=30)
        assert re.search(r"^    File \"\S+/held\.py\", line \d+ in hold$", server.log, re.M)
        assert server.get("/").status == 200
        assert len(re.findall(r" => .* \(- 504\) ", server.log)) == 1


def test_stopping_server_answers_too() -> None:
    """A request that cannot end holds a stop up to its hard instant."""
    with ServerProcess(*HTTP, "--worker-reload-mercy", "60") as server, server.connect(timeout=30) as client:
        client.send(ask("/hold"))
        runs(server)
        server.signal(signal.SIGTERM)
        assert client.receive().status == 504
        assert server.wait_end(30) == 0


def test_disable_logging() -> None:
    """Nobody asked for the line; log-5xx does."""
    for options, lines in ((("--disable-logging",), 0), (("--disable-logging", "--log-5xx"), 1)):
        with ServerProcess(*HTTP, *options) as server, server.connect(timeout=30) as client:
            client.send(ask("/hold"))
            assert client.receive().status == 504
            server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
            assert len(re.findall(r" => generated ", server.log)) == lines


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_server_that_changed_its_user() -> None:
    """The kernel closes processes that were root to all others: the workers let their master in."""
    server = ServerProcess(*HTTP, "--uid", "nobody", launcher=readable_launcher())
    with server, server.connect(timeout=30) as client:
        client.send(ask("/hold"))
        assert client.receive().status == 504
        assert "pidfd_getfd" not in server.log
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        assert server.get("/").status == 200


def hang_up(server: ServerProcess, count: int) -> Sequence[int]:
    """Have so many clients ask for what hangs, all at once; their statuses."""
    clients = [server.connect(timeout=60) for _ in range(count)]
    for client in clients:
        client.send(ask("/hold"))
    try:
        return [client.receive().status for client in clients]
    finally:
        for client in clients:
            client.close()


def test_nothing_is_left_behind() -> None:
    """After fifty of them the master has the same open as after the first ones."""
    options = ("--processes", "5", "--harakiri", "0.3", "--harakiri-graceful-timeout", "0.1", "--disable-logging")
    with ServerProcess("--http-socket", "127.0.0.1:0", "--module", "held", *options) as server:
        assert hang_up(server, 5) == [504] * 5
        server.wait_for_log(r"^Respawned uWSGI worker", count=5, timeout=60)
        before = descriptors(server.pid)
        for turn in range(2, 11):
            assert hang_up(server, 5) == [504] * 5
            server.wait_for_log(r"^Respawned uWSGI worker", count=5 * turn, timeout=60)
        wait_until(lambda: descriptors(server.pid) == before, 10, what="the same descriptors")
        assert server.get("/").status == 200


def test_client_that_has_left() -> None:
    """Nobody is there to be answered, and the worker is replaced all the same."""
    with ServerProcess(*HTTP) as server:
        with server.connect(timeout=30) as client:
            client.send(ask("/hold"))
            runs(server, 1)
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        assert server.get("/").status == 200


def test_response_that_has_begun_is_cut() -> None:
    """It does not look whole, and no second answer is written into it."""
    with ServerProcess(*HTTP) as server, server.connect(timeout=30) as client:
        client.send(ask("/begun"))
        with pytest.raises((ConnectionEnded, ConnectionResetError)):
            client.receive()
        assert b"504" not in client.buffer
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        server.wait_for_log(r"GET /begun => generated 0 bytes .* \(- 504\)")


def test_interpreter_that_is_held_in_the_main_thread() -> None:
    """A regular expression looks for signals: the master sends one at the deadline, and the worker lives on."""
    options = ("--module", "held", "--harakiri", "1", "--harakiri-graceful-timeout", "20")
    with ServerProcess("--http-socket", "127.0.0.1:0", *options) as server, server.connect(timeout=30) as client:
        pid = int(server.get("/").body)
        started = time.monotonic()
        client.send(ask("/match"))
        assert client.receive().status == 504
        assert time.monotonic() - started < 1 + PROMISE + TOLERANCE
        assert int(server.get("/").body) == pid
        assert "HARAKIRI ON WORKER" not in server.log


@pytest.mark.parametrize("engine", ["threads", "gevent"])
def test_siblings_that_can_run_finish(engine: str) -> None:
    """What nobody can interrupt is answered by its own worker; its siblings end in peace, a successor serves."""
    options = (*ENGINES[engine], "--harakiri-routes", "^/wait=60")
    with ServerProcess(*HTTP, *options) as server, server.connect(timeout=60) as sibling:
        guilty = server.connect(timeout=60)
        pid = server.worker_pids[1]
        sibling.send(ask("/wait?6"))
        runs(server, 1)
        guilty.send(ask("/defy?1000"))
        started = time.monotonic()
        assert guilty.receive().status == 504
        assert LIMIT + GRACE <= time.monotonic() - started < LIMIT + GRACE + PROMISE + TOLERANCE
        server.wait_for_log(
            rf"^HARAKIRI: worker 1 \(pid: {pid}\) takes no new requests and is replaced; its other request has its own",
            timeout=20,
        )
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=20)
        wait_until(lambda: int(server.get("/").body) != pid, 10, what="an answer of the successor")
        assert int(sibling.receive().body) == pid
        wait_until(lambda: pid not in server.session_pids(), 20, what="the end of the worker")
        assert len(re.findall(r"GET /defy\?1000 => .* 504\) ", server.log)) == 1
        assert len(re.findall(r"^\*\*\* HARAKIRI ON WORKER 1", server.log, re.M)) == 1
        guilty.close()


def test_report_is_kept_and_delivered_by_the_successor(tmp_path: Path) -> None:
    """The worker that it is about did not live to do it."""
    folder = tmp_path / "reports"
    with ServerProcess(*HTTP, "--harakiri-dir", str(folder)) as server, server.connect(timeout=30) as client:
        client.send(ask("/hold?"))
        assert client.receive().status == 504

        def report() -> dict[str, Any]:
            (file,) = folder.glob("*.json")
            found = json.loads(file.read_bytes())
            assert isinstance(found, dict)
            return found

        wait_until(lambda: any(folder.glob("*.json")), 20, what="a report")
        first = report()
        assert (first["kind"], first["outcome"], first["request"]["path"]) == ("hard", "killed", "/hold")
        assert any(frame["function"] == "hold" for frame in first["stack"])
        wait_until(lambda: report()["delivered"], 20, what="its delivery")
        assert report()["delivered_late"] is True
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=20)


def test_graceful_signal_that_does_not_help() -> None:
    """At the hard instant the worker is killed; a successor serves before, since signal 15 makes it leave."""
    options = (*HTTP, "--harakiri-graceful-timeout", "2", "--harakiri-graceful-signal", "15", "--threads", "2")
    with ServerProcess(*options) as server, server.connect(timeout=30) as client:
        pid = int(server.get("/").body)
        started = time.monotonic()
        client.send(ask("/hold"))
        server.wait_for_log(
            r"^HARAKIRI: graceful termination attempt on worker 1 with signal 15 \(SIGTERM\)", timeout=30
        )
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        assert int(server.get("/").body) != pid
        assert client.receive().status == 504
        assert LIMIT + 2 <= time.monotonic() - started < LIMIT + 2 + PROMISE + TOLERANCE
        for words in ("try: 1, graceful: yes", "try: 2, graceful: no"):
            server.wait_for_log(rf"^\*\*\* HARAKIRI ON WORKER 1 \(pid: {pid}, {words}\) \*\*\*$", timeout=20)


def test_few_waiting_clients_put_it_off() -> None:
    """harakiri-queue-threshold: a stuck worker is left alone until that many clients wait."""
    options = ("--harakiri-queue-threshold", "3", "--no-defer-accept")
    with ServerProcess(*HTTP, *options) as server, server.connect(timeout=60) as client:
        client.send(ask("/hold"))
        line = r"^HARAKIRI: Skipping harakiri on worker 1\. Listen queue is smaller than the threshold \(0 < 3\)$"
        server.wait_for_log(line, count=2, timeout=30)
        waiting = [server.connect(timeout=60) for _ in range(3)]
        assert client.receive().status == 504
        for one in waiting:
            one.send(ask("/"))
            assert one.receive().status == 200
            one.close()


def test_everybody_is_held_at_once() -> None:
    """Four workers that hang for the same reason at the same time are all told apart and replaced."""
    with ServerProcess(*HTTP, "--processes", "4") as server:
        assert hang_up(server, 4) == [504] * 4
        server.wait_for_log(r"^Respawned uWSGI worker", count=4, timeout=60)
        triggered = re.findall(r"^HARAKIRI triggered by worker (\d) core 0 !!!$", server.log, re.M)
        assert sorted(triggered) == ["1", "2", "3", "4"]
        assert len(re.findall(r"held\.py:\d+ in hold$", server.log, re.M)) == 4
        assert server.get("/").status == 200


def test_master_that_is_replaced_meanwhile() -> None:
    """Its next image goes on: the siblings of an isolated worker finish, and nobody is answered or told of twice."""
    options = (*ENGINES["threads"], "--harakiri-routes", "^/wait=60")
    with ServerProcess(*HTTP, *options) as server, server.connect(timeout=60) as sibling:
        pid = server.worker_pids[1]
        sibling.send(ask("/wait?12"))
        runs(server, 1)
        with server.connect(timeout=60) as guilty:
            guilty.send(ask("/defy?1000"))
            assert guilty.receive().status == 504
        server.wait_for_log(rf"^HARAKIRI: worker 1 \(pid: {pid}\) takes no new requests", timeout=20)
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^gracefully \(RE\)spawned uWSGI master process", timeout=60)
        assert pid in server.session_pids()
        assert int(sibling.receive().body) == pid
        wait_until(lambda: pid not in server.session_pids(), 30, what="the end of the worker")
        server.wait_for_log(r"^\*\*\* reload complete", timeout=60)
        assert len(re.findall(r"GET /defy\?1000 => .* 504\) ", server.log)) == 1
        assert len(re.findall(r"^\*\*\* HARAKIRI ON WORKER 1", server.log, re.M)) == 1
        assert server.get("/").status == 200
