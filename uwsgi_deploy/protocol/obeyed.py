"""uwsgi packets of a peer that may ask for more than a page (`uwsgi-allow-from`): its UWSGI_* variables are kept.

A codec for each connection of such a peer, in the place of the one that drops them. What they do is decided where the
application is called (`wsgi.packet_variables`), which can rely on this: in an environ they come from an allowed peer.
Loaded only when somebody is allowed.
"""

from __future__ import annotations

from typing import Any

from uwsgi_deploy.protocol.forwarded import Trust, peer_of
from uwsgi_deploy.protocol.messages import Codec, RequestHead
from uwsgi_deploy.protocol.uwsgi import UwsgiCodec

SET_ENVIRONMENT = "UWSGI_SETENV"
BODY_FILE = "UWSGI_POSTFILE"
SEPARATOR = "\0"
"""Between the values of several UWSGI_SETENV, which packets may have; no environment variable has it in its value."""


def _keep(variables: dict[str, str], name: str, value: str) -> None:
    if name == SET_ENVIRONMENT and name in variables:
        value = variables[name] + SEPARATOR + value
    if name != "HTTP_PROXY":  # a client's header, that libraries would take for the environment's
        variables[name] = value


class ObeyedCodec:
    """See the module. Like `codec`, which drops them."""

    __slots__ = ("_codec",)

    def __init__(self, codec: UwsgiCodec) -> None:
        self._codec = type(codec)(codec.base, max_head=codec.max_head, special=_keep)

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`. A request whose body is in a file has none on the connection."""
        head = self._codec.decode(data)
        if head is None or BODY_FILE not in head[0]:
            return head
        environ, consumed, _, keep_alive, facts = head
        return environ, consumed, 0, keep_alive, facts


class Allowed:
    """The rule of a listener. `meet` chooses the codec of a connection."""

    __slots__ = ("_obeyed", "_trust")

    def __init__(self, trust: Trust, codec: UwsgiCodec) -> None:
        self._trust, self._obeyed = trust, ObeyedCodec(codec)

    def meet(self, codec: Codec, address: Any) -> Codec:
        """The codec for one connection, whose peer's address is as accept(2) gives it."""
        return self._obeyed if self._trust.includes_peer(peer_of(address)) else codec
