"""Bodies on their way to the client: the same content whatever the framing and however the bytes come in pieces."""

from __future__ import annotations

import random
import zlib

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.gateway.answer import CHUNKED, UNTIL_CLOSE
from uwsgi_deploy.gateway.relay import relay_for
from uwsgi_deploy.protocol.framing import LAST_CHUNK, ChunkedDecoder, encode_chunk

CONTENT = bytes(range(256)) * 40
SENT = {
    len(CONTENT): CONTENT,
    UNTIL_CLOSE: CONTENT,
    CHUNKED: encode_chunk(CONTENT[:1000]) + encode_chunk(CONTENT[1000:]) + b"0\r\nX-Trailer: 1\r\n\r\n",
}


def pieces(data: bytes, seed: int) -> list[bytes]:
    """The bytes cut at random, reproducibly; seed 0 gives single bytes, seed 1 the whole."""
    if seed < 2:
        return [data] if seed else [data[at : at + 1] for at in range(len(data))]
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(1, len(data)), 9))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("chunking", [False, True])
@pytest.mark.parametrize("length", SENT)
def test_content_arrives_whole(length: int, chunking: bool, gzip: bool, seed: int) -> None:
    relay = relay_for(length, chunking=chunking, gzip=gzip)
    got = b""
    for piece in pieces(SENT[length], seed):
        assert not relay.done
        got += relay.feed(piece)
    if length == UNTIL_CLOSE:
        assert not relay.done
        rest = relay.end()
        assert rest is not None
        got += rest
    assert relay.done
    assert not relay.has_rest
    is_chunked = chunking and (gzip or length < 0)
    if is_chunked:
        decoder = ChunkedDecoder()
        got = b"".join(decoder.feed(got))
        assert decoder.done
        assert decoder.rest == b""
    assert (zlib.decompress(got, 31) if gzip else got) == CONTENT


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("length", [len(CONTENT), CHUNKED])
def test_a_body_that_ends_early_is_never_ended_for_the_client(length: int, gzip: bool) -> None:
    relay = relay_for(length, chunking=True, gzip=gzip)
    got = relay.feed(SENT[length][:-1])
    assert relay.end() is None
    assert not got.endswith(LAST_CHUNK)


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("length", [len(CONTENT), CHUNKED])
def test_what_follows_a_body_is_held_back_and_noticed(length: int, gzip: bool) -> None:
    relay = relay_for(length, chunking=True, gzip=gzip)
    got = relay.feed(SENT[length] + b"HTTP/1.1 200 Smuggled\r\n\r\n")
    assert relay.done
    assert relay.has_rest
    assert b"Smuggled" not in got


def test_compressed_pieces_are_not_held_back() -> None:
    """A stream of events: each one can be read when it has come."""
    relay = relay_for(UNTIL_CLOSE, chunking=False, gzip=True)
    reader = zlib.decompressobj(31)
    assert reader.decompress(relay.feed(b"one")) == b"one"
    assert reader.decompress(relay.feed(b"two")) == b"two"


@pytest.mark.parametrize("chunking", [False, True])
def test_broken_chunks_are_an_error(chunking: bool) -> None:
    with pytest.raises(ProtocolError):
        relay_for(CHUNKED, chunking=chunking, gzip=False).feed(b"zz\r\nhello")
