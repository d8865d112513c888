"""The control socket: its file, its lines, and clients that break the rules."""

from __future__ import annotations

import json
import os
import select
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until
from uwsgi_deploy.errors import BindError
from uwsgi_deploy.master.commands import Command, Reply, Request
from uwsgi_deploy.master.intake.control import (
    BY_WORD,
    LONGEST_LINE,
    MOST_CLIENTS,
    MOST_UNREAD,
    ControlSocket,
    open_control,
)
from uwsgi_deploy.process import runtime_dir


class FakeMaster:
    """Polls as the observer does and answers every request with its own words."""

    def __init__(self) -> None:
        self.reads: dict[int, Callable[[], Iterable[Request]]] = {}
        self.poll = select.poll()
        self.heard: list[Request] = []
        self.data: dict[str, Any] | None = None

    def watch(self, descriptor: int, read: Callable[[], Iterable[Request]], *, events: int = select.POLLIN) -> None:
        self.reads[descriptor] = read
        self.poll.register(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        del self.reads[descriptor]
        self.poll.unregister(descriptor)

    def work(self) -> None:
        """Everything that is ready now."""
        while events := self.poll.poll(0):
            for descriptor, _ in events:
                if descriptor in self.reads:
                    for request in self.reads[descriptor]():
                        self.heard.append(request)
                        request.reply(Reply(ok=True, message=request.command.value, data=self.data))


@pytest.fixture
def master() -> FakeMaster:
    return FakeMaster()


@pytest.fixture
def control(tmp_path: Path, master: FakeMaster) -> Iterator[ControlSocket]:
    opened = ControlSocket(str(tmp_path / "control"))
    opened.attach(master)  # type: ignore[arg-type]
    yield opened
    opened.close()


def connect(control: ControlSocket) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(control.path)
    return client


def ask(control: ControlSocket, master: FakeMaster, *pieces: bytes) -> list[dict[str, Any]]:
    """The answers to what is sent in pieces."""
    with connect(control) as client:
        for piece in pieces:
            client.sendall(piece)
            master.work()
        client.shutdown(socket.SHUT_WR)
        master.work()
        return [json.loads(line) for line in client.makefile("rb")]


def test_every_command_has_a_word() -> None:
    assert set(BY_WORD.values()) == set(Command)
    assert all(" " not in word for word in BY_WORD)


@pytest.mark.parametrize("word", sorted(BY_WORD))
def test_a_line_is_a_request(control: ControlSocket, master: FakeMaster, word: str) -> None:
    line = json.dumps({"command": word, "arguments": [1, "b"]}).encode() + b"\n"
    assert ask(control, master, line) == [{"ok": True, "message": BY_WORD[word].value, "final": True, "data": None}]
    request = master.heard[0]
    assert (request.command, request.origin, request.arguments) == (BY_WORD[word], "control socket", ("1", "b"))


def test_lines_may_come_in_any_pieces(control: ControlSocket, master: FakeMaster) -> None:
    data = b'{"command": "status"}\n\n{"command": "reload"}\n'
    pieces = [data[index : index + 1] for index in range(len(data))]
    assert [answer["message"] for answer in ask(control, master, *pieces)] == ["status", "reload"]
    assert [answer["message"] for answer in ask(control, master, data)] == ["status", "reload"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"GET / HTTP/1.1", "a request is one line with a JSON object"),
        (b"[]", "a request is one line with a JSON object"),
        (b"{}", "a request is one line with a JSON object"),
        (b'{"command": "status", "arguments": 1}', "a request is one line with a JSON object"),
        (b"\xff", "a request is one line with a JSON object"),
        (b"[" * 5000, "a request is one line with a JSON object"),
        (b'{"command": "fly"}', "nobody knows the command 'fly'"),
        (b'{"command": ["status"]}', "nobody knows the command ['status']"),
    ],
)
def test_a_line_that_is_no_request_is_answered(
    control: ControlSocket, master: FakeMaster, line: bytes, message: str
) -> None:
    """And the next line counts."""
    answers = ask(control, master, line + b'\n{"command": "status"}\n')
    assert sorted(answer["ok"] for answer in answers) == [False, True]
    assert any(message in answer["message"] for answer in answers)


