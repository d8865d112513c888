"""Feeds bytes to a codec as the reactor does, cut in any way, and notes what comes of it: however it is cut, the same.

The rules are `net.reactor`'s: what is left over is put before what comes next, an Aside is answered and read on behind
it, Introduced changes the codec, a ProtocolError ends all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Protocol, TypeAlias

from uwsgi_deploy.errors import Aside, ProtocolError
from uwsgi_deploy.gateway.answer import Wish, is_bodyless, take_head, write_head
from uwsgi_deploy.gateway.relay import ContentRelay, Relay, relay_for
from uwsgi_deploy.net.body import IncomingBody
from uwsgi_deploy.protocol.fastcgi import FastCgiFacts, StdinDecoder
from uwsgi_deploy.protocol.framing import BodyDecoder, ChunkedDecoder
from uwsgi_deploy.protocol.messages import CHUNKED, RECORDS, UPGRADE, Codec, Environ, Facts, Introduced
from uwsgi_deploy.protocol.websocket import BrokenFrame, Messages

Note: TypeAlias = tuple[Any, ...]
# More bytes of a body than a case here has: what announces more has no end.
_BODY_LIMIT = 1 << 20


class Feedable(Protocol):
    """Takes bytes; `notes` tell what came of them, `state` what is waited for."""

    notes: list[Note]

    def feed(self, data: bytes) -> None:
        """Take what came."""

    def state(self) -> Note:
        """What the rest of the input would find."""

    def anew(self) -> Feedable:
        """For another connection of the same listener, whose codec remembers what it has read."""


class Conversation:
    """A connection with a codec of request heads, with their bodies behind them."""

    def __init__(self, codec: Codec) -> None:
        self.notes: list[Note] = []
        self._codec = self._first_codec = codec
        self._inbox = b""
        self._incoming: IncomingBody | None = None
        self._decoder: BodyDecoder | None = None
        self._keeps = self._over = False
        self._request: tuple[Environ, bool, Facts]

    def feed(self, data: bytes) -> None:
        """See `Feedable`."""
        self._inbox += data
        try:
            while not self._over and self._inbox:
                if not (self._body() if self._incoming is not None else self._head()):
                    return
        except ProtocolError as error:
            # Not with which status: what is wrong in two ways is refused for what is seen first.
            self._end(("refused", error.answer))

    def state(self) -> Note:
        """See `Feedable`."""
        if self._over:
            return ("over",)
        size = None if self._incoming is None else self._incoming.size
        return ("in a body" if size is not None else "in a head", size, bool(self._inbox))

    def anew(self) -> Conversation:
        """See `Feedable`."""
        return Conversation(self._first_codec)

    def _head(self) -> bool:
        """Whether something came of it that may not be all."""
        try:
            head = self._codec.decode(self._inbox)
        except Introduced as client:
            self.notes.append(("introduced", client.address))
            self._codec = client.codec
            self._take(self._inbox[client.consumed :])
            return True
        except Aside as aside:
            self._reply(aside.reply)
            self._take(aside.rest)
            self._over = not aside.goes_on
            return True
        if head is None:
            return False
        environ, consumed, length, keep_alive, facts = head
        self._take(self._inbox[consumed:])
        self._keeps = facts.keep if isinstance(facts, FastCgiFacts) else keep_alive
        self._request = (environ, keep_alive, facts)
        if length == UPGRADE:
            self.notes.append(("head", environ, b"", keep_alive, facts))
            self._end(("handed over",))
        elif length:
            self._decoder = decoder_of(length, facts)
            self._incoming = IncomingBody(length, self._decoder, in_memory=_BODY_LIMIT, limit=_BODY_LIMIT)
            return bool(self._inbox)
        else:
            self._request_over(b"")
        return True

    def _take(self, rest: bytes) -> None:
        """What takes nothing would be read for ever."""
        assert len(rest) < len(self._inbox)
        self._inbox = rest

    def _body(self) -> bool:
        assert self._incoming is not None
        data, self._inbox = self._inbox, b""
        rest = self._incoming.feed(data)
        if rest is None:
            return False
        content = self._incoming.finish().read()
        assert len(content) == self._incoming.size
        decoder = self._decoder
        self._inbox, self._incoming, self._decoder = rest, None, None
        self._request_over(content)
        if isinstance(decoder, StdinDecoder):
            self._reply(decoder.replies)
        return True

    def _request_over(self, content: bytes) -> None:
        environ, keep_alive, facts = self._request
        if environ.pop("HTTP_TRANSFER_ENCODING", None) is not None:
            environ["CONTENT_LENGTH"] = str(len(content))
        if environ.get("CONTENT_LENGTH") in ("", "0") and not content:
            del environ["CONTENT_LENGTH"]  # three ways to say that there is no body
        self.notes.append(("head", environ, content, keep_alive, facts))
        if not self._keeps:
            self._end(("closed",))

    def _reply(self, reply: bytes) -> None:
        """Replies one after the other are one: only their bytes count."""
        if reply and self.notes and self.notes[-1][0] == "reply":
            reply = self.notes.pop()[1] + reply
        if reply:
            self.notes.append(("reply", reply))

    def _end(self, note: Note) -> None:
        self.notes.append(note)
        self._over = True


def decoder_of(length: int, facts: Facts) -> BodyDecoder | None:
    """What finds a body of this length (`messages.RequestHead`)."""
    if length == RECORDS:
        assert isinstance(facts, FastCgiFacts)
        return StdinDecoder(facts.request_id, facts.expected)
    return ChunkedDecoder() if length == CHUNKED else None


class Chunks:
    """A chunked body alone. Of one that is refused only this counts: how much was found before depends on the cuts."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._decoder = ChunkedDecoder()
        self._content, self._rest = b"", b""
        self._refused = False

    def feed(self, data: bytes) -> None:
        """See `Feedable`."""
        if self._decoder.done:
            self._rest += data
            return
        if self._refused:
            return
        try:
            self._content += b"".join(self._decoder.feed(data))
        except ProtocolError:
            self._refused = True
            self.notes = [("refused",)]
            return
        if self._decoder.done:
            self._rest = self._decoder.rest

    def state(self) -> Note:
        """See `Feedable`."""
        return ("over",) if self._refused else (self._decoder.done, self._content, self._rest)

    def anew(self) -> Chunks:
        """See `Feedable`."""
        return Chunks()


