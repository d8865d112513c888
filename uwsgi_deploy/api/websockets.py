"""`uwsgi.websocket_*` and what belongs to it, with uWSGI's names, arguments, results and error texts.

Loaded when an application first calls one of them. The end of a conversation is a `ClientGone`, an OSError: an
application that does not catch it ends its request without a traceback, since nothing is wrong.
"""

from __future__ import annotations

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ClientGone
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.protocol.websocket import Opcode
from uwsgi_deploy.wsgi import raw_stream
from uwsgi_deploy.wsgi.raw_stream import RawStream
from uwsgi_deploy.wsgi.websocket import Conversation, ConversationOver, Rules

_KIB = 1024


def connection_fd() -> int:
    """The descriptor of a connection that may be taken over. Raises OSError in any other request."""
    return _stream("uwsgi.connection_fd()").connection.fd


def handshake(settings: Settings, key: str | bytes, origin: str | bytes, protocol: str | bytes) -> None:
    """Answer a WebSocket's opening request. Raises OSError."""
    stream = _stream("uwsgi.websocket_handshake()")
    environ = stream.environ
    limits = settings.websockets
    rules = Rules(limits.websockets_max_size * _KIB, limits.websockets_ping_freq, limits.websockets_pong_tolerance)
    offered = str(environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", ""))
    conversation = Conversation(stream, rules, log)
    try:
        conversation.shake_hands(
            _text(key) or str(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")),
            _text(origin) or str(environ.get("HTTP_ORIGIN", "")),
            # RFC 6455 §4.2.2: one of those that the client named; without a choice of the application's, the first.
            _text(protocol) or offered.partition(",")[0].strip(),
        )
    except (ValueError, RuntimeError, ConversationOver) as error:
        raise OSError(f"unable to complete websocket handshake: {error}") from error
    stream.conversation = conversation


def request_context() -> RawStream:
    """What another thread or greenlet needs to use the present request's WebSocket. Raises OSError."""
    return _stream("uwsgi.request_context()")


def receive(context: RawStream | None) -> bytes:
    """Wait for a message. Raises OSError when the conversation is over."""
    try:
        return _conversation(context).receive()
    except ConversationOver as error:
        raise ClientGone(f"unable to receive websocket message: {error}") from error


def receive_now(context: RawStream | None) -> bytes:
    """A message if one has come, else b"". Raises OSError when the conversation is over."""
    try:
        return _conversation(context).receive_now()
    except ConversationOver as error:
        raise ClientGone(f"unable to receive websocket message: {error}") from error


def send(message: str | bytes, context: RawStream | None, *, binary: bool) -> None:
    """Send one message. Raises OSError when the conversation is over."""
    payload = message.encode() if isinstance(message, str) else bytes(message)
    try:
        _conversation(context).send(Opcode.BINARY if binary else Opcode.TEXT, payload)
    except ConversationOver as error:
        raise ClientGone(f"unable to send websocket {'binary ' if binary else ''}message: {error}") from error


def disconnect() -> None:
    """End the conversation from this side. Raises OSError in any other request."""
    stream = _stream("uwsgi.disconnect()")
    if stream.conversation is not None:
        stream.conversation.end()
    stream.take()
    stream.connection.end_input()


def _stream(function: str) -> RawStream:
    stream = raw_stream.current()
    if stream is None:
        raise OSError(f"{function}: this is no request of HTTP/1.1 with an Upgrade field")
    return stream


def _conversation(context: RawStream | None) -> Conversation:
    if context is not None and not context.is_running:
        raise ClientGone("the request of this request_context has ended")
    conversation = (context or _stream("uwsgi.websocket_…()")).conversation
    if conversation is None:
        raise OSError("uwsgi.websocket_handshake() comes first")
    return conversation


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
