"""The `uwsgi` module as an application sees it: what it says is so, what it is told happens."""

from __future__ import annotations

import ast
import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

INSIDE = ("--http-socket", "127.0.0.1:0", "--module", "inside", "--disable-logging")


def see(server: ServerProcess, expression: str) -> Any:
    """What the application gets for a Python expression."""
    return ast.literal_eval(server.get(f"/?{quote(expression)}").body.decode())


def test_what_it_says_is_so(tmp_path: Path) -> None:
    """Numbers, names and records, asked in one worker of three."""
    pidfile = tmp_path / "pid"
    with ServerProcess(*INSIDE, "--processes", "3", "--threads", "2", "--pidfile", str(pidfile)) as server:
        assert see(server, "AT_IMPORT") == {"worker_id": 0, "masterpid": server.pid, "ready": None}
        assert see(server, "uwsgi.masterpid()") == server.pid
        wid, pid = see(server, "(uwsgi.worker_id(), os.getpid())")
        assert server.worker_pids[wid] == pid
        assert see(server, "(uwsgi.numproc, uwsgi.cores, uwsgi.mule_id(), uwsgi.ready())") == (3, 2, 0, True)
        assert see(server, "uwsgi.version_info[:2]") == (2, 0)
        assert see(server, "uwsgi.pidfile") == os.fsencode(pidfile)
        assert 0 <= time.time() - see(server, "uwsgi.started_on") < 100
        before = see(server, "uwsgi.total_requests()")
        # A request is counted when its client has the answer already, which another worker may answer before that.
        wait_until(lambda: see(server, "uwsgi.total_requests()") >= before + 2, 10)
        workers = see(server, "uwsgi.workers()")
        assert {worker["id"]: worker["pid"] for worker in workers} == server.worker_pids
        assert sum(worker["requests"] for worker in workers) >= before + 2
        assert see(server, "uwsgi.workers()[uwsgi.worker_id() - 1]['status']") == b"busy"
        assert all(worker["rss"] > 1 << 20 and worker["respawn_count"] == 0 for worker in workers)
        assert see(server, "uwsgi.mem()")[0] > 1 << 20
        assert see(server, "uwsgi.listen_queue()") >= 0
        assert see(server, "uwsgi.log('it says so')") is True
        server.wait_for_log(r"it says so$")


def test_opt_is_the_configuration(tmp_path: Path) -> None:
    """As it was written, names of this server included; values are bytes, keys may be, too."""
    ini = tmp_path / "app.ini"
    ini.write_text(
        "[uwsgi]\nhttp-socket = 127.0.0.1:0\nmodule = inside\nworkers = 2\nmaster\nthe-colour = blue\n"
        "env = A=1\nenv = B=%(the-colour)\n"
    )
    with ServerProcess(str(ini), "--harakiri", "9") as server:
        options = see(server, "dict(uwsgi.opt)")
        expected = {
            "workers": b"2",
            "processes": b"2",
            "master": True,
            "the-colour": b"blue",
            "env": [b"A=1", b"B=blue"],
            "harakiri": b"9",
            "enable-threads": True,
        }
        assert expected.items() <= options.items()
        assert see(server, "(uwsgi.opt[b'workers'], uwsgi.opt.get(b'workers'), b'workers' in uwsgi.opt)") == (
            b"2",
            b"2",
            True,
        )
        assert see(server, "(uwsgi.opt.get('gevent'), 'gevent' in uwsgi.opt)") == (None, False)


@pytest.mark.parametrize("load", [(), ("--lazy-apps",), ("--master=false",), ("--gevent", "20")])
def test_hooks_of_the_application(load: tuple[str, ...]) -> None:
    """After the fork, after each request, and at the end of a worker."""
    with ServerProcess(*INSIDE, *load, environment={"HOOKS": "1"}) as server:
        assert see(server, "HAPPENED") == ["fork in 1"]
        assert see(server, "HAPPENED") == ["fork in 1", "after request in 1"]
        server.wait_for_log(r"^hook: after request in 1$", count=2)
        assert server.stop() == 0
        assert server.log.count("hook: end in 1") == 1


def test_client_does_not_wait_for_the_hook() -> None:
    """It has its answer, and its connection's end, before the hook runs; the next request waits for the hook."""
    environment = {"HOOKS": "1", "AFTER_REQUEST": "1.5"}
    with ServerProcess(*INSIDE, environment=environment) as server, server.connect() as client:
        started = time.monotonic()
        client.send(b"GET /?1 HTTP/1.0\r\n\r\n")
        assert client.read_to_end().endswith(b"1")
        assert time.monotonic() - started < 1.4
        assert see(server, "HAPPENED[1:]") == ["after request in 1"]
        assert time.monotonic() - started > 1.4


