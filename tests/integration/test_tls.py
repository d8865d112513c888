"""https-socket on real sockets: clients of Python's ssl and curl, every kind of answer, every way to do it wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGHUP
from typing import Any

import pytest

from tests.support.apps.secured import PIECE
from tests.support.certificates import Authority, Pair, TlsClient, openssl
from tests.support.engines import each_engine, prefork_and_gevent, threads_and_gevent
from tests.support.readable import readable_launcher
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

CURL = shutil.which("curl")
TLS_12, TLS_13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BIG = PIECE * 24


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


@contextmanager
def serve(value: str, *options: str, module: str = "secured", **more: Any) -> Iterator[ServerProcess]:
    """value: what stands behind the address."""
    with ServerProcess("--https-socket", f"127.0.0.1:0,{value}", "--module", module, *options, **more) as server:
        yield server


@pytest.fixture(scope="module")
def shared(pair: Pair) -> Iterator[ServerProcess]:
    """A server with two workers for what needs no other one."""
    with serve(pair.value, "--processes", "2", "--sni", f"localhost {pair.value}", "--no-defer-accept") as server:
        yield server


def told(client: TlsClient, **headers: str) -> dict[str, Any]:
    """What an application is told of a request of this client."""
    found: dict[str, Any] = json.loads(client.get("/environ", **headers).body)
    return found


@each_engine
def test_every_kind_of_answer(engine: tuple[str, ...], authority: Authority, pair: Pair) -> None:
    """Over TLS 1.2 and 1.3, on kept connections, in order, and with an end that is said."""
    with serve(pair.value, *engine, "--hsts", "1d") as server:
        for version in (TLS_12, TLS_13):
            with TlsClient(server.addresses[0], authority.trust(version=version)) as client:
                found = told(client)
                assert (found["wsgi.url_scheme"], found["HTTPS"], found["REMOTE_ADDR"]) == ("https", "on", "127.0.0.1")
                assert client.socket.selected_alpn_protocol() is None
                assert client.socket.compression() is None
                for path, body in (("/big", BIG), ("/stream", PIECE[:1000] * 3000), ("/file", BIG)):
                    answer = client.get(path)
                    assert (answer.status, hashlib.md5(answer.body).digest()) == (200, hashlib.md5(body).digest()), path
                    assert answer.header("strict-transport-security") == "max-age=86400"
                assert client.get("/strict").header("strict-transport-security") == "max-age=1"
                head = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(BIG)
                client.send(head + BIG + b"GET /environ HTTP/1.1\r\nHost: t\r\n\r\n")
                assert client.receive().body == BIG
                assert client.receive().status == 200
                client.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
                client.send(b"5\r\nhello\r\n0\r\n\r\nHEAD /big HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
                assert client.receive().body == b"hello"
                assert client.receive("HEAD").status == 200
                assert client.ended()
            with TlsClient(server.addresses[0], authority.trust(version=version)) as client:
                client.send(b"GET /stream HTTP/1.0\r\n\r\n")  # its end is the connection's, which has to be certain
                assert client.receive().body == PIECE[:1000] * 3000
                assert told_goodbye(client)
            with TlsClient(server.addresses[0], authority.trust(version=version)) as client:
                client.send(b"GET /cut HTTP/1.0\r\n\r\n")
                with pytest.raises((ssl.SSLError, ConnectionResetError)):
                    client.receive()


def told_goodbye(client: TlsClient) -> bool:
    """The client that has read to the end was told of it: otherwise `TlsClient` would have raised."""
    return client.socket.recv(1) == b""


def test_curl_alpn_and_a_client_that_leaves(authority: Authority, shared: ServerProcess) -> None:
    """A client's goodbye is answered, and one without it is no error."""
    context = authority.trust()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with TlsClient(shared.addresses[0], context) as client:
        assert client.socket.selected_alpn_protocol() == "http/1.1"
        assert client.get("/").status == 200
        client.socket.unwrap()  # raises if the server does not answer it
    with TlsClient(shared.addresses[0], context) as client:
        assert client.get("/").status == 200
        os.close(client.socket.detach())
    if CURL is None:
        pytest.skip("there is no curl")
    url = f"https://localhost:{shared.port}"
    command = [CURL, "-sS", "--cacert", str(authority.certificate), "--data-binary", "@-"]
    upload = subprocess.run([*command, f"{url}/echo", f"{url}/echo"], input=BIG, capture_output=True, timeout=60)
    assert (upload.stderr, upload.stdout) == (b"", BIG * 2)
    assert "Traceback" not in shared.log


