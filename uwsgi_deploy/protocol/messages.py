"""The vocabulary of codecs: what a request head is once nobody needs to know which protocol it came in.

`RequestHead` is a plain tuple, because it is made for every request:

    environ     fresh dict of CGI variables (and whatever base the codec was given), str to Any
    consumed    bytes of the input that belonged to the head
    body        length of the body in bytes, `CHUNKED`, `RECORDS` of FastCGI, or `UPGRADE`: none, the client wants
                another protocol
    keep_alive  whether the client would send another request on this connection
    facts       `Facts`, the same object for equal heads
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

CHUNKED = -1
UPGRADE = -2
RECORDS = -3

Environ: TypeAlias = dict[str, Any]


class Facts(NamedTuple):
    """What is known of a request beside its environ.

    expects_continue: the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    chunking: the client understands a chunked response (HTTP/1.1 and later, not through a uwsgi packet).
    is_http: not through a uwsgi packet; the end of the connection has to be announced (`Connection: close`).
    variables, size: for the log; the number of CGI variables in the head and their bytes as a uwsgi packet (for HTTP
    without the request line, whose size is added when it is logged).
    """

    expects_continue: bool
    chunking: bool
    is_http: bool
    variables: int
    size: int


RequestHead: TypeAlias = tuple[Environ, int, int, bool, Facts]


class Codec(Protocol):
    """One wire protocol, with the limits and the base environ of a listener."""

    def decode(self, data: bytes) -> RequestHead | None:
        """The head at the start of `data`, or None while it is incomplete. Raises ProtocolError, or Aside."""


class Introduced(Exception):
    """Raised by a codec of the first bytes of a connection: who sends on it, and what is spoken from now on.

    consumed: bytes of the input that said so. address: address and port of the client, None for the peer itself.
    """

    def __init__(self, consumed: int, codec: Codec, address: tuple[str, str] | None) -> None:
        super().__init__(consumed, address)
        self.consumed, self.codec, self.address = consumed, codec, address


def packed_size(variables: dict[str, str]) -> int:
    """Bytes that these variables take in a uwsgi packet (two length fields of two bytes each)."""
    return 4 * len(variables) + len("".join(variables)) + len("".join(variables.values()))
