"""Every codec reads alike what comes whole, byte by byte and in pieces; `python -m tests.fuzz` tries for longer."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest

from tests.fuzz.feeding import Chunks, Conversation
from tests.fuzz.hunt import case, hunt, reduced
from tests.fuzz.subjects import SUBJECTS, Subject, http
from uwsgi_deploy.protocol.http1 import Http1Codec
from uwsgi_deploy.protocol.messages import RequestHead

CASES = 400


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_few_cases(name: str) -> None:
    """Always the same ones: what a longer search finds gets a test of its own beside the codec's others."""
    _, finding = hunt(SUBJECTS[name], 1, lambda cases: cases < CASES)
    assert finding is None, str(finding)


@pytest.mark.parametrize("name", SUBJECTS)
def test_enough_of_the_cases_are_good(name: str) -> None:
    """Input that is refused at its first byte would find nothing."""
    subject, random = SUBJECTS[name], Random(2)
    reached = 0
    for _ in range(100):
        reader = subject.reader(65536)
        reader.feed(case(subject, random))
        reached += not any(note[0] in ("refused", "broken") for note in reader.notes)
    assert reached > 20


class Hasty(Http1Codec):
    """Wrong: takes an empty line between two requests for the end of the head when it has nothing else yet."""

    __slots__ = ()

    def decode(self, data: bytes) -> RequestHead | None:
        return super().decode(data + b"\r\n" if data.endswith(b"h\r\n") else data)


def test_a_codec_that_depends_on_the_pieces_is_found_out() -> None:
    subject = Subject(
        SUBJECTS["http1"].make, lambda limit: Conversation(Hasty({}, max_head=limit, max_line=60, max_fields=9))
    )
    _, finding = hunt(subject, 1, lambda cases: cases < 1000)
    assert finding is not None
    assert "byte by byte" in finding.what or "Error" in finding.what


class Crashing(Chunks):
    """Wrong: raises what nobody expects."""

    def feed(self, data: bytes) -> None:
        if b"7" in data:
            raise IndexError("out of range")

    def anew(self) -> Crashing:
        return Crashing()


def test_a_crash_is_found_and_its_input_reduced() -> None:
    _, finding = hunt(Subject(SUBJECTS["chunked"].make, lambda _limit: Crashing()), 1, lambda cases: cases < 1000)
    assert finding is not None
    assert (finding.data, finding.what) == (b"7", "IndexError: out of range")


def test_reduced_keeps_what_is_needed() -> None:
    assert reduced(b"aaXbbbbbYccc", lambda data: b"X" in data and b"Y" in data) == b"XY"


def test_the_command() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "http1", "--minutes", "0.002", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "seed 5: all read alike" in done.stdout


def test_the_usual_head_is_read() -> None:
    """The small limits of some cases leave room for a request."""
    assert http(120).decode(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") is not None