@prefork_and_gevent
def test_body_that_the_application_reads_itself(engine: tuple[str, ...], authority: Authority, pair: Pair) -> None:
    with (
        serve(pair.value, *engine, "--post-buffering", "0") as server,
        TlsClient(server.addresses[0], authority.trust()) as client,
    ):
        for _ in range(3):
            client.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG)
            assert client.receive().body == BIG
        client.send(
            b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nabGET /environ HTTP/1.1\r\nHost: t\r\n\r\n"
        )
        assert client.receive().body == b"ab"
        assert client.receive().status == 200


def test_sessions_are_resumed_by_any_worker(authority: Authority, shared: ServerProcess) -> None:
    """Tickets of one worker are another one's, too: a handshake without signature."""
    context = authority.trust(version=TLS_12)
    with TlsClient(shared.addresses[0], context) as client:
        first = told(client)["pid"]
        session = client.socket.session

    def resumed_elsewhere() -> bool:
        with ExitStack() as stack:  # several at a time, so that both workers have some
            clients = [stack.enter_context(TlsClient(shared.addresses[0], context, session=session)) for _ in range(4)]
            assert all(client.socket.session_reused for client in clients)
            return any(told(client)["pid"] != first for client in clients)

    wait_until(resumed_elsewhere, 20, what="a client of the other worker")


# --- connections that applications take over --------------------------------------------------------------------------


@threads_and_gevent
def test_connections_that_are_taken_over(engine: tuple[str, ...], authority: Authority, pair: Pair) -> None:
    """WebSockets of a library, and a protocol of the application's own, whose first bytes come with the request."""
    simple_websocket = pytest.importorskip("simple_websocket")
    with serve(pair.value, *engine, module="talking") as server:
        talkers = [
            simple_websocket.Client(f"wss://localhost:{server.port}/simple", ssl_context=authority.trust())
            for _ in range(2)
        ]
        for client in talkers:
            for text in ("one", "x" * 300_000):
                client.send(text)
                assert client.receive(timeout=20) == text.upper()
        for client in talkers:
            client.send("bye")
            assert client.receive(timeout=20) == "BYE"
            with pytest.raises(simple_websocket.ConnectionClosed) as closed:
                client.receive(timeout=20)
            assert closed.value.reason == 1000
        with TlsClient(server.addresses[0], authority.trust()) as raw:
            raw.send(b"GET /raw HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\nfirst\nsec")
            assert raw.receive_any().status == 101
            raw.send(b"ond\nquit\n")
            assert raw.read_to_end() == b"FIRST\nSECOND\n"
        with TlsClient(server.addresses[0], authority.trust()) as raw:
            raw.send(b"GET /outlive HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n")
            assert raw.receive_any().status == 101
            server.wait_for_log(r"GET /outlive => .*\(HTTP/1.1 101\)")
            for number in range(3):
                raw.send(b"line %d\n" % number)
                assert raw.socket.recv(100) == b"LINE %d\n" % number
            raw.send(b"quit\n")
            assert raw.read_to_end() == b""
        assert "Traceback" not in server.log
        with TlsClient(server.addresses[0], authority.trust()) as client:
            assert client.get("/").status == 200


# --- who asks ---------------------------------------------------------------------------------------------------------


