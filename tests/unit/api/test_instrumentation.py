"""Which calls are noted, with what, and what is left out. Against real servers of this process."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import redis
import requests

from tests.support.waiting import wait_until
from uwsgi_deploy import RequestNotes, current_notes, instrument, take_notes
from uwsgi_deploy.reports.notes import NOTES


class Answers(BaseHTTPRequestHandler):
    """Answers with what the request that asks has running at that moment."""

    seen: list[tuple[str, str, str]]
    notes: RequestNotes

    def do_GET(self) -> None:
        type(self).seen = [(call.kind, call.target, call.text) for call in self.notes.running]
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"0123456789")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True, scope="module")
def instrumented() -> None:
    instrument("http", "cache")
    instrument("http")  # wraps nothing twice


@pytest.fixture
def notes() -> RequestNotes:
    environ: dict[str, Any] = {}
    taken = take_notes(environ, "test")
    assert environ[NOTES] is taken
    return taken


@pytest.fixture
def place(notes: RequestNotes) -> Iterator[str]:
    """host:port of a server that looks into the notes while it is asked."""
    Answers.notes = notes
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def by_http_client(place: str) -> bytes:
    connection = http.client.HTTPConnection(place)
    connection.request("GET", "/stock?key=secret", headers={"Authorization": "secret"})
    return connection.getresponse().read()


def by_urllib(place: str) -> bytes:
    with urllib.request.urlopen(f"http://{place}/stock?key=secret") as response:
        return bytes(response.read())


def by_requests(place: str) -> bytes:
    return requests.get(f"http://{place}/stock?key=secret", auth=("user", "secret")).content


@pytest.mark.parametrize("ask", [by_http_client, by_urllib, by_requests])
def test_an_http_call(ask: Any, place: str, notes: RequestNotes) -> None:
    """Host, method and path while it runs, once, however many libraries are involved; then counted."""
    assert ask(place) == b"0123456789"
    assert Answers.seen == [("http", place, "GET /stock")]
    assert notes.running == []
    assert notes.counts == {"http": 1}
    assert notes.spent["http"] > 0
    assert notes.last is not None
    assert notes.last.ended > notes.last.started


def test_the_body_belongs_to_the_call(notes: RequestNotes) -> None:
    """A server that sends the head of its answer and then nothing is still the one that is waited for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        session = requests.Session()
        seen: list[list[str]] = []

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
                at_head.wait(10)
                wait_until(lambda: notes.running, 10, what="the body to be read")
                seen.append([f"{call.target} {call.text}" for call in notes.running])
                client.sendall(b"ok")

        at_head = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        response = session.get(f"http://{place}/slow", stream=True)
        assert notes.running == []
        at_head.set()
        assert response.content == b"ok"
        thread.join()
    assert seen == [[f"{place} GET /slow"]]
    assert notes.counts == {"http": 1}


def test_a_refused_connection(notes: RequestNotes) -> None:
    """A call that fails is over."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)
    with pytest.raises(requests.ConnectionError):
        requests.get(url)
    assert notes.running == []
    assert notes.counts == {"http": 2}


def test_a_redis_command(notes: RequestNotes) -> None:
    """Server and command; neither key nor value."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        seen: list[tuple[str, str]] = []

        def answer() -> None:
            client, _ = server.accept()
            with client:
                data = b""
                while b"secret" not in data:
                    data = client.recv(65536)
                    if b"secret" in data:
                        seen.extend((call.target, call.text) for call in notes.running)
                    client.sendall(b"+OK\r\n" * data.count(b"*"))

        thread = threading.Thread(target=answer)
        thread.start()
        client = redis.Redis("127.0.0.1", port, protocol=2, driver_info=None)
        assert client.set("token", "secret")
        client.close()
        thread.join()
    assert seen == [(f"redis 127.0.0.1:{port}", "SET")]
    assert notes.counts == {"cache": 1}


def test_outside_of_requests(place: str, notes: RequestNotes) -> None:
    """Threads that serve no request are not watched."""
    noted: list[RequestNotes | None] = []
    thread = threading.Thread(target=lambda: (by_requests(place), noted.append(current_notes())))
    thread.start()
    thread.join()
    assert noted == [None]
    assert Answers.seen == []
    assert notes.counts == {}


def test_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="there is no instrumentation of 'smtp'; there is http and cache"):
        instrument("smtp")


def test_nothing_is_imported_for_it() -> None:
    """Libraries that the application does not use stay out."""
    program = "import sys, uwsgi_deploy; uwsgi_deploy.instrument('cache'); print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"redis", "urllib3", "http.client", "pymemcache"} & {*names}
