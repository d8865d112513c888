"""The client's address as stud writes it."""

from __future__ import annotations

from typing import Any

import pytest

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.messages import Introduced
from uwsgi_deploy.protocol.stud import StudCodec, introduced_by


class Nothing:
    """A codec that is not asked."""

    def decode(self, data: bytes) -> None:
        """Never."""
        raise AssertionError(data)


@pytest.mark.parametrize(
    ("prefix", "address"), [(b"\x02\x01\x02\x03\x04", "1.2.3.4"), (b"\x0a" + bytes(15) + b"\x01", "::1")]
)
def test_addresses(prefix: bytes, address: str) -> None:
    codec = StudCodec(Nothing())
    assert all(codec.decode(prefix[:size]) is None for size in range(len(prefix)))
    with pytest.raises(Introduced) as caught:
        codec.decode(prefix + b"GET")
    assert (caught.value.consumed, caught.value.address) == (len(prefix), (address, ""))


def test_a_connection_without_it_is_refused() -> None:
    with pytest.raises(ProtocolError):
        StudCodec(Nothing()).decode(b"GET / HTTP/1.1\r\n")


def test_only_these_peers_write_it() -> None:
    def peer_of(address: Any) -> str:
        return str(address[0])

    meet = introduced_by({"10.0.0.1"}, peer_of, None)
    codec = Nothing()
    assert isinstance(meet(codec, ("10.0.0.1", 1)), StudCodec)
    assert meet(codec, ("10.0.0.2", 1)) is codec
