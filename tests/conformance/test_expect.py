"""`Expect: 100-continue`: RFC 9110 section 10.1.1."""

from __future__ import annotations

from tests.conformance.servers import Target
from tests.conformance.wire import chunks, request

EXPECT = "Expect: 100-continue"


def test_continue_is_sent_when_the_client_waits(target: Target) -> None:
    """The client sends its body only after 100, and then gets its answer."""
    with target.wire() as wire:
        wire.send(request("/echo", EXPECT, "Content-Length: 5", method="POST"))
        assert wire.read_response(interim=True).status == 100
        wire.send(b"hello")
        assert wire.read_response().body == b"hello"


def test_continue_for_a_chunked_body(target: Target) -> None:
    with target.wire() as wire:
        wire.send(request("/echo", EXPECT, "Transfer-Encoding: chunked", method="POST"))
        assert wire.read_response(interim=True).status == 100
        wire.send(chunks(b"hel", b"lo"))
        assert wire.read_response().body == b"hello"


def test_client_that_does_not_wait(target: Target) -> None:
    """The body came with the head: an answer is due, with or without 100 before it, and what follows is in step."""
    with target.wire() as wire:
        wire.send(request("/echo", EXPECT, "Content-Length: 5", method="POST") + b"hello" + request("/behind"))
        assert wire.read_response().body == b"hello"
        assert wire.read_response().body == b"path=/behind\n"


def test_no_continue_without_a_body(target: Target) -> None:
    with target.wire() as wire:
        wire.send(request("/x", EXPECT))
        assert wire.read_response(interim=True).status == 200


def test_no_continue_for_http_10(target: Target) -> None:
    """An HTTP/1.0 client does not know interim responses."""
    with target.wire() as wire:
        wire.send(request("/echo", EXPECT, "Content-Length: 5", method="POST", version="1.0") + b"hello")
        assert wire.read_response(interim=True).status == 200
