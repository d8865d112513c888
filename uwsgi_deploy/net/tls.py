"""TLS: connections that are encrypted.

A `TlsConnection` is a `Connection` whose `read` decrypts and whose `send` encrypts; reactor, codecs and responses do
not notice. The TLS library never sees the descriptor: it works on buffers (`ssl.MemoryBIO`), so nothing blocks and
gevent has nothing to patch. The handshake belongs to the time in which the first request head has to come. Records go
out in the order in which they are made; so what has to wait is kept as it is, and encrypted when its turn comes
(`Sealed`).

Loaded by those who configure TLS only, in the processes that speak it.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar

from uwsgi_deploy.errors import ClientGone, ProtocolError
from uwsgi_deploy.native import allocate_lock
from uwsgi_deploy.net.connection import IDLE_GRACE, Connection, FileSlice, State, Wait
from uwsgi_deploy.net.listener import Tls
from uwsgi_deploy.net.tls_contexts import Contexts, reason_of
from uwsgi_deploy.protocol.client_hello import server_name
from uwsgi_deploy.protocol.messages import Codec, Environ, Introduced, RequestHead

_HANDSHAKE = 22
# A record is at most 16 KiB and some: a read takes two of them.
_RAW_SIZE = 33792
# More than this is encrypted as the client takes it.
_AT_ONCE = 65536
_HELLO_LIMIT = 1 << 15
# How long a handshake may go on when the worker leaves. Seconds.
_GREETING_GRACE = 3.0
# What a client that has no idea of TLS begins with: a method and a blank.
_HTTP_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"TRACE ")
# How long a thread that answers in a core's place waits for that core to leave its connection. Seconds.
_PATIENCE = 1.0


class TlsConnection(Connection):
    """See the module. Made by listener: `kind_for` gives it its `contexts`."""

    __slots__ = (
        "_early",
        "_has_parted",
        "_incoming",
        "_is_open",
        "_is_plain",
        "_lock",
        "_outgoing",
        "_session",
        "_speaks_proxy",
    )

    contexts: ClassVar[Contexts]
    has_farewell = True

    def __init__(self, fd: int, codec: Codec, address: Any, send_timeout: float, wait: Wait) -> None:
        super().__init__(fd, codec, address, send_timeout, wait)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session: ssl.SSLObject | None = None
        # Two threads may use the library at the same time: a core that reads a body, and the flusher.
        self._lock = allocate_lock()
        # Bytes that came before it is known what is to be shown.
        self._early = b""
        self._is_open = False  # the handshake is done
        self._has_parted = False  # its goodbye is said
        self._is_plain = False  # nothing is encrypted: it was never TLS, or somebody else does it now
        # A load balancer introduces its client before the client's first record.
        self._speaks_proxy = getattr(codec, "introduces", False)
        self.contexts.look()

    @property
    def idle_grace(self) -> float:
        """See `Connection.idle_grace`; a handshake takes its round trips."""
        return IDLE_GRACE if self._is_open else _GREETING_GRACE

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, fd: int, size: int) -> bytes:
        """See `Connection.read`: at most `size` bytes of content, fewer only when all that came is read."""
        if self._is_open:
            try:
                with self._lock:
                    return self._content(fd, size)
            finally:
                if self._outgoing.pending and self.state is not State.BUSY:
                    self._pass_on()  # what the library itself says; a core's next record takes it along
        if self._is_plain:
            return os.read(fd, size)
        return self._greet(fd, size)

    def _content(self, fd: int, size: int) -> bytes:
        session, incoming = self._session, self._incoming
        assert session is not None
        pieces: list[bytes] = []
        wanted, is_drained = size, False
        while True:
            if incoming.pending or session.pending():
                try:
                    data = session.read(wanted)
                except ssl.SSLWantReadError:
                    data = None
                except ssl.SSLError:
                    if not pieces:
                        raise
                    self.eof = True  # after what was good comes the end
                    break
                if data == b"":  # close_notify: the client sends nothing more
                    self.eof = True
                    if not pieces:
                        return b""
                    break
                if data:
                    pieces.append(data)
                    wanted -= len(data)
                    if not wanted:
                        break
                    continue
            if is_drained:
                break
            try:
                raw = os.read(fd, _RAW_SIZE)
            except BlockingIOError:
                break
            if not raw:
                self.eof = True
                if not pieces:
                    return b""
                break
            is_drained = len(raw) < _RAW_SIZE and not self.eof
            incoming.write(raw)
        if not pieces:
            raise BlockingIOError
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _greet(self, fd: int, size: int) -> bytes:
        """The handshake, as far as it goes with what has come; then the first content, if that came with it."""
        if self.outbox:
            self.send_more()
        while True:
            raw = os.read(fd, _RAW_SIZE)
            if not raw:
                return b""
            try:
                self._advance(raw)
            except ProtocolError as error:
                return self._turn_away(error)
            if self._is_open:
                return self.read(fd, size)
            if len(raw) < _RAW_SIZE and not self.eof:
                raise BlockingIOError

    def _advance(self, data: bytes) -> None:
        """Use what has come before the handshake was over. Raises ProtocolError for no TLS."""
        session = self._session
        if session is None:
            data = self._early = self._early + data
            if self._speaks_proxy:
                try:
                    self.codec.decode(data)
                except Introduced as client:
                    data = self._early = self.introduce(client, data)
                    self._speaks_proxy = False
                else:
                    return
            if not data:
                return
            if data[0] != _HANDSHAKE:
                raise ProtocolError(400, _no_tls(data), answer=b"" if data.startswith(_HTTP_METHODS) else _SILENCE)
            name = server_name(data) if self.contexts.has_names else ""
            if name is None:
                if len(data) > _HELLO_LIMIT:
                    raise ProtocolError(400, "a TLS client whose first message has no end", answer=_SILENCE)
                return
            context = self.contexts.choose(name)
            session = self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
            self._early = b""
        self._incoming.write(data)
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            self._pass_on()
            return
        except ssl.SSLError as error:
            self._pass_on()  # the alert
            raise ProtocolError(400, f"the TLS handshake failed: {reason_of(error)}", answer=_SILENCE) from None
        self._is_open = True
        self._pass_on()
        if variables := self.contexts.variables(session):
            self.codec = CertifiedCodec(self.codec, variables)

    def _turn_away(self, error: ProtocolError) -> bytes:
        """Let the reactor refuse this client as it refuses a wrong request: its codec says so of whatever was read."""
        self._is_plain = True
        self.codec = RefusingCodec(error)
        return b"\0"

    def _pass_on(self) -> None:
        """Send what the library has to say. By the reactor only: while a core sends, the order would be lost."""
        if data := self._outgoing.read():
            Connection.send(self, data)

    def receive(self, size: int, timeout: float) -> bytes:
        """See `Connection.receive`."""
        data = super().receive(size, timeout)
        session = self._session
        if session is not None and (self._incoming.pending or session.pending()):
            self.readable = True  # the kernel has told of it already
        return data

    # -- sending -------------------------------------------------------------------------------------------------------

    def seal(self, data: bytes | memoryview) -> bytes:
        """`data` as records, which have to be sent next. Raises ClientGone."""
        session = self._session
        assert session is not None
        with self._lock:
            return self._sealed(session, data)

    def _sealed(self, session: ssl.SSLObject, data: bytes | memoryview) -> bytes:
        try:
            sent = session.write(data) if data else 0
            if sent < len(data):  # a record at a time
                rest = memoryview(data)[sent:]
                while rest:
                    rest = rest[session.write(rest) :]
        except ssl.SSLError as error:
            raise ClientGone(f"the TLS session is broken: {reason_of(error)}") from None
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
        """See `Connection.send`."""
        if self._is_plain:
            super().send(data)
        elif self.outbox or len(data) > _AT_ONCE:
            self._send_later(Sealed(self, data=data))
        else:
            super().send(self.seal(data))

    def send_aside(self, reply: bytes) -> None:
        """See `Connection.send_aside`."""
        self.send(reply)

    def send_two(self, head: bytes, body: bytes) -> None:
        """See `Connection.send_two`."""
        self.send(head + body)

    def send_file(self, piece: FileSlice) -> None:
        """See `Connection.send_file`: read and encrypted, as the client takes it."""
        if self._is_plain:
            super().send_file(piece)
        else:
            self._send_later(Sealed(self, file=piece))

    def _send_later(self, piece: Sealed) -> None:
        self.leave(piece)
        self.send_more()

    @property
    def in_memory(self) -> int:
        """See `Connection.in_memory`."""
        return sum(piece.kept if isinstance(piece, Sealed) else len(piece) for piece in self.outbox)

    def whole(self, response: bytes) -> bytes:
        """See `Connection.whole`. The thread that asks is not the core's, which may be in the middle of a record."""
        session = self._session
        if session is None or not self._is_open or not self._lock.acquire(timeout=_PATIENCE):
            return b""
        try:
            return self._sealed(session, response) + self._goodbye(session)
        except ClientGone:
            return b""
        finally:
            self._lock.release()

    def refuse(self, response: bytes, error: ProtocolError) -> bool:
        """See `Connection.refuse`. Whoever speaks HTTP is answered in HTTP; nobody else would understand that."""
        if error.answer is not _SILENCE:
            return super().refuse(response, error)
        self.keep_alive = False
        return True

    # -- ending --------------------------------------------------------------------------------------------------------

    def farewell(self) -> None:
        """See `Connection.farewell`: the end of the content, which is not just the end of the connection."""
        session = self._session
        if session is None or not self._is_open or self._is_plain or self.outbox or self._has_parted:
            return
        self._has_parted = True
        with self._lock:
            data = self._goodbye(session)
        with suppress(ClientGone):
            Connection.send(self, data)

    def _goodbye(self, session: ssl.SSLObject) -> bytes:
        with suppress(OSError):  # ssl's errors are such; it would like to hear the client's goodbye
            session.unwrap()
        return self._outgoing.read()

    def shut_down(self) -> None:
        """See `Connection.shut_down`."""
        self.farewell()
        super().shut_down()

    def hand_over(self) -> None:
        """See `Connection.hand_over`: a thread goes on to encrypt, behind a descriptor of the same number."""
        session = self._session
        if session is not None and not self._is_plain:
            import_module(_RELAY).take(self, session, self._incoming, self._outgoing)
            self._is_plain = True


