"""TLS connections in a reactor, with small buffers: order, pieces, slow readers, and who writes in a core's place."""

from __future__ import annotations

import os
import random
import select
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.support.certificates import Authority
from tests.support.waiting import wait_until
from tests.unit.net.test_reactor import LIMITS
from uwsgi_deploy.config.settings import TlsSettings
from uwsgi_deploy.config.tls import CertificateFiles
from uwsgi_deploy.errors import ClientGone
from uwsgi_deploy.net.certificates import read_certificate
from uwsgi_deploy.net.connection import IDLE_GRACE, FileSlice, State
from uwsgi_deploy.net.listener import Tls
from uwsgi_deploy.net.reactor import Reactor
from uwsgi_deploy.net.tls import TlsConnection, kind_for
from uwsgi_deploy.protocol.http1 import Http1Codec

REQUEST = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
BLOCK = bytes(range(251)) * 1000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def kind(authority: Authority) -> type[TlsConnection]:
    pair = authority.issue("server")
    certificate = read_certificate(CertificateFiles(str(pair.certificate), str(pair.key)))
    return kind_for(Tls(certificate, (), TlsSettings()), print)


class Client:
    """A client with a session of its own, that reads only when it is told to."""

    def __init__(self, end: socket.socket, context: ssl.SSLContext) -> None:
        self.socket = end
        end.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.content = self.unsent = b""
        self.is_over = False

    def step(self, most: int = 1 << 20) -> None:
        """Send what is to be sent, read `most` bytes, and decrypt them."""
        self.flush()
        with suppress(BlockingIOError):
            self.incoming.write(self.socket.recv(most))
        try:
            while piece := self.session.read(1 << 20):
                self.content += piece
            self.is_over = True
        except ssl.SSLWantReadError:
            pass
        self.flush()

    def flush(self) -> None:
        """Send what the kernel takes."""
        self.unsent += self.outgoing.read()
        with suppress(BlockingIOError):
            self.unsent = self.unsent and self.unsent[self.socket.send(self.unsent) :]


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor(
        (),
        replace(LIMITS, post_buffering=1 << 20),
        cores=1,
        accept_at_once=1,
        wait=lambda *_: True,
        on_refused=lambda *_: None,
        on_gone=lambda *_: None,
    )
    yield made
    made.close()


