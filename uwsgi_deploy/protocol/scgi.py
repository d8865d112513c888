"""SCGI requests, as nginx's `scgi_pass` sends them: a netstring of variables, then the body.

    26:CONTENT_LENGTH\\0000\\0SCGI\\0001\\0,

CONTENT_LENGTH comes first and SCGI is 1 (the protocol's specification, "Request Format"). The answer is that of a CGI
program, and its end is the end of the connection.
"""

from __future__ import annotations

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.cgi import content_length, environ_of
from uwsgi_deploy.protocol.http1 import LENGTH
from uwsgi_deploy.protocol.messages import Environ, Facts, RequestHead, packed_size

# More digits than any length that `buffer-size` allows.
_MOST_DIGITS = 9


class ScgiCodec:
    """Request heads of one SCGI listener. `base` is copied into each environ first; max_head: bytes of variables."""

    __slots__ = ("_base", "_max_head")

    def __init__(self, base: Environ, *, max_head: int) -> None:
        self._base, self._max_head = base, max_head

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`."""
        colon = data.find(b":", 0, _MOST_DIGITS + 1)
        digits = data[:colon] if colon >= 0 else data[: _MOST_DIGITS + 1]
        if not digits.isdigit() or len(digits) > _MOST_DIGITS or (digits[0] == 48 and len(digits) > 1):
            raise ProtocolError(400, _no_netstring(data))
        if colon < 0:
            return None
        size = int(digits)
        if size > self._max_head:
            raise ProtocolError(431, f"an SCGI head of {size} bytes, larger than {self._max_head} (buffer-size)")
        start, end = colon + 1, colon + 1 + size
        if len(data) <= end:
            return None
        if data[end] != 44:
            raise ProtocolError(400, "an SCGI head that does not end with a comma after its length")
        variables = decode_variables(data[start:end])
        body = content_length(variables["CONTENT_LENGTH"])
        said = variables.get("HTTP_CONTENT_LENGTH", "")
        if body and LENGTH.fullmatch(said) and int(said) != body:
            # What nginx 1.22 does to an upload with scgi_request_buffering off: it announces what it has read so far.
            raise ProtocolError(400, f"CONTENT_LENGTH is {body}, the client's was {said} (scgi_request_buffering off?)")
        environ = environ_of(self._base, variables)
        # The length is the only framing there is; nginx passes what its client said about chunks all the same.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        facts = Facts(
            expects_continue=False,
            chunking=False,
            is_http=False,
            variables=len(variables),
            size=packed_size(variables),
        )
        return environ, end + 1, body, False, facts


def decode_variables(block: bytes) -> dict[str, str]:
    """The variables of a head; the last of equal names wins. Raises ProtocolError(400) on what is no SCGI request."""
    parts = block.decode("latin-1").split("\0")
    if len(parts) % 2 == 0 or parts[-1]:
        raise ProtocolError(400, "an SCGI head whose names and values do not end with NUL")
    names, values = parts[:-1:2], parts[1::2]
    if not names or names[0] != "CONTENT_LENGTH" or not values[0]:
        raise ProtocolError(400, "an SCGI head that does not begin with CONTENT_LENGTH")
    if "" in names:
        raise ProtocolError(400, "an SCGI head with an empty name")
    variables = dict(zip(names, values, strict=True))
    if variables["CONTENT_LENGTH"] != values[0]:
        raise ProtocolError(400, "two different CONTENT_LENGTH")
    if variables.get("SCGI") != "1":
        raise ProtocolError(400, "an SCGI head without SCGI=1")
    return variables


def encode_request(variables: dict[str, str], body: bytes = b"") -> bytes:
    """A whole request with these variables, in the order that the protocol wants."""
    ordered = {"CONTENT_LENGTH": str(len(body)), "SCGI": "1", **variables}
    block = b"".join(b"%b\0%b\0" % (name.encode("latin-1"), value.encode("latin-1")) for name, value in ordered.items())
    return b"%d:%b,%b" % (len(block), block, body)


def _no_netstring(data: bytes) -> str:
    if data[:4].rstrip().isalpha():
        return "an HTTP request on an SCGI socket (use http-socket for HTTP clients)"
    return "an SCGI head that does not begin with its length"
