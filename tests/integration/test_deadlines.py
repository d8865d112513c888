"""A request whose time is over ends alone: 504 to its client, a report, and nobody else notices."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client import BadResponse, ConnectionEnded, RawClient, Response
from tests.support.server import ServerProcess
from uwsgi_deploy.protocol.uwsgi import encode_variables

LIMIT, GRACE = 1.0, 1.0
# The promise is a second; this machine may be busy with other things.
TOLERANCE = 3.0
LATE = ("--http-socket", "127.0.0.1:0", "--module", "late", "--harakiri-graceful-timeout", str(GRACE))
LIMITED = (*LATE, "--harakiri", str(LIMIT))
ENGINES = {"prefork": (), "threads": ("--threads", "4"), "gevent": ("--gevent", "20")}
# What `--log-format` writes, so that lines are easy to find.
LINES = ("--log-format", "line %(method) %(uri) %(status) end")
# Threads that wait in C code cannot be interrupted, but for the main thread.
UNREACHABLE = {("threads", "sleep"), ("threads", "lock"), ("threads", "read_socket")}


def ask(path: str, **headers: str) -> bytes:
    """A request's bytes."""
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"GET /{path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n".encode()


@contextmanager
def siblings(server: ServerProcess, count: int = 2) -> Iterator[list[int]]:
    """Clients that ask on and on, each request on a new connection; the pids that answered. All must be answered."""
    answered: list[int] = []
    failed: list[BaseException] = []
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                answered.append(json.loads(server.get("/").body))
            except BaseException as error:
                failed.append(error)
            over.wait(0.02)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    yield answered
    over.set()
    for thread in threads:
        thread.join(60)
    assert failed == []