@pytest.fixture
def client(reactor: Reactor, kind: type[TlsConnection], authority: Authority) -> Iterator[Client]:
    """Connected through buffers of some KiB."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    theirs.setblocking(False)
    made = Client(ours, authority.trust())
    reactor.admit(theirs.detach(), "", Http1Codec({}, max_head=4096, max_line=1024, max_fields=100), kind)
    with ours:
        yield made


def until(reactor: Reactor, client: Client, condition: Callable[[], object], most: int = 1 << 20) -> None:
    for _ in range(20_000):
        if condition():
            return
        os.eventfd_write(reactor._wake_fd, 1)  # nobody else would end its wait
        reactor.poll()
        client.step(most)
    raise AssertionError("nothing came of it")


def ask(reactor: Reactor, client: Client, request: bytes = REQUEST) -> TlsConnection:
    """A request that is complete; its connection."""
    finish_handshake(reactor, client)
    rest = memoryview(request)
    while rest:
        rest = rest[client.session.write(rest) :]
    until(reactor, client, lambda: reactor.ready)
    connection = reactor.ready.popleft()
    assert isinstance(connection, TlsConnection)
    return connection


def finish_handshake(reactor: Reactor, client: Client) -> None:
    def is_done() -> bool:
        try:
            client.session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def move() -> bool:
        if is_done():
            return True
        client.flush()
        with suppress(BlockingIOError):
            client.incoming.write(client.socket.recv(65536))
        return False

    for _ in range(1000):
        if move():
            return
        os.eventfd_write(reactor._wake_fd, 1)
        reactor.poll()
    raise AssertionError("no handshake")


@pytest.mark.parametrize("most", [700, 1 << 20])
def test_everything_in_order_to_a_slow_reader(reactor: Reactor, client: Client, most: int) -> None:
    """Small pieces, large ones, and parts of files, of which the kernel takes some KiB at a time."""
    with tempfile.TemporaryFile() as file:
        file.write(BLOCK)
        file.flush()
        connection = ask(reactor, client)
        connection.send(b"head")
        connection.send_two(b"second", BLOCK)
        connection.send(b"%x\r\n" % 1000)
        connection.send_file(FileSlice(os.dup(file.fileno()), 100, 100_000))
        connection.send(b"tail")
        connection.send_file(FileSlice(os.dup(file.fileno()), 0, len(BLOCK)))
        connection.send(b"end")
        assert connection.in_memory < len(BLOCK) * 2
        expected = b"headsecond" + BLOCK + b"3e8\r\n" + BLOCK[100:100_100] + b"tail" + BLOCK + b"end"
        connection.keep_alive = False
        reactor.release(connection)
        assert connection.state is State.SENDING
        until(reactor, client, lambda: client.is_over, most)
        assert client.content == expected
        assert connection.state in (State.CLOSED, State.LINGERING)
        assert reactor.unsent == 0


def test_requests_of_one_record_and_of_many(reactor: Reactor, client: Client) -> None:
    """Decrypted bytes that wait inside are not forgotten: no event will tell of them again."""
    connection = ask(reactor, client, REQUEST * 3)
    for number in range(3):
        connection.send(b"answer %d" % number)
        reactor.release(connection)
        if number < 2:
            until(reactor, client, lambda: reactor.ready)
            assert reactor.ready.popleft() is connection
    until(reactor, client, lambda: client.content == b"answer 0answer 1answer 2")
    body = BLOCK * 3
    head = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body)
    rest = memoryview(head + body + REQUEST)
    while rest:
        rest = rest[client.session.write(rest) :]
    until(reactor, client, lambda: reactor.ready)
    assert reactor.ready.popleft() is connection
    assert connection.body is not None
    assert connection.body.read() == body
    reactor.release(connection)
    until(reactor, client, lambda: reactor.ready)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_comes_after_a_handshake(reactor: Reactor, client: Client, seed: int) -> None:
    """Records in any pieces, with a broken one at last: requests until then, the end after it."""
    finish_handshake(reactor, client)
    chance = random.Random(seed)
    wire = b""
    wanted = chance.randint(1, 6)
    for _ in range(wanted):
        client.session.write(REQUEST)
        wire += client.outgoing.read()
    wire += chance.choice(
        [b"\x17\x03\x03\x00\x40" + chance.randbytes(64), chance.randbytes(200), b"\x15\x03\x03\x00\x02\x02\x28"]
    )
    (connection,) = reactor.connections.values()
    served = 0
    while connection.state is not State.CLOSED:
        if wire:
            size = chance.randint(1, 90)
            client.socket.sendall(wire[:size])
            wire = wire[size:]
        else:
            with suppress(OSError):
                client.socket.shutdown(socket.SHUT_WR)
        os.eventfd_write(reactor._wake_fd, 1)
        reactor.poll()
        while reactor.ready:
            served += 1
            one = reactor.ready.popleft()
            try:
                one.send(b"answer")
            except ClientGone:  # the broken record came right behind the request: nothing can be said any more
                assert served == wanted
                reactor.abort(one)
            else:
                reactor.release(one)
        with suppress(OSError, ssl.SSLError):
            client.step()
    assert served == wanted
    assert reactor.unsent == 0


def test_client_that_has_said_all(reactor: Reactor, client: Client) -> None:
    """With the goodbye of TLS, or only with the end of its output: its last request is answered."""
    connection = ask(reactor, client)
    with suppress(ssl.SSLWantReadError):
        client.session.unwrap()
    client.flush()
    client.socket.shutdown(socket.SHUT_WR)
    connection.send(b"answer")
    reactor.release(connection)
    for _ in range(3):
        os.eventfd_write(reactor._wake_fd, 1)
        reactor.poll()
    assert connection.state is State.CLOSED
    assert client.socket.recv(65536)


def test_file_that_becomes_shorter_cuts_the_connection(reactor: Reactor, client: Client) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(BLOCK)
        file.flush()
        connection = ask(reactor, client)
        connection.send_file(FileSlice(os.dup(file.fileno()), 0, len(BLOCK)))
        os.ftruncate(file.fileno(), 70_000)
        reactor.release(connection)
        until(reactor, client, lambda: connection.state is State.CLOSED)
        client.step()
        assert not client.is_over  # no goodbye: what came is not whole


def test_answer_in_the_place_of_a_core(reactor: Reactor, client: Client) -> None:
    """A whole response as records, with the goodbye behind it; nothing while the core is inside of the session."""
    connection = ask(reactor, client)
    os.write(connection.fd, connection.whole(b"HTTP/1.1 504 late"))
    client.step()
    assert (client.content, client.is_over) == (b"HTTP/1.1 504 late", True)


def test_answer_in_the_place_of_a_core_that_holds_the_session(
    reactor: Reactor, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uwsgi_deploy.net.tls._PATIENCE", 0.01)
    connection = ask(reactor, client)
    with connection._lock:
        assert connection.whole(b"late") == b""


def test_half_a_handshake_is_nobodys_request(reactor: Reactor, client: Client) -> None:
    """It has the time of a request head, and costs no answer."""
    with pytest.raises(ssl.SSLWantReadError):
        client.session.do_handshake()
    client.socket.sendall(client.outgoing.read()[:100])
    (connection,) = reactor.connections.values()
    os.eventfd_write(reactor._wake_fd, 1)
    reactor.poll()
    assert connection.state is State.HEAD
    assert connection.idle_grace > IDLE_GRACE
    reactor.now += LIMITS.header_timeout + 1
    reactor._sweep(reactor.now)
    assert connection.state is State.CLOSED


def test_handed_over(reactor: Reactor, client: Client) -> None:
    """Plain bytes behind the same number; ends of both sides are passed on."""
    connection = ask(reactor, client)
    number = connection.fd
    connection.hand_over()
    assert connection.fd == number
    with socket.socket(fileno=os.dup(number)) as talker:
        talker.setblocking(True)
        talker.settimeout(20)
        client.session.write(b"to the application")
        client.step()
        assert talker.recv(100) == b"to the application"
        received = 0
        talker.setblocking(False)
        sent = 0
        while received < len(BLOCK):
            if sent < len(BLOCK):
                try:
                    sent += talker.send(BLOCK[sent:])
                except BlockingIOError:
                    pass
            client.step()
            received = len(client.content)
        assert client.content == BLOCK
        talker.setblocking(True)
        talker.settimeout(20)
        with pytest.raises(ssl.SSLWantReadError):
            client.session.unwrap()
        client.socket.sendall(client.outgoing.read())
        assert talker.recv(1) == b""
    reactor.abort(connection)
    wait_until(lambda: client.socket.recv(100) or True if readable(client.socket) else False, 20, what="a goodbye")


def readable(end: socket.socket) -> bool:
    return bool(select.select([end], [], [], 0)[0])
