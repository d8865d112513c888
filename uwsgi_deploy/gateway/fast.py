"""What the fastrouter reads of a uwsgi packet: that it is one, and the key of its server. The packet stays as it is."""

from __future__ import annotations

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.messages import UPGRADE, Facts, RequestHead
from uwsgi_deploy.protocol.uwsgi import HEADER_SIZE, asks_application, decode_variables, no_request

# Where the codec leaves the packet, its key and its method for the router.
PACKET, KEY, METHOD = "fast.packet", "fast.key", "fast.method"

# Whatever follows is passed on as it comes, as after an upgrade.
_BODY = UPGRADE


class FastCodec:
    """Packets of one listener. Requests to applications in any language are passed on; commands are refused here."""

    __slots__ = ()

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`. Raises ProtocolError, and Aside for what is answered here (a ping)."""
        if len(data) < HEADER_SIZE:
            return None
        size = data[1] | data[2] << 8
        if not asks_application(data[0]):
            raise no_request(data)
        if not size:
            raise ProtocolError(400, "an empty uwsgi packet")
        end = HEADER_SIZE + size
        if len(data) < end:
            return None
        variables = decode_variables(data[HEADER_SIZE:end])
        environ = {PACKET: data[:end], KEY: key_of(variables), METHOD: variables.get("REQUEST_METHOD", "-")}
        facts = Facts(expects_continue=False, chunking=False, is_http=False, variables=len(variables), size=size)
        return environ, end, _BODY, False, facts


def key_of(variables: dict[str, str]) -> str:
    """UWSGI_FASTROUTER_KEY, else the host that was asked for, which knows no case; "" without either."""
    if key := variables.get("UWSGI_FASTROUTER_KEY"):
        return key
    return (variables.get("HTTP_HOST") or variables.get("SERVER_NAME") or "").lower()
