"""uwsgi packets on a connection that is kept: as many requests as the web server sends, one after the other.

The protocol has no frame for answers, so the next request can only follow one that has a length: those say
`Connection: keep-alive`. After any other the end of the connection is the end of the answer.
"""

from __future__ import annotations

from uwsgi_deploy.errors import Aside
from uwsgi_deploy.protocol.messages import UPGRADE, RequestHead
from uwsgi_deploy.protocol.uwsgi import UwsgiCodec

_HEADER_SIZE = 4


class PuwsgiCodec(UwsgiCodec):
    """See the module."""

    __slots__ = ()

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`. After a ping the connection waits for a request."""
        try:
            head = super().decode(data)
        except Aside as ping:
            end = _HEADER_SIZE + (data[1] | data[2] << 8)
            if len(data) < end:
                return None
            raise Aside(ping.reply, data[end:], goes_on=True) from None
        if head is None:
            return None
        environ, consumed, body, _, facts = head
        return environ, consumed, body, body != UPGRADE, facts