class Talk:
    """A WebSocket conversation, from the server's side."""

    def __init__(self, limit: int) -> None:
        self.notes: list[Note] = []
        self._messages, self._limit = Messages(limit), limit
        self._over = False

    def feed(self, data: bytes) -> None:
        """See `Feedable`."""
        if self._over:
            return
        self._messages.feed(data)
        try:
            while (message := self._messages.next()) is not None:
                self.notes.append(message)
        except BrokenFrame as broken:
            self.notes.append(("broken", broken.code))
            self._over = True

    def state(self) -> Note:
        """See `Feedable`."""
        return (self._over,)

    def anew(self) -> Talk:
        """See `Feedable`."""
        return Talk(self._limit)


class Answers:
    """What a server answers, on its way through the router to a client that understands chunks.

    Of an answer that is refused only this counts: the client has a part of it, depending on the cuts.
    """

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._inbox = b""
        self._relay: Relay | None = None
        self._over = False

    def feed(self, data: bytes) -> None:
        """See `Feedable`."""
        try:
            while data and not self._over:
                data = self._body(data) if self._relay is not None else self._head(self._inbox + data)
        except ProtocolError:
            self.notes, self._over = [("refused",)], True

    def state(self) -> Note:
        """See `Feedable`."""
        return ("over",) if self._over else (self._relay is not None, bool(self._inbox))

    def anew(self) -> Answers:
        """See `Feedable`."""
        return Answers()

    def _head(self, data: bytes) -> bytes:
        taken = take_head(data)
        if taken is None:
            self._inbox = data
            return b""
        answer, rest = taken
        self._inbox = b""
        reply = write_head(answer, Wish(False, True, True), b"Date: now\r\n")
        self.notes.append(("answer", answer.status, reply))
        if answer.status == 101 or is_bodyless(answer, is_head=False) or not answer.length:
            self._over = True
        elif answer.status >= 200:
            self._relay = relay_for(answer.length, chunking=True, gzip=False)
            self.notes.append(("sent", b""))
        return rest

    def _body(self, data: bytes) -> bytes:
        assert self._relay is not None
        sent = self.notes.pop()[1] + self._relay.feed(data)
        self._over = self._relay.done
        # Chunks made here depend on the cuts, their content does not.
        self.notes.append(("sent", sent if self._over or not isinstance(self._relay, ContentRelay) else b""))
        return b""


def whole(data: bytes) -> Iterator[bytes]:
    """All at once."""
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    """As slowly as a client can send."""
    for at in range(len(data)):
        yield data[at : at + 1]


def in_pieces(random: Random) -> Callable[[bytes], Iterator[bytes]]:
    """Cut in random places."""

    def cut(data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            size = random.choice((1, 2, 3, 7, 20, 100, 1000))
            yield data[at : at + size]
            at += size

    return cut


def outcome(subject: Feedable, data: bytes, cut: Callable[[bytes], Iterator[bytes]]) -> tuple[list[Note], Note]:
    """What comes of these bytes when they come in these pieces."""
    for piece in cut(data):
        subject.feed(piece)
    return subject.notes, subject.state()
