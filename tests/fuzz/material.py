"""Makes the bytes of a case: messages as clients send them, and what an attacker or a broken proxy makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from uwsgi_deploy.protocol import fastcgi, framing, routed, scgi, uwsgi, websocket
from uwsgi_deploy.protocol.proxy_protocol import SIGNATURE

_METHODS = (b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"M-SEARCH", b"CONNECT", b"get")
_TARGETS = (
    b"/",
    b"/a/b?c=d",
    b"*",
    b"/%41%zz",
    b"http://h:80/p?q",
    b"http://h",
    b"//x",
    b"/\xff",
    b"http://a@b/",
    b"x",
)
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1.10")
_ADDRESSES = (
    "10.0.0.1",
    "10.0.0.2:81",
    "192.0.2.7",
    "[2001:db8::1]:80",
    "2001:db8::2",
    "unknown",
    "_x",
    "::ffff:10.0.0.9",
)
_FORWARDED = (
    b"X-Forwarded-For",
    b"X-Forwarded-Proto",
    b"X-Forwarded-Host",
    b"X-Forwarded-Port",
    b"X-Forwarded-Prefix",
    b"Forwarded",
    b"X-Real-IP",
)
_VARIABLES = (
    ("REQUEST_METHOD", "POST"),
    ("REQUEST_URI", "/a%20b?q"),
    ("PATH_INFO", "/a b"),
    ("SCRIPT_NAME", "/a"),
    ("QUERY_STRING", "q"),
    ("DOCUMENT_URI", "/a b"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
    ("HTTPS", "on"),
    ("REMOTE_ADDR", "192.0.2.1"),
    ("UWSGI_FILE", "/etc/passwd"),
    ("HTTP_HOST", "h"),
    ("HTTP_TRANSFER_ENCODING", "chunked"),
    ("HTTP_UPGRADE", "websocket"),
    ("HTTP_CONNECTION", "Upgrade"),
    ("HTTP_CONTENT_LENGTH", "3"),
    ("HTTP_X", ""),
    ("", "nameless"),
)

TOKENS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"0",
    b"0\r\n\r\n",
    b"-1",
    b"+1",
    b"0x10",
    b"18446744073709551616",
    b"ffffffffffffffff",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Host: h\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b" HTTP/1.1",
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b";x=y",
    b"\x01\x01\x00\x01\x00\x08\x00\x00",
    b"\x01\x04\x00\x01\x00\x00\x00\x00",
    b"\x01\x05\x00\x01\x00\x00\x00\x00",
    b"\x01\x02\x00\x01\x00\x00\x00\x00",
    b"\x01\x09\x00\x00\x00\x00\x00\x00",
    b"\x64\x00\x00\x00",
    SIGNATURE,
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
    b"PROXY UNKNOWN\r\n",
    b"\xff" * 4,
    b"CONTENT_LENGTH\x000\x00SCGI\x001\x00",
    b"A" * 70,
)


def some(random: Random, least: int, most: int) -> bytes:
    """Random bytes."""
    return random.randbytes(random.randint(least, most))


def body(random: Random) -> bytes:
    """A request body, mostly short."""
    return some(random, 0, random.choice((0, 3, 20, 200)))


def chunked(random: Random) -> bytes:
    """A chunked body, with extensions and trailer fields at times."""
    parts = []
    for _ in range(random.randint(0, 4)):
        content = some(random, 1, 30)
        form = random.choice((b"%x", b"%X", b"00%x", b"%x;a=b", b'%x ;a="b;c"'))
        parts += (form % len(content), b"\r\n", content, b"\r\n")
    if random.random() < 0.3:
        return b"".join((*parts, b"0\r\nX-T: 1\r\nY: \r\n\r\n"))
    return b"".join((*parts, framing.LAST_CHUNK))


def http_requests(random: Random) -> bytes:
    """One or more requests, one behind the other."""
    return b"".join(http_request(random) for _ in range(random.choice((1, 1, 1, 2, 3))))


def http_request(random: Random, *more: bytes) -> bytes:
    """A request, mostly a good one."""
    likely = random.random() < 0.7
    method, target = (
        (random.choice(_METHODS[:3]), b"/a") if likely else (random.choice(_METHODS), random.choice(_TARGETS))
    )
    version = b"HTTP/1.1" if likely else random.choice(_VERSIONS)
    lines = [b"%b %b %b" % (method, target, version), b"Host: h", *more]
    content = b""
    kind = random.randrange(5)
    if kind == 0:
        content = body(random)
        lines.append(b"Content-Length: %d" % len(content))
    elif kind == 1:
        content = chunked(random)
        lines.append(b"Transfer-Encoding: chunked")
    for _ in range(random.randint(0, 3)):
        lines.append(
            b"%b:%b%b"
            % (random.choice((b"X-A", b"Cookie", b"Accept", b"A_B", b"Proxy")), b" ", b"v" * random.randint(0, 40))
        )
    if random.random() < 0.1:
        lines.append(random.choice((b"Connection: close", b"Connection: keep-alive", b"Expect: 100-continue")))
    if random.random() < 0.1:
        lines += (b"Connection: Upgrade", b"Upgrade: websocket")
    start = b"\r\n" * random.choice((0, 0, 0, 0, 1, 2, 5))
    return start + b"\r\n".join(lines) + b"\r\n\r\n" + content


def variables(random: Random, length: int | None) -> dict[str, str]:
    """What a web server says of a request."""
    chosen = dict(random.sample(_VARIABLES[:-1], random.randint(0, 8)))
    if random.random() < 0.02:
        chosen.update((_VARIABLES[-1],))
    if random.random() < 0.2:
        chosen["HTTP_LONG"] = "l" * random.choice((1, 127, 128, 400))
    if length is not None:
        chosen["CONTENT_LENGTH"] = str(length)
    return chosen


def uwsgi_packet(random: Random) -> bytes:
    """A request, sometimes a ping or a command, with its body and sometimes more."""
    modifier = random.choice((0, 0, 0, 0, 30, 100, 98, 5, 200))
    content = body(random)
    chosen = variables(random, random.choice((len(content), len(content), None)))
    return uwsgi.encode_variables(chosen, modifier1=modifier) + content + some(random, 0, random.choice((0, 0, 9)))


def routed_request(random: Random) -> bytes:
    """A request as the router gives it to a worker, its variables in any of the three blocks."""
    content = body(random)
    chosen = variables(random, random.choice((len(content), None)))
    blocks: tuple[dict[str, str], ...] = ({}, {}, {})
    for name, value in chosen.items():
        random.choice(blocks)[name] = value
    packed = [uwsgi.encode_variables(block)[4:] for block in blocks]
    modifier = random.choice((0, 0, 0, 0, 30, 98, 5))
    return routed.routed_frame(*packed, modifier1=modifier) + (content if "CONTENT_LENGTH" in chosen else b"")


def stud_prefixed(random: Random) -> bytes:
    """A request behind the client's address."""
    family = random.choice((b"\x02" + some(random, 4, 4), b"\x0a" + some(random, 16, 16), b"\x02", b"G"))
    return family + http_request(random)