@pytest.mark.parametrize("way", ["sleep", "busy", "lock", "read_socket"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_late_request_ends_alone(engine: str, way: str) -> None:
    """504 in time on a connection that is closed then; line and report; siblings are answered, the worker lives on."""
    with ServerProcess(*LIMITED, *LINES, "--processes", "2", *ENGINES[engine]) as server, siblings(server) as answered:
        before = set(server.worker_pids.values())
        with server.connect(timeout=30) as client:
            started = time.monotonic()
            client.send(ask(way))
            answer = client.receive()
            taken = time.monotonic() - started
            assert (answer.status, answer.header("connection")) == (504, "close")
            assert answer.body == b"504 Gateway Timeout: The request took too long and was ended.\n"
            assert client.ended()
        server.wait_for_log(
            rf"^HARAKIRI: GET /{way} from 127\.0\.0\.1 has run for .*; harakiri allows 1 s$", timeout=30
        )
        server.wait_for_log(rf"in {way}$", timeout=30)
        assert server.log.count(f"line GET /{way} 504 end") == 1
        assert taken >= LIMIT
        if "(deadline, answered_504)" in server.log:
            assert taken < LIMIT + TOLERANCE
            known = len(answered)
            server.get("/")
            assert set(server.worker_pids.values()) == before
            assert known > 10
        else:
            assert (engine, way) in UNREACHABLE
            assert "(hard, answered_504)" in server.log
            assert taken < LIMIT + GRACE + TOLERANCE
            server.wait_for_log(r"^Respawned uWSGI worker", timeout=30)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stream_is_cut(engine: str) -> None:
    """The client cannot take what came for whole; `on_timeout` is called; the worker lives on."""
    with ServerProcess(*LIMITED, *LINES, *ENGINES[engine]) as server, server.connect(timeout=30) as client:
        pid = server.get("/").body
        client.send(ask("stream"))
        received = client.read_to_end()
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"block" in received
        assert not received.endswith(b"0\r\n\r\n")
        server.wait_for_log(r"^line GET /stream 504 end$", timeout=30)
        server.wait_for_log(r"\(deadline, cut\)$", timeout=30)
        server.wait_for_log(r"^on_timeout in ", timeout=30)
        assert server.get("/").body == pid


@pytest.mark.parametrize("engine", ENGINES)
def test_a_body_that_does_not_come(engine: str) -> None:
    """Without buffering a core waits for its client, and that wait can be interrupted in any engine."""
    options = (*LIMITED, "--post-buffering", "0", *ENGINES[engine])
    with ServerProcess(*options) as server, server.connect(timeout=30) as client:
        pid = server.get("/").body
        client.send(b"POST /read_body HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345")
        assert client.receive("POST").status == 504
        server.wait_for_log(r"^  request   phase reading body", timeout=30)
        server.wait_for_log(r"\(deadline, answered_504\)$", timeout=30)
        assert server.get("/").body == pid


@pytest.mark.parametrize("engine", ENGINES)
def test_who_swallows_the_exception_is_answered_for(engine: str) -> None:
    """The worker's own watchdog answers, once; a successor serves, and the worker is gone soon."""
    options = (*LIMITED, *LINES, "--processes", "2", *ENGINES[engine])
    with ServerProcess(*options) as server, siblings(server), server.connect(timeout=30) as client:
        before = set(server.worker_pids.values())
        started = time.monotonic()
        client.send(ask("swallow", Accept="application/json"))
        answer = client.receive()
        assert LIMIT + GRACE <= time.monotonic() - started < LIMIT + GRACE + TOLERANCE
        assert (answer.status, answer.header("content-type")) == (504, "application/json")
        assert json.loads(answer.body)["status"] == 504
        assert client.ended()
        server.wait_for_log(r"^swallowed$", timeout=30)
        server.wait_for_log(r"\(hard, answered_504\)$", timeout=30)
        server.wait_for_log(r"^Respawned uWSGI worker", timeout=30)
        assert server.log.count("line GET /swallow 504 end") == 1
        assert len(before - set(server.worker_pids.values())) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stream_that_swallows_the_exception_is_cut(engine: str) -> None:
    """At the hard instant, not when the worker ends, which may wait for others."""
    options = (*LIMITED, *LINES, "--harakiri-routes", "^/sleep=off", *ENGINES[engine])
    with ServerProcess(*options) as server, server.connect(timeout=30) as client, server.connect(timeout=30) as other:
        if engine != "prefork":
            other.send(ask("sleep?8"))
        started = time.monotonic()
        client.send(ask("swallow_stream"))
        received = client.read_to_end()
        assert LIMIT + GRACE <= time.monotonic() - started < LIMIT + GRACE + TOLERANCE
        assert b"block" in received
        assert not received.endswith(b"0\r\n\r\n")
        server.wait_for_log(r"^line GET /swallow_stream 504 end$", timeout=30)
        server.wait_for_log(r"^Respawned uWSGI worker 1", timeout=30)
        if engine != "prefork":
            assert other.receive().body == b'"slept"'


def test_children_of_the_application_have_no_deadlines() -> None:
    """What a forked process says about its time does not touch the request that forked it."""
    with ServerProcess(*LIMITED) as server:
        assert server.get("/forked").body == b'"forked"'
        assert "HARAKIRI" not in server.log


@pytest.mark.parametrize("engine", ENGINES)
def test_what_applications_say(engine: str) -> None:
    """deadline(), @harakiri, extend_deadline(), routes by name and by path, an own page: all in one worker."""
    routes = ("--harakiri-routes", "^/sleep=off", "--harakiri-routes", "long=off", "--harakiri-routes", "brief=0.3")
    with ServerProcess(*LIMITED, *routes, *ENGINES[engine]) as server:
        pid = server.get("/").body
        wanted = {
            "block": (200, b'"caught"', 0.8),
            "uncaught": (504, None, 0.3),
            "exempt": (200, b'"exempt"', 2.0),
            "short": (504, None, 0.3),
            "extend": (200, b'"extended"', 2.0),
            "named?long": (200, b'"named"', 2.0),
            "named?brief": (504, None, 0.3),
            "named?other": (504, None, 1.0),
            "sleep?2": (200, b'"slept"', 2.0),
            "paged": (504, b"page", 1.8),
        }
        answers: dict[str, tuple[Response, float]] = {}

        def get(path: str) -> None:
            started = time.monotonic()
            answers[path] = server.get(f"/{path}"), time.monotonic() - started

        if engine == "prefork":
            for path in wanted:
                get(path)
        else:
            for half in (list(wanted)[0::3], list(wanted)[1::3], list(wanted)[2::3]):
                threads = [threading.Thread(target=get, args=(path,)) for path in half]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(60)
        for path, (status, body, seconds) in wanted.items():
            answer, taken = answers[path]
            assert answer.status == status, path
            assert body is None or answer.body == body, path
            assert seconds <= taken < seconds + TOLERANCE, path
        assert server.get("/").body == pid
        for path, origin in (
            ("uncaught", r"deadline\(\) allows 0\.3 s"),
            ("short", r"@harakiri allows 0\.3 s"),
            (r"named\?brief", r"harakiri-routes: brief allows 0\.3 s"),
            (r"named\?other", "harakiri allows 1 s"),
            ("block", r"deadline\(\) allows 0\.3 s"),
        ):
            server.wait_for_log(rf"^HARAKIRI: GET /{path} from .*; {origin}$", timeout=30)
        assert server.log.count("on_timeout in ") == 5


def test_accepting_json_means_json() -> None:
    """The client says what it prefers; a HEAD has no body."""
    with ServerProcess(*LATE, "--harakiri", "0.3") as server:
        for accept, kind in (
            ("application/json", "application/json"),
            ("text/html, application/json;q=0.9", "text/plain; charset=utf-8"),
            ("application/problem+json, */*;q=0.1", "application/json"),
        ):
            with server.connect(timeout=30) as client:
                client.send(ask("busy", Accept=accept))
                assert client.receive().header("content-type") == kind
        with server.connect(timeout=30) as client:
            client.send(ask("busy").replace(b"GET", b"HEAD"))
            assert client.receive("HEAD").status == 504
            assert client.read_to_end() == b""


def test_a_whole_response_is_none_the_less_whole() -> None:
    """What hangs in close() ends, and its client has had its answer."""
    with ServerProcess(*LIMITED, *LINES) as server, server.connect(timeout=30) as client:
        client.send(ask("slow_close"))
        assert client.receive().body == b"whole"
        server.wait_for_log(r"^line GET /slow_close 200 end$", timeout=30)
        server.wait_for_log(r"^HARAKIRI: GET /slow_close from ", timeout=30)
        assert server.get("/").status == 200


def test_soft_reports_let_requests_go_on() -> None:
    """A report with the stack when the request is slow, and a line when it is over."""
    with ServerProcess(*LATE, "--soft-harakiri", "0.5") as server:
        assert server.get("/sleep?1.2").body == b'"slept"'
        server.wait_for_log(r"^HARAKIRI: GET /sleep\S* from .*; soft-harakiri allows 0\.5 s$", timeout=30)
        server.wait_for_log(r"\(soft, (?:continues|completed)\)$", timeout=30)
        server.wait_for_log(r"^HARAKIRI: the request of report \S+ has ended after 1\.\d s: completed, status 200$")
        assert server.get("/sleep?0.2").body == b'"slept"'
        assert server.log.count("soft-harakiri allows") == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_without_a_master(engine: str) -> None:
    """The same, as long as the request can be reached."""
    with ServerProcess(*LIMITED, "--master=false", *ENGINES[engine]) as server:
        for path in ("busy", "short", "stream"):
            with server.connect(timeout=30) as client:
                client.send(ask(path))
                if path == "stream":
                    with pytest.raises(ConnectionEnded):
                        client.receive()
                else:
                    assert client.receive().status == 504
        assert json.loads(server.get("/").body) == server.pid


def test_the_uwsgi_protocol(tmp_path: Path) -> None:
    """A web server in front gets its 504, too."""
    path = tmp_path / "app.sock"
    variables = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/busy", "PATH_INFO": "/busy", "QUERY_STRING": ""}
    variables |= {"REMOTE_ADDR": "192.0.2.7", "SCRIPT_NAME": ""}
    options = ("--uwsgi-socket", str(path), "--module", "late", "--harakiri", "0.5")
    with ServerProcess(*options) as server, RawClient(str(path), timeout=30) as client:
        client.send(encode_variables(variables))
        answer = client.read_to_end()
        assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
        assert b"Connection: close" not in answer
        server.wait_for_log(r"^HARAKIRI: GET /busy from 192\.0\.2\.7 has run for ", timeout=30)


STRESS_SECONDS = 5.0


@pytest.mark.parametrize("engine", ENGINES)
def test_deadlines_at_random_instants(engine: str) -> None:
    """Whatever the server does at that instant: each response is whole, or 504, or visibly cut; no worker is lost."""
    options = (*LATE, "--harakiri", "30", "--processes", "2", "--disable-logging", "--harakiri-sinks", "ring")
    with ServerProcess(*options, *ENGINES[engine]) as server:
        before = server.worker_pids
        counts = dict.fromkeys(("whole", "timeout", "cut"), 0)
        wrong: list[str] = []
        until = time.monotonic() + STRESS_SECONDS
        numbers = iter(range(1_000_000))

        def run() -> None:
            client: RawClient | None = None
            while time.monotonic() < until and not wrong:
                number = next(numbers)
                try:
                    client = client or server.connect(timeout=30)
                    client.send(ask(f"whatever?{number}"))
                    answer = client.receive()
                except (ConnectionEnded, ConnectionError):
                    counts["cut"] += 1
                    client = None
                    continue
                except BadResponse as error:
                    wrong.append(f"{number}: {error}")
                    return
                if answer.status == 504:
                    counts["timeout"] += 1
                    if not answer.body.startswith(b"504 Gateway Timeout: "):
                        wrong.append(f"{number}: {answer}")
                elif answer.status != 200 or str(len(answer.body)) != answer.header("x-length"):
                    wrong.append(f"{number}: {answer.status} {answer.headers} {len(answer.body)}")
                else:
                    counts["whole"] += 1
                if answer.header("connection") == "close":
                    client.close()
                    client = None

        threads = [threading.Thread(target=run) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert wrong == []
        assert min(counts.values()) > 5, counts
        assert sum(counts.values()) > 300, counts
        # All cores are there: as many requests as there are run at the same time.
        cores = {"prefork": 2, "threads": 8, "gevent": 40}[engine]
        clients = [server.connect(timeout=30) for _ in range(cores)]
        for client in clients:
            client.send(ask("sleep?0.5"))
        assert all(client.receive().status == 200 for client in clients)
        for client in clients:
            client.close()
        assert server.worker_pids == before
        assert not re.search(r"^DAMN|Traceback", server.log, re.M), server.log