def test_client_certificates(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """Wanted on one address, needed on the other; strangers' certificates count nowhere."""
    alice = authority.issue("alice", "alice", subject="/C=DE/O=Beispiel für alle/CN=alice")
    stranger = Authority(tmp_path).issue("mallory", "mallory")
    value = f"{pair.value},,{authority.certificate}"
    needed = f"127.0.0.1:0,{pair.value},HIGH,!{authority.certificate}"
    with serve(value, "--https-socket", needed, "--https-export-cert") as server:
        wanting, needing = server.addresses
        for address in (wanting, needing):
            for version in (TLS_12, TLS_13):
                with TlsClient(address, authority.trust(alice, version=version)) as client:
                    found = told(client, HTTPS_DN="/CN=bob", SSL_CLIENT_VERIFY="NONE")
                assert found["HTTPS_DN"] == found["SSL_CLIENT_S_DN"]
                assert found["HTTPS_DN"].encode("latin-1").decode() == "/C=DE/O=Beispiel für alle/CN=alice"
                assert (found["SSL_CLIENT_VERIFY"], found["SSL_CLIENT_I_DN"]) == ("SUCCESS", "/CN=test authority")
                assert (
                    found["HTTPS_CC"].split()
                    == alice.certificate.read_text().split()
                    == found["SSL_CLIENT_CERT"].split()
                )
        with TlsClient(wanting, authority.trust()) as client:
            found = told(client)
        assert found["SSL_CLIENT_VERIFY"] == "NONE"
        assert "HTTPS_DN" not in found
        for address, own, reason in (
            (needing, None, "peer did not return a certificate"),
            (needing, stranger, "certificate verify failed"),
            (wanting, stranger, "certificate verify failed"),
        ):
            with pytest.raises(ssl.SSLError), TlsClient(address, authority.trust(own)) as client:
                client.get("/")
            server.wait_for_log(rf"refused a request from 127\.0\.0\.1: the TLS handshake failed: {reason} \(400\)")


def shown(address: tuple[str, int], authority: Authority, host: str) -> str:
    """The first name in the certificate that a client who asks for `host` sees."""
    context = authority.trust()
    context.check_hostname = False
    with TlsClient(address, context, host=host) as client:
        certificate: Any = client.socket.getpeercert()
        return str(certificate["subjectAltName"][0][1])


def test_certificates_by_host(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """By name, by domain, by expression, by directory; with an authority of its own that only its clients need."""
    directory = tmp_path / "sni"
    directory.mkdir()
    named = {host: authority.issue(host, host) for host in ("www.example.com", "any.example.org", "shop.example.net")}
    for host in ("in.directory", "needs.certificate"):
        issued = authority.issue(host, host)
        shutil.copy(issued.certificate, directory / f"{host}.crt")
        shutil.copy(issued.key, directory / f"{host}.key")
    shutil.copy(authority.certificate, directory / "needs.certificate.ca")
    options = ("--sni", f"www.example.com {named['www.example.com'].value}")
    options += ("--sni", f"*.example.org {named['any.example.org'].value}")
    options += ("--sni-regexp", rf"^(shop|store)\.example\.net$ {named['shop.example.net'].value}")
    options += ("--sni-dir", str(directory))
    with serve(pair.value, *options) as server:
        address = server.addresses[0]
        for host, certificate in (
            ("localhost", "localhost"),
            ("unknown.example", "localhost"),
            ("www.example.com", "www.example.com"),
            ("WWW.EXAMPLE.COM", "www.example.com"),
            ("a.example.org", "any.example.org"),
            ("a.b.example.org", "localhost"),
            ("store.example.net", "shop.example.net"),
            ("in.directory", "in.directory"),
        ):
            assert shown(address, authority, host) == certificate, host
        with pytest.raises(ssl.SSLError), TlsClient(address, authority.trust(), host="needs.certificate") as client:
            client.get("/")
        alice = authority.issue("alice2", "alice", subject="/CN=alice")
        with TlsClient(address, authority.trust(alice), host="needs.certificate") as client:
            assert told(client)["HTTPS_DN"] == "/CN=alice"


def test_proxy_protocol_before_the_handshake(authority: Authority, pair: Pair) -> None:
    options = ("--enable-proxy-protocol", "--trusted-proxies", "127.0.0.1", "--sni", f"localhost {pair.value}")
    with serve(pair.value, *options) as server:
        line = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n"
        with TlsClient(server.addresses[0], authority.trust(), first=line) as client:
            found = told(client, X_Forwarded_For="9.9.9.9")
        assert (found["REMOTE_ADDR"], found["SERVER_ADDR"], found["HTTPS"]) == ("198.51.100.7", "192.0.2.1", "on")
        with pytest.raises(ssl.SSLError):
            TlsClient(server.addresses[0], authority.trust())
        server.wait_for_log(r"refused a request from 127\.0\.0\.1: no PROXY protocol header, .* \(400\)")


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_clients_that_do_it_wrong(authority: Authority, pair: Pair) -> None:
    """Each is told what it can understand, within its time, and others are served meanwhile."""
    with serve(pair.value, "--header-timeout", "2", "--no-defer-accept") as server:
        address = server.addresses[0]
        hello = first_flight(authority.trust())
        with ExitStack() as stack:
            silent, slow = (stack.enter_context(server.connect()) for _ in range(2))
            slow.send(hello[:40])
            with server.connect() as client:
                answer = client.get("/environ")
                assert (answer.status, answer.header("connection")) == (400, "close")
                assert answer.body.startswith(b"400 Bad Request: this address speaks HTTPS")
                assert client.ended()
            for garbage in (
                b"\0" * 2000,
                os.urandom(3000),
                b"\x16\x03\x01\x00\x05hello" + bytes(3000),
                b"\x80\x2e\x01\x03\x01",
            ):
                with server.connect() as client:
                    client.send(garbage)
                    assert not client.read_to_end().startswith(b"HTTP")
            for leaving in (b"\x16", hello[:100], hello):
                with server.connect() as client:
                    client.send(leaving)
            for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
                old = authority.trust()
                old.set_ciphers("ALL:@SECLEVEL=0")
                old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, version
                with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
                    TlsClient(address, old)
            with TlsClient(address, authority.trust()) as client:
                assert client.get("/").status == 200  # while the slow ones still have time
                client.socket.setblocking(True)
            assert silent.ended()
            assert slow.ended()
        server.wait_for_log(r"the TLS handshake failed: unsupported protocol \(400\)", count=2)
        server.wait_for_log(r"127\.0\.0\.1: what came is no TLS handshake \(400\)")
        with TlsClient(address, authority.trust()) as client:
            assert client.get("/").status == 200
        with TlsClient(address, authority.trust()) as client:
            assert client.get("/").status == 200
            raw = client.socket.fileno()
            os.write(raw, b"\x17\x03\x03\x00\x20" + bytes(32))  # a record with a wrong code
            with pytest.raises(ssl.SSLError):
                client.receive()
        assert "Traceback" not in server.log


def first_flight(context: ssl.SSLContext) -> bytes:
    """What a client sends first."""
    outgoing = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def test_renegotiation_is_refused(shared: ServerProcess) -> None:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{shared.port}", "-tls1_2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdin is not None
        client.stdin.write(b"R\n")
        client.stdin.flush()
        wait_until(lambda: client.poll() is not None, 20, what="the end of the client")
        _, errors = client.communicate()
    assert b"no renegotiation" in errors


def test_handshake_that_drips(authority: Authority, shared: ServerProcess) -> None:
    """Byte by byte, with certificates by host, so that it has to be read before it is understood."""
    context = authority.trust()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with shared.connect() as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def drip(step: Callable[[], Any]) -> Any:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        client.send(bytes((byte,)))
                    incoming.write(client.socket.recv(65536))

        drip(session.do_handshake)
        session.write(b"GET /environ HTTP/1.1\r\nHost: t\r\n\r\n")
        assert drip(lambda: session.read(65536)).startswith(b"HTTP/1.1 200 OK\r\n")


# --- requests that take too long, and workers that leave --------------------------------------------------------------


def test_late_requests_are_answered_over_tls(authority: Authority, pair: Pair) -> None:
    """As far as the worker can: when even its interpreter is held the master cuts the connection."""
    options = ("--master", "--threads", "2", "--harakiri", "1", "--harakiri-graceful-timeout", "1")
    with serve(pair.value, *options, module="hanging") as server:
        with TlsClient(server.addresses[0], authority.trust()) as client:
            answer = client.get("/hang/sleep/1")
            assert (answer.status, answer.header("connection")) == (504, "close")
            assert client.ended()
        with (
            TlsClient(server.addresses[0], authority.trust()) as client,
            pytest.raises((ssl.SSLError, ConnectionResetError)),
        ):
            client.get("/hang/regex/1")
        server.wait_for_log(r"^Respawned uWSGI worker 1 ", timeout=30)
        with TlsClient(server.addresses[0], authority.trust()) as client:
            assert client.get("/quick?0").status == 200


def test_reload_loses_nobody(authority: Authority, pair: Pair) -> None:
    """New connections all the time, and some that let time pass between handshake and request."""
    with serve(pair.value, "--master") as server:
        server.signal(SIGHUP)
        served = 0
        while "*** reload complete" not in server.log or served < 20:
            with TlsClient(server.addresses[0], authority.trust()) as patient:
                for _ in range(3):
                    with TlsClient(server.addresses[0], authority.trust()) as quick:
                        assert quick.get("/environ", Connection="close").status == 200
                        assert quick.ended()
                assert patient.get("/environ").status == 200
            served += 1


# --- certificates that change -----------------------------------------------------------------------------------------


def replace_pair(pair: Pair, fresh: Pair) -> None:
    """As certbot does it: one file after the other."""
    for old, new in ((pair.certificate, fresh.certificate), (pair.key, fresh.key)):
        shutil.copy(new, f"{old}.new")
        os.replace(f"{old}.new", old)


def serial(client: TlsClient) -> str:
    certificate: Any = client.socket.getpeercert()
    return str(certificate["serialNumber"])


def test_renewed_certificates(tmp_path: Path) -> None:
    """New connections get the new one without a reload, those there are go on; what cannot be used changes nothing."""
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    with serve(pair.value, "--tls-check-freq", "0.2", "--master") as server:
        address = server.addresses[0]
        with TlsClient(address, authority.trust()) as old:
            before, pid = serial(old), told(old)["pid"]
            replace_pair(pair, authority.issue("second"))

            def is_new() -> bool:
                with TlsClient(address, authority.trust()) as client:
                    return serial(client) != before and told(client)["pid"] == pid

            wait_until(is_new, 20, what="the renewed certificate")
            assert told(old)["pid"] == pid
            server.wait_for_log(rf"^the certificate {pair.certificate} was renewed: new connections get it$")
            pair.key.write_bytes(authority.issue("third").key.read_bytes())

            def is_complaining() -> bool:
                with TlsClient(address, authority.trust()) as client:
                    assert client.get("/").status == 200
                return "does not belong to the certificate" in server.log

            wait_until(is_complaining, 20, what="a complaint")
            server.signal(SIGHUP)
            server.wait_for_log(r"^\*\*\* reload cancelled: .*'https-socket': the key \S+ does not belong")
            assert told(old)["pid"] == pid
        replace_pair(pair, authority.issue("fourth"))
        server.signal(SIGHUP)
        server.wait_for_log(r"^\*\*\* reload complete|reload .*complete", timeout=30)
        with TlsClient(address, authority.trust()) as client:
            assert serial(client) != before
            assert told(client)["pid"] != pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_keys_that_only_root_can_read(tmp_path: Path) -> None:
    """They are read before the server gives up being root, and kept over reloads."""
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    os.chmod(pair.key, 0o600)
    os.chmod(tmp_path, 0o755)
    with serve(pair.value, "--uid", "nobody", "--gid", "nogroup", launcher=readable_launcher()) as server:
        server.wait_for_log(
            rf"^\*\*\* WARNING: the key {pair.key} may not be read by uid \d+: a renewed certificate needs"
        )
        with TlsClient(server.addresses[0], authority.trust()) as client:
            pid = told(client)["pid"]
        server.signal(SIGHUP)
        server.wait_for_log(
            rf"^\*\*\* WARNING: {tmp_path}/server\.\w+ cannot be read any more by uid \d+ .*: the certificate"
        )

        def is_reloaded() -> bool:
            with TlsClient(server.addresses[0], authority.trust()) as client:
                return bool(told(client)["pid"] != pid)

        wait_until(is_reloaded, 30, what="the new worker")
        for process in server.session_pids():
            assert b"libssl" not in Path(f"/proc/{server.pid}/maps").read_bytes(), process


def test_what_cannot_be_used_is_told_at_the_start(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """One line with the place, exit code 1, and nothing is left behind."""
    other = authority.issue("other")
    locked = tmp_path / "locked.key"
    locked.write_text(openssl("pkcs8", "-topk8", "-in", pair.key, "-passout", "pass:secret"))
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("nothing of the kind")
    path = tmp_path / "server.sock"
    cases = {
        f"{tmp_path}/none.crt,{pair.key}": f"{tmp_path}/none.crt: No such file or directory",
        f"{pair.certificate},{tmp_path}": f"{tmp_path}: Is a directory",
        f"{pair.certificate},{other.key}": f"the key {other.key} does not belong to the certificate {pair.certificate}",
        f"{pair.certificate},{locked}": f"the key {locked} is encrypted",
        f"{garbage},{pair.key}": f"{garbage} has no certificate in PEM form",
        f"{pair.certificate},{garbage}": f"{garbage} has no private key in PEM form",
        f"{pair.value},NO-SUCH-CIPHER": "OpenSSL knows no cipher of 'NO-SUCH-CIPHER'",
        f"{pair.value},,{garbage}": f"{garbage} has no certificate in PEM form",
        f"{pair.certificate}": "needs 'certificate,key'",
    }
    running = []
    for number, value in enumerate(cases):
        configuration = tmp_path / f"{number}.ini"
        configuration.write_text(f"[uwsgi]\nmodule = hello\nhttps-socket = {path},{value}\n")
        server = ServerProcess("--ini", configuration)
        server.start()
        running.append(server)
    for number, (server, sentence) in enumerate(zip(running, cases.values(), strict=True)):
        assert server.wait_end(60) == 1, server.log
        assert f"{number}.ini:3: 'https-socket'" in server.log
        assert sentence in server.log
        assert len(server.log_lines) == 1, server.log
    assert not path.exists()


def test_expired_certificate_is_told(authority: Authority) -> None:
    expired = authority.issue("expired", days=-1)
    with serve(expired.value) as server:
        assert server.log.count("*** WARNING: the certificate") == 1
        server.wait_for_log(
            rf"^\*\*\* WARNING: the certificate {expired.certificate} expired on \d{{4}}-\d\d-\d\d .* UTC: "
        )
