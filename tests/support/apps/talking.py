"""An application that talks: WebSockets in each way that applications open them, and another protocol by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

import uwsgi  # type: ignore[import-not-found]

Environ = dict[str, Any]
SERVED = count(1)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: lines\r\nConnection: upgrade\r\n\r\n"


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    number = next(SERVED)
    route = ROUTES.get(environ["PATH_INFO"])
    if route is not None:
        return route(environ, start_response)
    return answer(start_response, b"served %d" % number)


def answer(start_response: Callable[..., Any], body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


def through_uwsgi(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    uwsgi.websocket_handshake()
    try:
        while True:
            message = uwsgi.websocket_recv()
            if message == b"binary please":
                uwsgi.websocket_send_binary(b"\xff" * 70_000)
            else:
                uwsgi.websocket_send(message.decode().upper())
    except OSError as error:
        uwsgi.log(f"over: {error}")
    return b""  # type: ignore[return-value]  # as uWSGI's examples do


def careless(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    uwsgi.websocket_handshake()
    while True:
        uwsgi.websocket_send(uwsgi.websocket_recv())


def helped(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Two others send, while the request's own thread or greenlet only waits for the end."""
    uwsgi.websocket_handshake()
    context = uwsgi.request_context()
    late: list[Any] = []

    def send(letter: str) -> None:
        for number in range(50):
            uwsgi.websocket_send(f"{letter}{number} " + letter * 20_000, request_context=context)
            time.sleep(0)

    helpers = [threading.Thread(target=send, args=(letter,)) for letter in "ab"]
    for helper in helpers:
        helper.start()
    assert uwsgi.websocket_recv() == b"enough"
    for helper in helpers:
        helper.join()

    def too_late() -> None:
        late[0].wait(10)
        try:
            uwsgi.websocket_send("?", request_context=context)
        except OSError as error:
            uwsgi.log(f"too late: {error}")

    late.append(threading.Event())
    threading.Thread(target=too_late, daemon=True).start()
    threading.Timer(0.3, late[0].set).start()
    return []


def polls(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    from select import select

    fd = uwsgi.connection_fd()
    uwsgi.websocket_handshake(environ["HTTP_SEC_WEBSOCKET_KEY"], "", "")
    if uwsgi.websocket_recv_nb() == b"":
        uwsgi.websocket_send("nothing yet")
    while not (message := uwsgi.websocket_recv_nb()):
        select([fd], [], [], 5)
    uwsgi.websocket_send("got " + message.decode())
    uwsgi.disconnect()
    return []


def fails(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    uwsgi.websocket_handshake()
    return [b"%d" % (1 // 0)]


def simple(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    from simple_websocket import ConnectionClosed, Server

    ws = Server(environ, ping_interval=25)
    try:
        while True:
            text = ws.receive()
            ws.send(text.upper())
            if text == "bye":
                ws.close()
                break
    except ConnectionClosed:
        pass
    return answer(start_response, b"")


def upper_lines(socket: Any) -> None:
    """Answer each line in capitals until `quit`."""
    with socket:
        for line in lines_of(socket):
            if line == b"quit\n":
                break
            socket.sendall(line.upper())


def lines_of(socket: Any) -> Iterator[bytes]:
    """Until the end of input."""
    data = b""
    while received := socket.recv(100):
        *lines, data = (data + received).split(b"\n")
        yield from (line + b"\n" for line in lines)


def raw(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    socket = environ["werkzeug.socket"]
    socket.sendall(SWITCH)
    upper_lines(socket)
    return [b"nobody sees this"]


def outlive(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    socket = environ["werkzeug.socket"]
    socket.sendall(SWITCH)
    threading.Thread(target=upper_lines, args=(socket,), daemon=True).start()
    return []


def drops(error: type[Exception]) -> Callable[[Environ, Callable[..., Any]], Iterable[bytes]]:
    """As python-engineio tells Werkzeug's and gunicorn's servers to forget a connection."""

    def route(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        with environ["werkzeug.socket"] as socket:
            socket.sendall(SWITCH)
        raise error

    return route


def offered(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    socket = environ.get("werkzeug.socket")
    shown = str(socket is not None) + (f" {socket.getpeername()[0]}" if socket is not None else "")
    return answer(start_response, shown.encode())


ROUTES: dict[str, Callable[[Environ, Callable[..., Any]], Iterable[bytes]]] = {
    "/uwsgi": through_uwsgi,
    "/polls": polls,
    "/helped": helped,
    "/careless": careless,
    "/fails": fails,
    "/simple": simple,
    "/raw": raw,
    "/outlive": outlive,
    "/offered": offered,
    "/as-for-werkzeug": drops(ConnectionError),
    "/as-for-gunicorn": drops(StopIteration),
}


def flask_application() -> Any:
    """flask-sock's way."""
    from flask import Flask
    from flask_sock import Sock

    application = Flask(__name__)

    @Sock(application).route("/echo")
    def echo(ws: Any) -> None:
        while True:
            ws.send(f"you said {ws.receive()}")

    return application
