"""What stud and its heirs (hitch: `--write-ip`) write before a client's first byte: its address, without its port.

One byte with the number of the address family, as Linux has it (2 for IPv4, 10 for IPv6), then the address.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.messages import Codec, Introduced, RequestHead

_SIZES = {int(AF_INET): 4, int(AF_INET6): 16}


class StudCodec:
    """A codec for the first bytes of a connection, which goes on with the codec behind it."""

    __slots__ = ("_codec",)

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`. Raises Introduced, or ProtocolError."""
        if not data:
            return None
        size = _SIZES.get(data[0])
        if size is None:
            raise ProtocolError(400, "no client address before the request, as stud writes it (http-stud-prefix)")
        if len(data) < 1 + size:
            return None
        raise Introduced(1 + size, self._codec, (inet_ntop(data[0], data[1 : 1 + size]), ""))


def introduced_by(
    peers: Collection[str], peer_of: Callable[[Any], str], otherwise: Callable[[Codec, Any], Codec] | None
) -> Callable[[Codec, Any], Codec]:
    """What makes the codec of a connection: these peers write a prefix. otherwise: what makes those of others."""

    def meet(codec: Codec, address: Any) -> Codec:
        if peer_of(address) in peers:
            return StudCodec(codec)
        return codec if otherwise is None else otherwise(codec, address)

    return meet
