"""Flask applications whose views take too long, under real servers: answers, reports, databases, limits by endpoint."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.engines import each_engine
from tests.support.postgres import Database
from tests.support.reports import reports_in, wait_for_report
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

LIMIT, GRACE = 1.0, 2.0
# This machine may be busy with other things; the promise is a second.
TOLERANCE = 4.0
SECRET = "s3cr3t-value"
LAUNCHER = (sys.executable, "-m", "flask", "--app", "late_flask", "uwsgi", "run", "-p", "0")


def serve(*options: str, **environment: str) -> ServerProcess:
    return ServerProcess(*options, launcher=LAUNCHER, environment=environment, timeout=60)


@pytest.fixture
def server(engine: tuple[str, ...]) -> Iterator[ServerProcess]:
    with serve(*engine) as server:
        yield server


@each_engine
def test_a_view_that_hangs(server: ServerProcess) -> None:
    """Its client gets 504 in time, the report says what only Flask knows, contexts are left, the worker lives on."""
    pids = dict(server.worker_pids)
    began = time.monotonic()
    response = server.get(f"/hang/7?key={SECRET}", Accept="text/html", X_Request_ID="r-1")
    assert response.status == 504, server.log
    assert LIMIT <= time.monotonic() - began < LIMIT + TOLERANCE
    assert b"its time was over" in response.body
    report = wait_for_report(server.directory / "reports", "/hang/7")
    request = report["request"]
    assert report["kind"] == "deadline"
    assert report["outcome"] == "answered_504"
    assert (request["framework"], request["view"]) == ("flask", "late_flask.hang")
    assert (request["route"], request["url_name"]) == ("/hang/<int:number>", "hang")
    assert (request["user"], request["id"]) == ("7", "r-1")
    assert report["culprit"]["function"] in ("hang", "wait_in_python")
    assert report["culprit"]["file"].endswith("late_flask.py")
    assert SECRET not in json.dumps(report)
    torn_down = json.loads(server.get("/torn-down").body)
    assert "HarakiriTimeout" in torn_down
    assert re.search(rf"GET /hang/7\?key={SECRET} => .* 504\)", server.log)
    assert server.worker_pids == pids


def test_who_prefers_json() -> None:
    with serve() as server:
        response = server.get("/exports/small", Accept="application/json")
    assert (response.status, json.loads(response.body)) == (504, {"error": "timeout", "status": 504})
    assert response.header("content-type") == "application/json"


@each_engine
def test_the_applications_page(engine: tuple[str, ...]) -> None:
    """Its own handler for 504."""
    with serve(*engine, PAGE="1") as server:
        response = server.get("/exports/small")
        assert (response.status, response.body) == (504, b"our own page")
        assert wait_for_report(server.directory / "reports", "/exports/small")["outcome"] == "answered_504"


def test_limits() -> None:
    """By endpoint, by decorator, for a block."""
    with serve("--threads", "8") as server:
        for path, answer in (
            ("/exports/big", b"whole"),
            ("/exports/none", b"whole"),
            ("/limited", b"in time"),
            ("/caught", b"caught"),
        ):
            response = server.get(path)
            assert (response.status, response.body) == (200, answer), path
        assert server.get("/exports/small").status == 504
        reports = server.directory / "reports"
        wait_for_report(reports, "/exports/small")
        seen = {report["request"]["path"]: report["outcome"] for report in reports_in(reports)}
        assert seen == {"/caught": "completed", "/exports/small": "answered_504"}


@each_engine
def test_a_response_that_has_begun(server: ServerProcess) -> None:
    """It is cut, so that nobody takes it for whole."""
    with server.connect() as client:
        client.send(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
        received = client.read_to_end()
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.endswith(b"5\r\nfirst\r\n"), "no last chunk"
    report = wait_for_report(server.directory / "reports", "/stream")
    assert report["outcome"] == "cut"
    assert server.get("/caught").status == 200


@each_engine
def test_postgresql(engine: tuple[str, ...], postgres: Database) -> None:
    """The report has the statement that runs; it is cancelled in the database, its connection not used again."""
    url = postgres.url.replace("postgresql:", "postgresql+psycopg:")
    with serve(*engine, DATABASE_URL=url) as server:
        before = server.get("/pid").body
        assert server.get("/pid").body == before
        assert server.get("/db").status == 504
        report = wait_for_report(server.directory / "reports", "/db")
        running = report["db"]["running"][0]
        assert running["target"] == f"{postgres.name} (postgresql)"
        assert running["text"].startswith("SELECT pg_sleep(")
        assert SECRET not in json.dumps(report)
        assert report["waiting_on"]["kind"] == "database"
        assert report["kind"] == "deadline", "also where psycopg waits in C, and no exception comes through"
        wait_until(
            lambda: all("pg_sleep" not in text for _, _, text in postgres.clients()), 10, what="the statement's end"
        )
        after = server.get("/pid")
        assert after.status == 200, server.log
        assert after.body != before


@each_engine
def test_a_locked_sqlite(engine: tuple[str, ...], tmp_path: object) -> None:
    """A wait inside of a C function, where no exception arrives: the client is answered all the same."""
    with serve(*engine) as server:
        with sqlite3.connect(server.directory / "shop.db", isolation_level=None) as other:
            other.execute("CREATE TABLE item (number)")
            other.execute("BEGIN EXCLUSIVE")
            assert server.get("/locked").status == 504
            reports = server.directory / "reports"
            wait_until(lambda: reports_in(reports), 20, what="a report")
            wait_until(lambda: server.get("/caught").status == 200, 20, what="a worker")
            other.execute("ROLLBACK")
        report = wait_for_report(reports, "/locked")
        assert report["db"]["running"][0]["text"].startswith("INSERT INTO item VALUES")
        assert report["db"]["running"][0]["target"].endswith("shop.db (sqlite)")


@each_engine
def test_an_http_server_that_hangs(server: ServerProcess) -> None:
    """The report says which one: that is not in any stack."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert server.get(f"/http/{port}").status == 504
    report = wait_for_report(server.directory / "reports", f"/http/{port}")
    assert report["waiting_on"]["kind"] == "http"
    assert f"127.0.0.1:{port}" in report["waiting_on"]["target"]
    assert report["calls"]["http"]["running"][0]["text"] == "GET /prices"
    assert SECRET not in json.dumps(report)


def test_the_signal() -> None:
    """Once for each, in a thread that is not the request's."""
    with serve("--threads", "2") as server:
        assert server.get("/exports/small").status == 504
        report = wait_for_report(server.directory / "reports", "/exports/small")
        told = [json.loads(line) for line in (server.directory / "signals").read_text().splitlines()]
        assert told == [["late", report["id"], "/exports/small"]]
        assert os.path.exists(server.directory / "reports")