def test_what_changes_something_is_logged_with_who_asked(
    control: ControlSocket, master: FakeMaster, capfd: pytest.CaptureFixture[str]
) -> None:
    ask(control, master, b'{"command": "status"}\n{"command": "recycle-workers", "arguments": [2]}\n')
    assert capfd.readouterr().err == f"control socket: recycle workers 2 (pid {os.getpid()}, uid {os.geteuid()})\n"


def test_an_endless_line_is_cut_off(control: ControlSocket, master: FakeMaster) -> None:
    answers = ask(control, master, b"x" * (LONGEST_LINE + 1))
    assert answers[0]["message"] == f"a request is longer than {LONGEST_LINE} bytes"
    assert list(master.reads) == [control._listener.fileno()]


def test_a_client_that_does_not_read_costs_bounded_memory(control: ControlSocket, master: FakeMaster) -> None:
    """It is cut off, and the master never waits for it; one that reads late gets all."""
    master.data = {"text": "x" * 300_000}
    with connect(control) as late, connect(control) as greedy:
        late.sendall(b'{"command": "status"}\n')
        master.work()
        greedy.sendall(b'{"command": "status"}\n' * (MOST_UNREAD // 200_000))
        master.work()
        received = b""
        while not received.endswith(b"\n"):
            received += late.recv(65536)
            master.work()
        assert json.loads(received)["data"] == master.data
        assert len(master.reads) == 2  # the listener and the late one


def test_clients_are_limited(control: ControlSocket, master: FakeMaster) -> None:
    """One too many is let go; when another leaves there is room again."""
    clients = []
    for _ in range(MOST_CLIENTS):
        clients.append(connect(control))
        master.work()
    with connect(control) as one_too_many:
        master.work()
        assert one_too_many.recv(1) == b""
    clients.pop().close()
    master.work()
    assert ask(control, master, b'{"command": "status"}\n')
    for client in clients:
        client.close()
    master.work()
    wait_until(lambda: len(master.reads) == 1)


def test_an_answer_for_a_client_that_left_is_dropped(control: ControlSocket, master: FakeMaster) -> None:
    with connect(control) as client:
        client.sendall(b'{"command": "status"}\n')
        master.work()
    master.work()
    master.heard[0].reply(Reply(ok=True, message="too late"))


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file(tmp_path: Path) -> None:
    """Only its owner may connect, whatever the umask; a dead server's is replaced, everything else is refused."""
    path = tmp_path / "control"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    former = os.umask(0)
    try:
        control = ControlSocket(str(path), signpost=str(tmp_path / "link"))
    finally:
        os.umask(former)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.readlink(tmp_path / "link") == str(path)
    with pytest.raises(BindError, match="in use"):
        ControlSocket(str(path))
    control.close()
    assert list(tmp_path.iterdir()) == []
    path.write_text("precious")
    with pytest.raises(BindError, match="the control socket cannot be made"):
        ControlSocket(str(path))
    assert path.read_text() == "precious"


def test_a_successors_file_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "control"
    former = ControlSocket(str(path))
    path.unlink()
    successor = ControlSocket(str(path))
    former.close()
    assert path.exists()
    successor.close()


def test_the_default_place(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A private directory of the session; where nothing is writable there is no socket, and no error."""
    monkeypatch.setattr(runtime_dir, "RUN", str(tmp_path / "missing"))
    monkeypatch.setattr(runtime_dir, "TEMPORARY", str(tmp_path / "missing"))
    control = open_control("", {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert control is not None
    assert control.path == str(tmp_path / "uwsgi-deploy" / f"{os.getpid()}.sock")
    assert stat.S_IMODE((tmp_path / "uwsgi-deploy").stat().st_mode) == 0o700
    control.close()
    assert open_control("", {}) is None
    assert "no control socket" in capfd.readouterr().err
    long = tmp_path / ("x" * 100)  # longer than the address of a socket can be
    long.mkdir()
    assert open_control("", {"XDG_RUNTIME_DIR": str(long)}) is None
    assert "no control socket" in capfd.readouterr().err
    explicit = open_control(str(tmp_path / "mine"), {})
    assert explicit is not None
    explicit.close()
