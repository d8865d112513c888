"""gevent_chat: everybody who listens gets what is said; a real browser shows it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.examples.browser import Browser
from tests.support.chromium import PROGRAM, Chromium
from tests.support.client import RawClient
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

FLASK = (sys.executable, "-m", "flask")


@pytest.fixture
def server(examples: Path) -> Iterator[ServerProcess]:
    """As the README starts it."""
    with ServerProcess("--ini", "uwsgi.ini", directory=examples / "gevent_chat") as running:
        yield running


class Listener:
    """A browser's EventSource."""

    def __init__(self, client: RawClient, last: int | None = None) -> None:
        self.client = client
        seen = f"Last-Event-ID: {last}\r\n" if last is not None else ""
        client.send(f"GET /events HTTP/1.1\r\nHost: t\r\n{seen}\r\n".encode())
        self.data = b""
        self.until(b"retry: 1000\n\n")

    def until(self, text: bytes) -> None:
        while text not in self.data:
            data = self.client.socket.recv(65536)
            assert data, f"the stream ended after {self.data!r}"
            self.data += data

    def texts(self, last: str) -> list[str]:
        """What was said, up to this text."""
        self.until(json.dumps(last).encode())
        self.until(b"}\n\n")
        lines = [line for line in self.data.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line[6:])["text"] for line in lines]


def say(browser: Browser, text: str) -> int:
    """Post a message; how many listened."""
    answer = browser.send_json("POST", "/messages", {"name": "Ada", "text": text})
    assert answer.status == 201
    return int(answer.json["listeners"])


def test_everybody_hears_it(server: ServerProcess) -> None:
    """In order, once; who comes later catches up, who comes again gets what was missed."""
    browser = Browser(server.url)
    assert "EventSource" in browser.get("/static/chat.js").text
    with ExitStack() as stack:
        crowd = [Listener(stack.enter_context(server.connect())) for _ in range(20)]
        assert say(browser, "one") == 20
        assert say(browser, "zwei – “quoted”") == 20
        for listener in crowd:
            assert listener.texts("zwei – “quoted”") == ["one", "zwei – “quoted”"]
        assert Listener(stack.enter_context(server.connect())).texts("zwei – “quoted”")[0] == "one"
        assert Listener(stack.enter_context(server.connect()), 1).texts("zwei – “quoted”") == ["zwei – “quoted”"]
    wait_until(lambda: say(browser, "anybody?") == 0, 20, what="the room to notice that everybody left")
    assert browser.send_json("POST", "/messages", {"name": "Ada", "text": " "}).status == 400
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_reload_lets_listeners_come_again(server: ServerProcess) -> None:
    """Their streams end, and the server does not wait for them."""
    with server.connect() as client:
        listener = Listener(client)
        server.signal(1)
        server.wait_for_log(r"^\*\*\* reload complete", timeout=30)
        while client.socket.recv(65536):
            pass
        assert b"data:" not in listener.data
    with server.connect() as client:
        listener = Listener(client)
        assert say(Browser(server.url), "back") == 1
        assert listener.texts("back") == ["back"]


def test_crowd(server: ServerProcess) -> None:
    """The script of the README."""
    script = Path(server.directory) / "crowd.py"
    done = subprocess.run([sys.executable, script, "300", server.url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "300 of 300 heard it" in done.stdout


@pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")
def test_page(server: ServerProcess) -> None:
    """A visitor opens the page, sees what others say, and is heard."""
    with Chromium() as chromium:
        chromium.open(server.url)
        wait_until(lambda: "connected" in chromium.text, 20, what="the page to listen")
        say(Browser(server.url), "<b>hello</b>, page")
        wait_until(lambda: "<b>hello</b>, page" in chromium.text, 20, what="the message in the page")
        chromium.fill("#name", "Visitor")
        chromium.fill("#text", "hello, room")
        with server.connect() as client:
            listener = Listener(client, 1)
            chromium.run("document.querySelector('#form button').click()")
            assert listener.texts("hello, room") == ["hello, room"]
        wait_until(lambda: "hello, room" in chromium.text, 20, what="the visitor's own message")


def test_listeners_have_no_deadline(examples: Path) -> None:
    """`@harakiri(None)` is theirs alone."""
    options = ("--ini", "uwsgi.ini", "--harakiri", "1")
    with ServerProcess(*options, directory=examples / "gevent_chat") as server, server.connect() as client:
        listener = Listener(client)
        client.socket.settimeout(2.5)
        with pytest.raises(TimeoutError):
            listener.until(b"data:")
        client.socket.settimeout(20)
        say(Browser(server.url), "still there")
        assert listener.texts("still there") == ["still there"]
        assert "HARAKIRI" not in server.log
