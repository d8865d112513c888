"""uwsgi packets, as nginx's `uwsgi_pass` sends them: a four-byte header and a block of variables.

header: modifier1 (u8), size of the block (u16, little endian), modifier2 (u8); then pairs of u16-prefixed strings;
then the request body. The answer is plain HTTP whose end is the end of the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from uwsgi_deploy.errors import Aside, ProtocolError
from uwsgi_deploy.protocol.http1 import body_length, wants_upgrade
from uwsgi_deploy.protocol.memo import Memo
from uwsgi_deploy.protocol.messages import UPGRADE, Environ, Facts, RequestHead

HEADER_SIZE = 4
# The beginning of the name of a client's header field.
_FIELD = b"HTTP_"
_WSGI = 0
_WSGI_CUT_SCRIPT_NAME = 30
_PING = 100
_SIGNAL = 110
_PONG = bytes((_PING, 0, 0, 1))
_SIGNAL_REFUSED = bytes((_SIGNAL, 0, 0, 0))
# What packets that are no request would have uWSGI do. Whoever reaches the socket could do it: they are not obeyed.
_COMMANDS = {
    17: "a task for the spooler",
    18: "a call of a C function",
    22: "code to evaluate",
    27: "a call of a fast function",
    31: "a message",
    32: "a message",
    33: "a message",
    35: "a process to fork",
    48: "a question about SNMP counters",
    72: "a raw HTTP response",
    73: "a multicast announcement",
    74: "a multicast message",
    95: "news of a cluster",
    96: "a line for the log",
    97: "the order to reload at once",
    98: "the order to reload",
    99: "a question about the configuration",
    101: "an echo",
    109: "news of a legion",
    _SIGNAL: "a signal",
    111: "a question to the cache",
    115: "attributes of a vassal",
    173: "a remote procedure call",
    224: "a subscription",
}
_LANGUAGES = {
    5: "Perl",
    6: "Lua",
    7: "Ruby",
    8: "Java",
    9: "CGI",
    14: "PHP",
    15: "Mono",
    23: "XSLT",
    24: "V8",
    25: "GridFS",
    26: "GlusterFS",
    28: "Rados",
}
# Variables that would make uWSGI load code, change directories or set process variables for whoever can reach the
# socket. They are dropped here, so that nothing below acts on them by accident; who is to be obeyed (uwsgi-allow-from)
# has the codec of `protocol.obeyed`.
NEVER_OBEYED = frozenset(
    {
        "UWSGI_FILE",
        "UWSGI_SCRIPT",
        "UWSGI_MODULE",
        "UWSGI_CALLABLE",
        "UWSGI_HOME",
        "UWSGI_PYHOME",
        "UWSGI_CHDIR",
        "UWSGI_SETENV",
        "UWSGI_POSTFILE",
        "UWSGI_TOUCH_RELOAD",
        "UWSGI_APPID",
        "UWSGI_CACHE_GET",
        "HTTP_PROXY",
    }
)
# Told of each of these variables in a packet: what is known of the others so far, the name, the value.
Special: TypeAlias = Callable[[dict[str, str], str, str], None]
REQUIRED = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "",
    "QUERY_STRING": "",
    "SERVER_PROTOCOL": "HTTP/1.1",
}


def drop(_variables: dict[str, str], _name: str, _value: str) -> None:
    """What is done with variables that are not obeyed: nothing."""


class Dropped:
    """`drop` that tells of each name once. tell: given a sentence for the log."""

    __slots__ = ("_known", "_tell")

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._known, self._tell = {"HTTP_PROXY"}, tell  # that one is a client's attack, and no mistake of anybody's

    def __call__(self, _variables: dict[str, str], name: str, _value: str) -> None:
        if name not in self._known:
            self._known.add(name)
            self._tell(f"{name} in a uwsgi packet is ignored: uwsgi-allow-from does not name who sent it")


class Packet(NamedTuple):
    """What a packet says; `environ` is copied for each request."""

    environ: Environ
    body: int
    facts: Facts


class UwsgiCodec:
    """Request heads of one uwsgi-protocol listener. `base` is copied into each environ first.

    As of HTTP heads (`protocol.http1`), what was decoded before is remembered: whole packets, and the client's header
    fields, which web servers put behind their own variables and clients repeat with each request.
    """

    __slots__ = ("_fields", "_packets", "_special", "base", "max_head")

    def __init__(self, base: Environ, *, max_head: int, special: Special = drop) -> None:
        self.base: dict[str, Any] = {**base, **REQUIRED}
        self.max_head, self._special = max_head, special
        self._packets = Memo(self._read, capacity=32, longest=2048)
        self._fields = Memo(_plain_variables, capacity=64, longest=2048)

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`."""
        size = len(data)
        if size < HEADER_SIZE:
            return None
        end = HEADER_SIZE + (data[1] | data[2] << 8)
        if size < end:
            self._check(data)
            return None
        environ, body, facts = self._packets[data if size == end else data[:end]]
        return environ.copy(), end, body, False, facts

    def _check(self, data: bytes) -> None:
        """Refuse what is no request, or too large a one, as soon as its header is there."""
        modifier1, size = data[0], data[1] | data[2] << 8
        if modifier1 not in (_WSGI, _WSGI_CUT_SCRIPT_NAME):
            raise no_request(data)
        if size > self.max_head:
            raise ProtocolError(431, f"a uwsgi packet of {size} bytes, larger than {self.max_head} (buffer-size)")
        if not size:
            raise ProtocolError(400, "an empty uwsgi packet")

    def _read(self, packet: bytes) -> Packet:
        self._check(packet)
        variables = self._variables(packet[HEADER_SIZE:])
        environ = {**self.base, **variables}
        if packet[0] == _WSGI_CUT_SCRIPT_NAME:
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(environ["SCRIPT_NAME"])
        environ["wsgi.url_scheme"] = scheme_of(environ)
        return Packet(environ, _body(environ), _facts(len(variables), len(packet) - HEADER_SIZE))

    def _variables(self, block: bytes) -> dict[str, str]:
        cut = block.find(_FIELD) - 2
        try:
            # Where the mark stands in a value, the variables before it do not end there.
            variables = {**_plain_variables(block[:cut]), **self._fields[block[cut:]]} if cut > 0 else None
        except ProtocolError:
            variables = None
        if variables is None:
            return decode_variables(block, self._special)
        return variables if variables.keys().isdisjoint(NEVER_OBEYED) else decode_variables(block, self._special)