@pytest.mark.parametrize("ended", [True, False])
def test_harakiri_of_the_hook(ended: bool) -> None:
    """The hook's time counts, unless harakiri-no-arh says that it does not; who waits behind it gets on."""
    options = ("--harakiri", "1", *(() if ended else ("--harakiri-no-arh",)))
    with ServerProcess(*INSIDE, *options, environment={"HOOKS": "1", "AFTER_REQUEST": "2.5"}) as server:
        pid = see(server, "os.getpid()")
        started = time.monotonic()
        assert see(server, "os.getpid()") == pid
        assert (time.monotonic() - started < 2) is ended
        if ended:
            server.wait_for_log(r"^HARAKIRI: GET /\?\S+ from 127\.0\.0\.1 has run for ")
            server.wait_for_log(r"^uwsgi\.after_req_hook failed:$")
        else:
            assert "HARAKIRI" not in server.log


@pytest.mark.parametrize("options", [(), ("--threads", "2"), ("--gevent", "5"), ("--master=false",)])
def test_user_harakiri(options: tuple[str, ...]) -> None:
    """It ends a request without the harakiri option, and does not outlive the request or being taken back."""
    with ServerProcess(*INSIDE, "--harakiri", "0", *options) as server:
        pid = see(server, "os.getpid()")
        assert see(server, "(uwsgi.set_user_harakiri(1), uwsgi.set_user_harakiri(0), time.sleep(1.5), 7)[3]") == 7
        assert see(server, "(uwsgi.set_user_harakiri(1), 8)[1]") == 8
        assert see(server, "(time.sleep(1.5), os.getpid())[1]") == pid
        started = time.monotonic()
        slow = "(uwsgi.set_user_harakiri(1), [time.sleep(0.01) for _ in range(10000)])"
        assert server.get(f"/?{quote(slow)}").status == 504
        assert 1 <= time.monotonic() - started < 3.5
        server.wait_for_log(rf"^HARAKIRI: GET .* worker 1 \(pid: {pid}\); uwsgi\.set_user_harakiri allows 1(\.\d)? s$")
        assert see(server, "os.getpid()") == pid


def test_reload_and_stop() -> None:
    """Both answer first; a reload keeps the master's process."""
    with ServerProcess(*INSIDE) as server:
        pid = see(server, "os.getpid()")
        assert see(server, "uwsgi.reload()") is True
        server.wait_for_log(r"^\*\*\* reload complete", timeout=30)
        wait_until(lambda: see(server, "os.getpid()") != pid, 20, what="a new worker")
        assert see(server, "uwsgi.masterpid()") == server.pid
        assert see(server, "uwsgi.stop()") is True
        assert server.wait_end() == 0


def test_without_a_master() -> None:
    """Nobody is there to reload; the worker is number 1."""
    with ServerProcess(*INSIDE, "--master=false") as server:
        assert see(server, "(uwsgi.masterpid(), uwsgi.worker_id(), uwsgi.reload(), uwsgi.stop())") == (0, 1, None, None)
        assert see(server, "[worker['pid'] for worker in uwsgi.workers()]") == [server.pid]


def test_what_is_not_there() -> None:
    """Probes take their other way, and people are told."""
    with ServerProcess(*INSIDE) as server:
        assert see(server, "(hasattr(uwsgi, 'chunked_read'), hasattr(uwsgi, 'lock'))") == (False, False)
        assert server.get("/?uwsgi.lock").status == 500
        assert "AttributeError: uwsgi.lock is not available in uwsgi-deploy yet" in server.log
        assert server.get("/?uwsgi.lokc").status == 500
        assert "AttributeError: module 'uwsgi' has no attribute 'lokc'" in server.log


def test_application_that_is_called_uwsgi(tmp_path: Path) -> None:
    """Its own module is served."""
    (tmp_path / "uwsgi.py").write_text(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'mine']\n"
    )
    with ServerProcess("--http-socket", "127.0.0.1:0", "--module", "uwsgi", directory=tmp_path) as server:
        assert server.get("/").body == b"mine"
        assert re.search(r"^\*\*\* WARNING: the application's module is called uwsgi", server.log, re.M)
