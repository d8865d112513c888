"""Messages between master and template survive their journey."""

from __future__ import annotations

import pytest

from uwsgi_deploy.worker import channel
from uwsgi_deploy.worker.channel import LoadFailed, Message, ReopenLog, Spawned, SpawnFailed, SpawnWorker, TemplateReady

MESSAGES: list[Message] = [
    SpawnWorker(1, 2, 1, True),
    SpawnWorker(1, 2, 1, False),
    SpawnWorker(1, 2, 1, False, follows_victim=True),
    ReopenLog(),
    Spawned(1, 4711),
    SpawnFailed(1, "Cannot allocate memory"),
    TemplateReady(1.5),
    LoadFailed(0, "cannot load", 'Traceback:\n  File "é.py"\n', 22),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_round_trip(message: Message) -> None:
    """What is sent is received, one message per datagram."""
    ours, theirs = channel.channel()
    with ours, theirs:
        theirs.send(channel.encode(message))
        theirs.send(channel.encode(message))
        assert channel.receive(ours) == message
        assert channel.receive(ours) == message


def test_every_message_is_known() -> None:
    """The table of kinds is total."""
    assert {type(message) for message in MESSAGES} == set(channel.KINDS.values())


def test_end_of_channel() -> None:
    """A closed channel is None, an empty one an error of the non-blocking socket."""
    ours, theirs = channel.channel()
    with ours:
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            channel.receive(ours)
        theirs.close()
        assert channel.receive(ours) is None


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600", "\x00", "\udcff"])
def test_any_traceback_fits(character: str) -> None:
    """The longest failure of any characters fits into one datagram, and keeps its end."""
    failure = channel.load_failed(0, character * 100_000, character * 1_000_000 + "THE END", 22)
    ours, theirs = channel.channel()
    with ours, theirs:
        theirs.setblocking(False)
        theirs.send(channel.encode(failure))
        received = channel.receive(ours)
    assert received == failure
    assert isinstance(received, LoadFailed)
    assert received.details.endswith("THE END")