def _plain_variables(block: bytes) -> dict[str, str]:
    """As `decode_variables` where none is special: plain and quick, since it runs once per variable."""
    variables: dict[str, str] = {}
    at, end = 0, len(block)
    text = block.decode("latin-1")
    try:
        while at < end:
            start = at + 2
            middle = start + (block[at] | block[at + 1] << 8)
            value = middle + 2
            at = value + (block[middle] | block[middle + 1] << 8)
            variables[text[start:middle]] = text[value:at]
    except IndexError:
        at = -1
    if at != end or "" in variables:
        raise ProtocolError(400, "a lying uwsgi packet")
    return variables


def decode_variables(block: bytes, special: Special = drop) -> dict[str, str]:
    """The variables of a packet; the last of equal names wins. Raises ProtocolError(400) on a lying length.

    special: decides about those of `NEVER_OBEYED`.
    """
    variables: dict[str, str] = {}
    at, end = 0, len(block)
    text = block.decode("latin-1")
    while at < end:
        start = at + 2
        if start > end:
            raise ProtocolError(400, "a uwsgi packet cut inside a name")
        middle = start + (block[at] | block[at + 1] << 8)
        value_start = middle + 2
        if value_start > end or middle == start:
            raise ProtocolError(400, "a uwsgi packet with a lying or empty name")
        at = value_start + (block[middle] | block[middle + 1] << 8)
        if at > end:
            raise ProtocolError(400, "a uwsgi packet with a lying value length")
        name = text[start:middle]
        if name not in NEVER_OBEYED:
            variables[name] = text[value_start:at]
        else:
            special(variables, name, text[value_start:at])
    return variables


def encode_variables(variables: dict[str, str], *, modifier1: int = _WSGI, modifier2: int = 0) -> bytes:
    """A packet with these variables. Raises ValueError when they do not fit its 65,535 bytes."""
    block = b"".join(_prefixed(name) + _prefixed(value) for name, value in variables.items())
    if len(block) > 0xFFFF:
        raise ValueError(f"a uwsgi packet holds at most 65535 bytes, not {len(block)}")
    return bytes((modifier1, len(block) & 0xFF, len(block) >> 8, modifier2)) + block


def _prefixed(text: str) -> bytes:
    data = text.encode("latin-1")
    if len(data) > 0xFFFF:
        raise ValueError(f"a name or value of a uwsgi packet holds at most 65535 bytes, not {len(data)}")
    return len(data).to_bytes(2, "little") + data


def scheme_of(environ: Environ) -> str:
    """What the web server in front says: it alone speaks this protocol, so its HTTPS and UWSGI_SCHEME are trusted."""
    if scheme := environ.get("UWSGI_SCHEME"):
        return str(scheme)
    secure = environ.get("HTTPS", "").lower() in ("on", "1")
    return "https" if secure or environ.get("REQUEST_SCHEME") == "https" else "http"


def _body(environ: Environ) -> int:
    fields = {}
    if length := environ.get("CONTENT_LENGTH"):
        fields["CONTENT_LENGTH"] = length
    elif coding := environ.get("HTTP_TRANSFER_ENCODING"):
        # nginx decodes chunked bodies unless uwsgi_request_buffering is off; then they arrive as they were sent.
        fields["HTTP_TRANSFER_ENCODING"] = coding
    elif "HTTP_UPGRADE" in environ:
        return UPGRADE if wants_upgrade(environ) else 0
    return body_length(fields) if fields else 0


def _facts(variables: int, size: int) -> Facts:
    return Facts(expects_continue=False, chunking=False, is_http=False, variables=variables, size=size)


def no_request(data: bytes) -> Aside | ProtocolError:
    """What to do about a packet that is not for the application."""
    modifier = data[0]
    if data[:4].rstrip().isalpha():
        return ProtocolError(400, "an HTTP request on a uwsgi socket (use http-socket for HTTP clients)")
    if modifier == _PING:
        return Aside(_PONG, b"", goes_on=False)
    return modifier_error(modifier)


def asks_application(modifier: int) -> bool:
    """Whether a packet with this modifier1 is a request to an application, in whatever language."""
    return modifier in (_WSGI, _WSGI_CUT_SCRIPT_NAME) or modifier in _LANGUAGES


def modifier_error(modifier: int) -> ProtocolError:
    """Why a packet with this modifier1 is no request to this server."""
    if modifier in _COMMANDS:
        detail = f"a uwsgi packet with {_COMMANDS[modifier]} (modifier {modifier}), which is not obeyed"
        return ProtocolError(403, detail, answer=_SIGNAL_REFUSED if modifier == _SIGNAL else b"")
    if modifier in _LANGUAGES:
        return ProtocolError(
            501, f"a uwsgi packet for {_LANGUAGES[modifier]} (modifier {modifier}): this server runs Python"
        )
    return ProtocolError(400, f"a uwsgi packet with the unknown modifier {modifier}")
