"""The master FIFO's bytes, slots and file."""

from __future__ import annotations

import os
import stat
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from uwsgi_deploy.errors import BindError
from uwsgi_deploy.master.commands import Command
from uwsgi_deploy.master.intake.fifo import BY_BYTE, ORIGIN, WITHOUT_EFFECT, MasterFifo


class FakeObserver:
    """Remembers what is watched."""

    def __init__(self) -> None:
        self.watched: dict[int, object] = {}

    def watch(self, descriptor: int, read: object) -> None:
        self.watched[descriptor] = read

    def unwatch(self, descriptor: int) -> None:
        del self.watched[descriptor]


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[MasterFifo]:
    made = MasterFifo([str(tmp_path / name) for name in ("zero", "one")])
    yield made
    made.close()


def told(fifo: MasterFifo, text: str) -> list[Command]:
    """What the master hears when `text` is written to the active FIFO."""
    writer = os.open(fifo.path, os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, text.encode("latin-1"))
    os.close(writer)
    requests = list(fifo.read())
    assert {request.origin for request in requests} <= {ORIGIN}
    return [request.command for request in requests]


def test_every_byte_of_uwsgi_has_its_command(fifo: MasterFifo) -> None:
    """uWSGI's table, without the slots: each byte is a command or has a reason why it is none."""
    assert set(BY_BYTE) | set(WITHOUT_EFFECT) == set("+-BcCEflLpPqQrRsSwW")
    assert not set(BY_BYTE) & set(WITHOUT_EFFECT)
    assert not set(BY_BYTE) & set(string.digits)
    assert told(fifo, "".join(BY_BYTE)) == list(BY_BYTE.values())


def test_one_byte_is_one_command(fifo: MasterFifo) -> None:
    """Also several in one write; the newline of `echo` is none; nothing written is nothing told."""
    assert told(fifo, "r\n") == [Command.RELOAD]
    assert told(fifo, "sw q") == [Command.STATISTICS, Command.WORKERS_RELOAD, Command.STOP]
    assert list(fifo.read()) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x", "nobody knows the command 'x'"),
        ("\xff", "nobody knows the command 'ÿ'"),
        ("B", "no Emperor"),
        ("E", "no Emperor"),
        ("S", "no subscriptions"),
        ("7", "there is no slot 7, this server has 2"),
    ],
)
def test_bytes_without_effect_are_logged(
    fifo: MasterFifo, capfd: pytest.CaptureFixture[str], text: str, line: str
) -> None:
    """And what follows them counts."""
    assert told(fifo, text + "s") == [Command.STATISTICS]
    assert line in capfd.readouterr().err


def test_slots(tmp_path: Path, fifo: MasterFifo, capfd: pytest.CaptureFixture[str]) -> None:
    """Only the active one exists; choosing another makes that one, in place of one that somebody else made."""
    observer = FakeObserver()
    fifo.attach(observer)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["zero"]
    os.mkfifo(tmp_path / "one")
    others = os.stat(tmp_path / "one").st_ino
    keep = os.open(tmp_path / "one", os.O_RDWR)  # so that the number of the inode is not used again
    assert told(fifo, "1") == []
    assert f"active master fifo is now {tmp_path / 'one'}" in capfd.readouterr().err
    assert os.stat(tmp_path / "one").st_ino != others
    assert list(observer.watched.values()) == [fifo.read]
    assert told(fifo, "r") == [Command.RELOAD]
    os.close(keep)
    list(fifo.remove())
    assert list(tmp_path.iterdir()) == []


def test_a_slot_that_cannot_be_made_leaves_the_present_one(
    tmp_path: Path, fifo: MasterFifo, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").write_text("precious")
    assert told(fifo, "1r") == [Command.RELOAD]
    assert "slot 1 cannot be used" in capfd.readouterr().err
    assert (tmp_path / "one").read_text() == "precious"
    assert told(fifo, "s") == [Command.STATISTICS]


def test_the_file(tmp_path: Path) -> None:
    """Only its owner may write, whatever the umask; one that is left over is replaced; anything else is not touched."""
    path = tmp_path / "fifo"
    os.mkfifo(path, 0o666)
    former = os.umask(0)
    try:
        fifo = MasterFifo([str(path)])
    finally:
        os.umask(former)
    mode = os.stat(path).st_mode
    assert (stat.S_ISFIFO(mode), stat.S_IMODE(mode)) == (True, 0o600)
    fifo.close()
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(BindError, match="is no FIFO"):
        MasterFifo([str(file)])
    with pytest.raises(BindError, match="No such file"):
        MasterFifo([str(tmp_path / "missing" / "fifo")])
    assert file.read_text() == "precious"


def test_somebody_elses_file_is_not_removed(tmp_path: Path, fifo: MasterFifo) -> None:
    """Another instance took the path over: its FIFO stays."""
    taken = MasterFifo([str(tmp_path / "zero")])
    assert list(fifo.remove()) == []
    assert (tmp_path / "zero").exists()
    taken.close()