_RELAY = "uwsgi_deploy.net.tls_relay"
# The answer to a client that would not understand one: what the library said, if anything.
_SILENCE = b" "


def _no_tls(data: bytes) -> str:
    if data.startswith(_HTTP_METHODS):
        return "this address speaks HTTPS (https://...), and the request came in plain HTTP"
    return "what came is no TLS handshake"


class Sealed(FileSlice):
    """Bytes, or a part of a file, that are encrypted when their turn comes. `left`: all that is not sent yet."""

    __slots__ = ("_connection", "_data", "_file", "_records")

    def __init__(self, connection: TlsConnection, *, data: bytes = b"", file: FileSlice | None = None) -> None:
        super().__init__(-1, 0, len(data) if file is None else file.left)
        self._connection, self._data, self._file = connection, memoryview(data), file
        self._records = memoryview(b"")

    def send_to(self, fd: int) -> int:
        """See `FileSlice.send_to`: the rest of some records, or the next ones."""
        records = self._records
        if not records:
            block = self._next_block()
            records = self._records = memoryview(self._connection.seal(block))
            self.left += len(records) - len(block)
        sent = os.write(fd, records)
        self._records = records[sent:]
        self.left -= sent
        return sent

    def _next_block(self) -> bytes | memoryview:
        file = self._file
        if file is None:
            block, self._data = self._data[:_AT_ONCE], self._data[_AT_ONCE:]
            return block
        read = os.pread(file.fd, min(file.left, _AT_ONCE), file.offset)
        if not read:
            raise ClientGone("a file became shorter while it was sent")
        file.offset += len(read)
        file.left -= len(read)
        return read

    @property
    def kept(self) -> int:
        """Bytes of it that are in memory."""
        return len(self._records) + len(self._data)

    def close(self) -> None:
        """See `FileSlice.close`."""
        if self._file is not None:
            self._file.close()


def kind_for(tls: Tls, log: Callable[[str], None]) -> type[TlsConnection]:
    """What the clients of this listener are. Raises ValueError with a sentence for certificates that cannot be used.

    log: told when a certificate was renewed.
    """
    contexts = Contexts(tls, log)
    return type("TlsConnection", (TlsConnection,), {"__slots__": (), "contexts": contexts})


# --- codecs of one connection -----------------------------------------------------------------------------------------


class CertifiedCodec:
    """Requests of a client with a certificate, or one that could have had one."""

    __slots__ = ("_codec", "_variables")

    def __init__(self, codec: Codec, variables: Environ) -> None:
        self._codec, self._variables = codec, variables

    def decode(self, data: bytes) -> RequestHead | None:
        """See `Codec.decode`."""
        head = self._codec.decode(data)
        if head is not None:
            head[0].update(self._variables)
        return head


class RefusingCodec:
    """Requests of a client that is turned away."""

    __slots__ = ("_error",)

    def __init__(self, error: ProtocolError) -> None:
        self._error = error

    def decode(self, _data: bytes) -> RequestHead | None:
        """See `Codec.decode`."""
        raise self._error
