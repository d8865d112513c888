"""Behind a real nginx with the files of parameters that it comes with: `scgi_pass` and `fastcgi_pass`, kept or not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conformance.servers import MODULE
from tests.conformance.wire import ConnectionEnded, Wire, chunks, request
from tests.integration.test_nginx import CONFIGURATION, Site
from tests.support.engines import GREEN
from tests.support.nginx import NGINX
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

STOCK = Path("/etc/nginx")

pytestmark = pytest.mark.skipif(
    NGINX is None or not (STOCK / "scgi_params").exists(), reason="nginx with its files of parameters is not installed"
)

WAYS = ("scgi-tcp", "scgi-unix", "fastcgi-tcp", "fastcgi-unix", "fastcgi-kept")
SERVER = """
    upstream {way}-servers {{ server {address}; {keeping} }}
    server {{
        listen unix:{folder}/{way}.nginx;
        include {stock}/{kind}_params;
        {kept}
        location / {{ {kind}_pass {way}-servers; }}
        location /unbuffered/ {{
            {kind}_request_buffering off;
            {kind}_buffering off;
            rewrite ^/unbuffered(/.*)$ $1 break;
            {kind}_pass {way}-servers;
        }}
    }}
"""


@pytest.fixture(scope="module", params=[(), GREEN], ids=["prefork", "gevent"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o711)
    sockets = [part for way in WAYS for part in (f"--{kind(way)}-socket", where(folder, way))]
    options = (*sockets, "--chmod-socket=666", *MODULE, "--processes", "2", *request.param)
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(folder)}) as server:
        configure(folder, server)
        assert NGINX is not None
        command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        nginx = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: all((folder / f"{way}.nginx").is_socket() for way in WAYS), what="nginx to listen")
            yield Site(folder, server)
        finally:
            nginx.terminate()
            nginx.wait(10)


def kind(way: str) -> str:
    return way.partition("-")[0]


def where(folder: Path, way: str) -> str:
    return "127.0.0.1:0" if way.endswith("tcp") else f"{folder}/{way}.sock"


def configure(folder: Path, server: ServerProcess) -> None:
    """TCP addresses are bound in the order of the options."""
    ports = iter(server.addresses)
    servers = []
    for way in WAYS:
        address = f"127.0.0.1:{next(ports)[1]}" if way.endswith("tcp") else f"unix:{folder}/{way}.sock"
        keeping, kept = ("keepalive 4;", "fastcgi_keep_conn on;") if way.endswith("kept") else ("", "")
        names = {"way": way, "kind": kind(way), "keeping": keeping, "kept": kept}
        servers.append(SERVER.format(address=address, folder=folder, stock=STOCK, **names))
    user = "user root;" if os.getuid() == 0 else ""
    text = CONFIGURATION.format(folder=folder, parameters="/dev/null", servers="".join(servers), user=user)
    (folder / "nginx.conf").write_text(text)


@pytest.mark.parametrize("way", WAYS)
def test_get(site: Site, way: str) -> None:
    """The stock files name no PATH_INFO; the application has it all the same."""
    response = site.ask(way, request("/environ/a%20b?q=1", "X-Token: t", "Cookie: a=1"))
    environ = json.loads(response.body)["environ"]
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("", "/environ/a b", "q=1")
    assert (environ["HTTP_X_TOKEN"], environ["HTTP_COOKIE"], environ["HTTP_HOST"]) == ("t", "a=1", "test")
    assert (environ["REQUEST_METHOD"], environ["wsgi.url_scheme"]) == ("GET", "http")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prefix", ["", "/unbuffered"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_upload_of_5_mb(site: Site, way: str, prefix: str, coding: str) -> None:
    if (kind(way), prefix, coding) == ("scgi", "/unbuffered", "length"):
        pytest.skip("nginx announces a wrong length then; the codec's tests have it")
    data = bytes(range(256)) * 20_000
    if coding == "length":
        raw = request(f"{prefix}/digest", method="POST", body=data)
    else:
        raw = request(f"{prefix}/digest", "Transfer-Encoding: chunked", method="POST") + chunks(data[:500], data[500:])
    assert site.ask(way, raw).body == f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


@pytest.mark.parametrize("way", WAYS)
def test_upload_that_the_application_ignores(site: Site, way: str) -> None:
    response = site.ask(way, request("/ignore", method="POST", body=b"x" * 3_000_000))
    assert (response.status, response.body) == (200, b"ignored")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prefix", ["", "/unbuffered"], ids=["buffered", "unbuffered"])
def test_large_response(site: Site, way: str, prefix: str) -> None:
    response = site.ask(way, request(f"{prefix}/big?size=5000000"))
    assert (response.whole, len(response.body)) == (True, 5_000_000)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prefix", ["", "/unbuffered"], ids=["buffered", "unbuffered"])
def test_stream(site: Site, way: str, prefix: str) -> None:
    response = site.ask(way, request(f"{prefix}/stream?blocks=100&size=50"))
    assert response.whole
    assert response.body == b"".join(b"%d" % (number % 10) * 50 for number in range(100))


@pytest.mark.parametrize("way", WAYS)
def test_file(site: Site, way: str) -> None:
    response = site.ask(way, request("/file/sized"))
    assert (response.whole, len(response.body)) == (True, 307_200)


@pytest.mark.parametrize("way", WAYS)
def test_head(site: Site, way: str) -> None:
    response = site.ask(way, request("/x", method="HEAD"), "HEAD")
    assert (response.status, response.get("Content-Length")) == (200, "8")


@pytest.mark.parametrize("way", WAYS)
def test_statuses(site: Site, way: str) -> None:
    assert site.ask(way, request("/error/before")).status == 500
    assert site.ask(way, request("/status/404%20Gone%20Fishing")).reason == "Gone Fishing"
    assert site.ask(way, request("/status/204%20No%20Content")).status == 204


@pytest.mark.parametrize("way", ["scgi-tcp", "fastcgi-tcp", "fastcgi-unix", "fastcgi-kept"])
@pytest.mark.parametrize("prefix", ["/unbuffered", ""], ids=["unbuffered", "buffered"])
def test_cut_response_is_not_whole(site: Site, way: str, prefix: str) -> None:
    """A Unix socket knows no end but an orderly one, and nginx looks for no END_REQUEST, but at the kinds of records.

    What has not left nginx by then may never do.
    """
    for _ in range(3):
        with suppress(ConnectionEnded):
            response = site.ask(way, request(f"{prefix}/error/replaced-late"))
            assert response.status == 502 or not response.whole
    assert site.ask(way, request("/x")).body == b"path=/x\n"


@pytest.mark.parametrize("way", WAYS)
def test_clients_that_leave(site: Site, way: str) -> None:
    for _ in range(20):
        with Wire(str(site.folder / f"{way}.nginx")) as wire:
            wire.send(request("/unbuffered/big?size=3000000"))
            wire.receive()
            wire.reset()
    assert site.ask(way, request("/x")).body == b"path=/x\n"


@pytest.mark.parametrize("way", WAYS)
def test_many_requests_on_one_connection(site: Site, way: str) -> None:
    with Wire(str(site.folder / f"{way}.nginx")) as wire:
        for number in range(100):
            wire.send(request(f"/{number}"))
            assert wire.read_response().body == b"path=/%d\n" % number