def answers(random: Random) -> bytes:
    """What a server answers, with interim ones before it and with more behind it at times."""
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * random.choice((0, 0, 0, 1, 2))
    status = random.choice((b"200 OK", b"200 OK", b"404", b"204 No Content", b"304 Same", b"101 Switch", b"999 ?"))
    version = random.choice((b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2"))
    content, lines = body(random), [b"Content-Type: a/b"]
    kind = random.randrange(4)
    if kind == 0:
        lines.append(b"Content-Length: %d" % len(content))
    elif kind == 1:
        content = chunked(random)
        lines.append(b"Transfer-Encoding: chunked")
    elif kind == 2:
        lines += (b"Connection: close, X-A", b"X-A: 1", b"Keep-Alive: 3", b"Upgrade: x")
    head = b"\r\n".join((version + b" " + status, *lines))
    return interim + head + b"\r\n\r\n" + content + some(random, 0, random.choice((0, 0, 9)))


def scgi_request(random: Random) -> bytes:
    """A request, with more behind it at times."""
    content = body(random)
    return scgi.encode_request(variables(random, None), content) + some(random, 0, random.choice((0, 0, 9)))


def fastcgi_records(random: Random) -> bytes:
    """Some requests in records of any size, with padding, and with records between them that are not theirs."""
    return b"".join(_fastcgi_request(random) for _ in range(random.choice((1, 1, 2, 3))))


def _fastcgi_request(random: Random) -> bytes:
    number = random.choice((1, 1, 1, 2, 300))
    role = random.choice((1, 1, 1, 1, 1, 1, 1, 2))
    content = body(random)
    lengths = (len(content), len(content), len(content), None, None, len(content) + 1)
    block = fastcgi.encode_variables(variables(random, random.choice(lengths)))
    parts = [_record(random, fastcgi.BEGIN_REQUEST, number, bytes((0, role, random.choice((0, 1, 1)))) + bytes(5))]
    parts += _stream(random, fastcgi.PARAMS, number, block)
    parts += _stream(random, fastcgi.STDIN, number, content)
    if random.random() < 0.3:
        kind = random.choice((1, 2, 5, 8, 9, 11, 77))
        other = fastcgi.encode_variables({"FCGI_MPXS_CONNS": "", "X": ""}) if kind == 9 else some(random, 0, 9)
        record = _record(random, kind, random.choice((0, number, 7)), other)
        parts.insert(random.randint(0, len(parts)), record)
    return b"".join(parts)


def _record(random: Random, kind: int, number: int, content: bytes) -> bytes:
    padding = random.choice((0, 0, 0, 0, 0, 0, 5, 7, 40))
    return (
        bytes((1, kind, number >> 8, number & 255, len(content) >> 8, len(content) & 255, padding, 0))
        + content
        + bytes(padding)
    )


def _stream(random: Random, kind: int, number: int, data: bytes) -> list[bytes]:
    size = random.choice((1, 10, 100, 65535)) if len(data) < 100 else random.choice((50, 65535))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return [_record(random, kind, number, piece) for piece in (*pieces, b"")]


def proxied(random: Random) -> bytes:
    """The PROXY protocol's header and requests behind it."""
    return proxy_header(random) + http_requests(random)


def proxy_header(random: Random) -> bytes:
    """Version 1 or 2."""
    if random.random() < 0.5:
        lines = (
            b"PROXY TCP4 192.0.2.1 10.0.0.1 5000 80\r\n",
            b"PROXY TCP6 2001:db8::1 ::1 5000 80\r\n",
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
            b"PROXY TCP4 2001:db8::1 ::1 5000 80\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 05000 80\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 65536 80\r\n",
            b"PROXY TCP6 fe80::1%eth0 ::1 5000 80\r\n",
        )
        return random.choice(lines)
    family, size = random.choice(((0x11, 12), (0x21, 36), (0x31, 216), (0x00, 0), (0x12, 12)))
    command = random.choice((0x21, 0x21, 0x21, 0x20, 0x22, 0x11))
    block = some(random, size, size + random.choice((0, 0, 7)))
    return SIGNATURE + bytes((command, family)) + len(block).to_bytes(2, "big") + block


def forwarded_requests(random: Random) -> bytes:
    """Requests with what proxies say of their clients, and what clients say that proxies said."""
    return b"".join(http_request(random, *_forwarding(random)) for _ in range(random.choice((1, 2))))


def _forwarding(random: Random) -> list[bytes]:
    return [name + b": " + _said(random, name) for name in random.choices(_FORWARDED, k=random.randint(1, 4))]


def _said(random: Random, name: bytes) -> bytes:
    chain = random.choices(_ADDRESSES, k=random.choice((1, 2, 3, 40)))
    if name == b"Forwarded":
        elements = (
            f'for="{node}";proto={random.choice(("http", "https", "x"))};host=h:{random.randrange(99)}'
            for node in chain
        )
        return ", ".join(elements).encode()
    if name in (b"X-Forwarded-For", b"X-Real-IP"):
        return ", ".join(chain).encode()
    values = (
        b"https",
        b"http,https",
        b"h:80",
        b"[::1]:8",
        b"443",
        b"0",
        b"99999",
        b"/p",
        b"/a/../b",
        b"//x",
        b"/%2e",
        b"",
        b",",
    )
    return random.choice(values)


def frames(random: Random) -> bytes:
    """A client's side of a WebSocket: messages, some in pieces, with control frames between them."""
    parts: list[bytes] = []
    for _ in range(random.randint(1, 4)):
        opcode = random.choice((1, 1, 1, 2, 2, 9, 10, 8, 3, 0)) if random.random() < 0.5 else 1
        if opcode in (1, 2) and random.random() < 0.3:
            parts += (_frame(random, opcode), _frame(random, 9, final=True), _frame(random, 0), _frame(random, 0x80))
        else:
            parts.append(_frame(random, opcode | 0x80))
    return b"".join(parts)


def _frame(random: Random, first: int, *, final: bool = False) -> bytes:
    opcode = first & 15
    is_text = opcode in (0, 1) and random.random() < 0.95
    most = 60 if opcode > 7 else random.choice((5, 126, 300))
    payload = ("é" * random.randint(0, most // 2)).encode() if is_text else some(random, 0, most)
    first |= 0x80 if final else random.choice((0,) * 30 + (0x40,))
    size = len(payload)
    width = 0 if size <= 125 else random.choice((2, 8))
    marker = size if not width else 126 if width == 2 else 127
    key = some(random, 4, 4)
    head = bytes((first, 0x80 | marker)) + (size.to_bytes(width, "big") if width else b"")
    return head + key + websocket.mask(payload, key)


def mutated(random: Random, data: bytes, tokens: Sequence[bytes] = TOKENS) -> bytes:
    """The same with a few things wrong."""
    text = bytearray(data)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
        at = random.randint(0, len(text))
        match random.randrange(7):
            case 0 if at < len(text):
                text[at] = random.randrange(256)
            case 1 if at < len(text):
                text[at] ^= 1 << random.randrange(8)
            case 2:
                del text[at : at + random.choice((1, 1, 2, 10, 100))]
            case 3:
                text[at:at] = random.choice(tokens)
            case 4:
                text[at:at] = text[at : at + random.choice((1, 8, 60))] * random.choice((1, 1, 2, 30))
            case 5:
                del text[at:]
            case 6:
                text[at:at] = some(random, 1, 6)
    return bytes(text[:2000])
