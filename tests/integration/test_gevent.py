"""Workers whose cores are greenlets: what is patched when, who shares what, who waits for whom, and how they end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.load import Load
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

MANY = 200


@contextmanager
def green(*options: str, cores: int = 300) -> Iterator[ServerProcess]:
    with ServerProcess("--http-socket", "127.0.0.1:0", "--module", "green", "--gevent", str(cores), *options) as server:
        yield server


def text(server: ServerProcess, path: str) -> str:
    response = server.get(path)
    assert response.status == 200
    return response.body.decode()


def at_once(server: ServerProcess, path: str, count: int) -> tuple[list[str], float]:
    """The answers to as many requests at the same time, and the seconds that they took together."""
    with ExitStack() as clients:
        connections = [clients.enter_context(server.connect(timeout=30)) for _ in range(count)]
        started = time.monotonic()
        for connection in connections:
            connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answers = [connection.receive().body.decode() for connection in connections]
        return answers, time.monotonic() - started


# -- patching ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "patched patched"),
        (("--lazy-apps",), "patched patched"),
        (("--master=false",), "patched patched"),
        (("--gevent-early-monkey-patch=false",), "native native"),
        (("--gevent-early-monkey-patch=false", "--gevent-monkey-patch"), "native patched"),
    ],
)
def test_when_the_standard_library_is_patched(options: tuple[str, ...], expected: str) -> None:
    """Before the application is imported, unless that is switched off."""
    with green(*options) as server:
        assert text(server, "/patched") == expected
        assert "Warning" not in server.log or expected == "native patched"


def test_missing_gevent_is_a_sentence(tmp_path: Path) -> None:
    """One line that names the extra, and no traceback."""
    (tmp_path / "gevent.py").write_text("raise ModuleNotFoundError(\"No module named 'gevent'\", name='gevent')\n")
    server = ServerProcess("--http-socket", "127.0.0.1:0", "--module", "green", "--gevent", "10", wait=False)
    server.environment["PYTHONPATH"] = f"{tmp_path}:{server.environment['PYTHONPATH']}"
    with server:
        assert server.wait_end() == 1
        assert "pip install 'uwsgi-deploy[gevent]'" in server.log
        assert "Traceback" not in server.log


def test_threads_and_greenlets_are_too_much() -> None:
    with ServerProcess(
        "--http-socket", ":0", "--module", "green", "--gevent", "9", "--threads", "2", wait=False
    ) as one:
        assert one.wait_end() == 1
        assert "'threads' (2) and 'gevent' (9) contradict each other" in one.log


def test_application_is_told_where_it_runs() -> None:
    with green("--disable-logging", cores=7) as server:
        assert text(server, "/about") == "gevent 7 True"
        assert "*** Operational MODE: async ***" in server.log


def test_hub_that_ran_before_the_fork(tmp_path: Path) -> None:
    """Each worker has an event loop of its own, whatever the application did while it was imported."""
    options = ("--http-socket", "127.0.0.1:0", "--module", "green_at_import", "--gevent", "20", "--processes", "2")
    with ServerProcess(*options) as server:
        answers, seconds = at_once(server, "/sleep?0.3", 30)
        assert answers == ["slept"] * 30
        assert seconds < 5
        for pid in server.worker_pids.values():
            server.wait_for_log(rf"^green: the greenlet of the import runs in worker {pid}$")
        assert server.stop() == 0


def test_number_of_greenlets_changes_with_a_reload(tmp_path: Path) -> None:
    ini = tmp_path / "app.ini"
    text_of = "[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = green\ngevent = {}\n".format
    ini.write_text(text_of(5))
    with ServerProcess(str(ini)) as server:
        assert text(server, "/about") == "gevent 5 True"
        ini.write_text(text_of(9))
        server.signal(signal.SIGHUP)
        server.wait_for_log(r"^\*\*\* reload complete: .* generation 2 ", timeout=30)
        assert text(server, "/about") == "gevent 9 True"
        assert at_once(server, "/sleep?0.1", 20)[0] == ["slept"] * 20


# -- requests ----------------------------------------------------------------------------------------------------------


def test_requests_that_wait_do_not_wait_for_each_other() -> None:
    with green("--disable-logging") as server:
        answers, seconds = at_once(server, "/sleep?1", MANY)
        assert answers == ["slept"] * MANY
        assert seconds < 10  # one after the other: 200 s


def test_more_requests_than_greenlets_are_served_in_turn() -> None:
    with green(cores=10) as server:
        answers, _ = at_once(server, "/sleep?0.1", 50)
        assert answers == ["slept"] * 50
        assert int(text(server, "/greenlets")) < 20


def test_nothing_of_a_context_leaks() -> None:
    with green(cores=20) as server:
        for _ in range(3):
            answers, _ = at_once(server, "/context?mine", 40)
            assert answers == ["nothing True"] * 40


def test_greenlets_are_pooled_and_keep_what_is_local_to_threads() -> None:
    """Requests that follow each other share one greenlet, as they would share a thread."""
    with green() as server, server.connect() as client:
        assert [client.get("/local").body for _ in range(3)] == [b"1", b"2", b"3"]
        assert client.get("/core").body == b"0"


def test_idle_connections_cost_no_greenlet() -> None:
    with green("--disable-logging") as server, ExitStack() as clients:
        before = int(text(server, "/greenlets"))
        for _ in range(MANY):
            client = clients.enter_context(server.connect())
            assert client.get("/local").status == 200
        assert int(text(server, "/greenlets")) <= before


def test_streams_run_side_by_side() -> None:
    """Every block comes when it is ready, in the chunks of its own response."""
    with green("--disable-logging") as server:
        answers, seconds = at_once(server, "/stream?10", 50)
        assert answers == ["".join(f"{number}\n" for number in range(10))] * 50
        assert seconds < 10


def test_client_that_does_not_read_holds_nobody_up() -> None:
    """Its application waits when it is too far ahead, in its greenlet only."""
    with green() as server, server.connect() as lazy:
        lazy.send(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: int(text(server, "/turns")) > 0, 10)
        former = -1

        def stands_still() -> bool:
            nonlocal former
            before, former = former, int(text(server, "/turns"))
            time.sleep(0.1)
            return before == former

        wait_until(stands_still, 10)
        assert at_once(server, "/sleep?0.1", 20)[1] < 5


def test_live_body_that_comes_slowly_holds_nobody_up() -> None:
    with green("--post-buffering", "0") as server, server.connect() as slow:
        slow.send(b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc")
        assert at_once(server, "/sleep?0.1", 20)[0] == ["slept"] * 20
        slow.send(b"def")
        assert slow.receive().body == b"6"


def test_uwsgi_protocol() -> None:
    """nginx's side of it is tested for every engine; here that a connection ends with its answer."""
    with green("--socket", "127.0.0.1:0") as server, server.connect(1) as client:
        variables = {"REQUEST_METHOD": "GET", "PATH_INFO": "/core", "QUERY_STRING": "", "REQUEST_URI": "/core"}
        variables |= {"SERVER_NAME": "x", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1"}
        pairs = [word.encode() for pair in variables.items() for word in pair]
        data = b"".join(len(word).to_bytes(2, "little") + word for word in pairs)
        client.send(b"\0" + len(data).to_bytes(2, "little") + b"\0" + data)
        assert client.receive().body == b"0"
        assert client.ended()


# -- the hub -----------------------------------------------------------------------------------------------------------


def test_who_blocks_everybody_is_in_the_log() -> None:
    with green("--gevent-block-limit", "0.3") as server, ThreadPoolExecutor(1) as others:
        waiting = others.submit(text, server, "/sleep?2")
        wait_until(lambda: "GET" not in server.log, 1)
        assert text(server, "/block?1.5") == "blocked"
        line = server.wait_for_log(r"^gevent: worker 1 .*GET /block\?1\.5 from 127\.0\.0\.1.* kept all others waiting")
        assert "most recent call first" in line.string[line.start() :]
        server.wait_for_log(r"^  File .*green\.py\", line \d+, in (hold_everything_up|block)$")
        server.wait_for_log(r"^gevent: the hub runs again after [1-9]")
        assert waiting.result() == "slept"
        assert text(server, "/block?0.6") == "blocked"
        assert len([line for line in server.log_lines if "kept all others" in line]) == 1  # not twice in ten seconds


def test_nobody_is_told_of_when_that_is_switched_off() -> None:
    with green("--gevent-block-limit", "0") as server:
        assert text(server, "/block?1.2") == "blocked"
        assert "gevent: " not in server.log


# -- endings -----------------------------------------------------------------------------------------------------------


def test_graceful_stop_answers_those_who_sleep() -> None:
    with green("--disable-logging") as server, ExitStack() as clients:
        connections = [clients.enter_context(server.connect(timeout=30)) for _ in range(MANY)]
        for connection in connections:
            connection.send(b"GET /sleep?2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        idle = clients.enter_context(server.connect())
        assert idle.get("/local").status == 200
        wait_until(lambda: int(text(server, "/greenlets")) >= MANY, 10)
        server.signal(signal.SIGTERM)
        assert [connection.receive().status for connection in connections] == [200] * MANY
        assert server.wait_end() == 0


def wait_for_answers(load: Load, more: int) -> None:
    before = load.requests
    wait_until(lambda: load.requests >= before + more, 20)


@pytest.mark.parametrize("options", [(), ("--lazy-apps",), ("--processes", "2")])
def test_reload_loses_no_request(options: tuple[str, ...]) -> None:
    with green("--disable-logging", *options) as server:
        with Load(server, "/sleep?0.02", keepalive=4, oneshot=4) as load:
            for generation in (2, 3):
                wait_for_answers(load, 50)
                server.signal(signal.SIGHUP)
                server.wait_for_log(rf"^\*\*\* reload complete: .* generation {generation} ", timeout=30)
            wait_for_answers(load, 50)
        assert load.lost == []


def test_worker_is_replaced_after_its_requests() -> None:
    with green("--max-requests", "20", "--min-worker-lifetime", "0") as server:
        with Load(server, "/sleep?0.01", keepalive=2, oneshot=2) as load:
            server.wait_for_log(r"^Respawned uWSGI worker 1", count=2, timeout=30)
        assert load.lost == []


def test_mercy_ends_with_a_request_that_does_not() -> None:
    with green("--worker-reload-mercy", "1") as server, server.connect() as client:
        client.send(b"GET /sleep?60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: int(text(server, "/greenlets")) > 0, 10)
        assert server.stop(timeout=10) == 0


@pytest.mark.parametrize("waits", [True, False])
def test_greenlets_of_the_application_at_the_end(waits: bool) -> None:
    with green(*(("--gevent-wait-for-hub",) if waits else ())) as server:
        assert text(server, "/spawn?1.5") == "spawned"
        assert server.stop() == 0
        assert ("green: it has gone on to its end" in server.log) == waits


def test_workers_share_the_clients() -> None:
    """Who has hundreds of free greenlets does not take all clients."""
    with green("--processes", "2") as server:
        at_once(server, "/sleep?0.2", 60)
        served = {line.split("|")[0] for line in server.log_lines if "GET /sleep" in line}
        assert len(served) == 2


def test_idle_worker_sleeps() -> None:
    """No timer of its own wakes it when nobody is connected; the hub is looked at, not woken."""
    with green() as server:
        assert text(server, "/local") == "1"
        pid = server.worker_pids[1]

        def switches() -> int:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("voluntary_ctxt")).split()[1])

        def rests() -> bool:
            before = switches()
            time.sleep(1.5)
            return switches() == before

        wait_until(rests, 20)
