"""Every wire case, in every shape of server, sent whole, byte by byte, and with another request right behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conformance.cases import Answer, Case, load
from tests.conformance.servers import SHAPES, ServerFor, fresh_ident
from tests.conformance.wire import ConnectionEnded, Response, Wire, request

MOST_PIECES = 1500
"""A byte at a time up to this many bytes; longer requests in as many pieces."""


def parameters() -> Iterator[object]:
    """Grouped by shape and options, so that as few servers as possible are started."""
    files = sorted(load(), key=lambda file: file.options)
    for shape in SHAPES:
        for file in files:
            for case in file.cases:
                for feed in case.feeds:
                    yield pytest.param(shape, file.options, case, feed, id=f"{shape}-{file.name}-{case.name}-{feed}")


@pytest.mark.parametrize(("shape", "options", "case", "feed"), list(parameters()))
def test_case(server_for: ServerFor, shape: str, options: tuple[str, ...], case: Case, feed: str) -> None:
    """The server answers as the case says, keeps or closes the connection, and serves on."""
    server = server_for(shape, options)
    ident = fresh_ident()
    address = server.http if case.protocol == "http" else server.uwsgi
    with Wire(address) as wire:
        send(wire, case, feed, behind=behind(case, ident) if feed == "trailing" else b"")
        answered = judge_answers(wire, case)
        if case.closed or not answered:
            assert wire.is_closed(), f"not closed; more came: {wire.buffer[:200]!r}"
        elif feed == "trailing":
            following = wire.read_response()
            assert following.body == b"path=/behind\n", f"out of step: {following.body[:100]!r}"
    if case.closed:
        assert server.count("reached", ident) == 0, "what followed was taken for a request"
    if case.protocol == "http":
        server.assert_serving()


def send(wire: Wire, case: Case, feed: str, *, behind: bytes) -> None:
    if feed == "bytes":
        wire.drip(case.request, step=-(-len(case.request) // MOST_PIECES))
    else:
        wire.send(case.request + behind)
    if case.ends:
        wire.end_sending()


def behind(case: Case, ident: str) -> bytes:
    """The request that follows: one that must be answered, or one that must not be believed."""
    return request(f"/reached?id={ident}") if case.closed else request("/behind")


def judge_answers(wire: Wire, case: Case) -> bool:
    """Compare the answers with the expected ones; false if the server closed instead, where it may."""
    for answer in case.answers:
        try:
            response = wire.read_response(answer.method)
        except ConnectionEnded:
            if case.or_close:
                return False
            raise
        judge(response, answer)
    return True


def judge(response: Response, answer: Answer) -> None:
    assert response.status in answer.statuses, f"{response.status} {response.body[:200]!r}"
    assert response.whole == answer.whole
    if answer.application is not None:
        assert response.from_application == answer.application
    if answer.reason is not None:
        assert response.reason == answer.reason
    if answer.body is not None:
        assert response.body == answer.body.encode("latin-1")
    if answer.framing is not None:
        assert response.framing == answer.framing
    for name, value in answer.headers.items():
        assert response.all(name) == [value]
    for name in answer.absent:
        assert response.get(name) is None
    if answer.environ or answer.environ_absent:
        judge_environ(json.loads(response.body)["environ"], answer)


def judge_environ(environ: dict[str, object], answer: Answer) -> None:
    found = {name: environ.get(name) for name in answer.environ}
    assert found == dict(answer.environ)
    assert not set(answer.environ_absent) & set(environ)
