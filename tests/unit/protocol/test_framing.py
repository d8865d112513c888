"""Chunked bodies come apart the same way however the network cuts them."""

from __future__ import annotations

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.framing import LAST_CHUNK, ChunkedDecoder, encode_chunk

BODY = b'5\r\nhello\r\n0006 ; name="x"\r\n world\r\n0\r\nX-Trailer: y\r\n\r\n'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pieces_of_any_size(size: int) -> None:
    decoder = ChunkedDecoder()
    found = b""
    for at in range(0, len(BODY), size):
        assert not decoder.done
        found += b"".join(decoder.feed(BODY[at : at + size]))
    assert decoder.done
    assert found == b"hello world"
    assert decoder.rest == b""


def test_what_follows_the_body_is_kept() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(BODY + b"GET /next")
    assert decoder.done
    assert decoder.rest == b"GET /next"


@pytest.mark.parametrize(
    "body",
    [
        b"xyz\r\n",
        b"-5\r\nhello",
        b"+5\r\nhello",
        b"0x5\r\nhello",
        b"1_0\r\n",
        b"\r\nhello",
        b" 5\r\nhello",
        b"5\nhello",
        b"5;a\nb\r\nhello",
        b"3\r\nhello\r\n",
        b"5\r\nhelloXX",
        b"f" * 17 + b"\r\n",
        b"f" * 16 + b"\r\n",
        b"5;" + b"a" * 5000,
        b"0\r\nbroken trailer\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * 5000,
    ],
)
def test_refusals(body: bytes) -> None:
    decoder = ChunkedDecoder()
    with pytest.raises(ProtocolError) as refused:
        decoder.feed(body)
    assert refused.value.status == 400


def test_encoded_chunks_decode() -> None:
    decoder = ChunkedDecoder()
    assert b"".join(decoder.feed(encode_chunk(b"a" * 300) + encode_chunk(b"b") + LAST_CHUNK)) == b"a" * 300 + b"b"
    assert decoder.done
