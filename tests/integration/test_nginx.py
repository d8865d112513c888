"""Behind a real nginx: `uwsgi_pass` and `proxy_pass`, over TCP and Unix sockets, with bodies buffered and not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.servers import MODULE
from tests.conformance.wire import Response, Wire, chunks, request
from tests.support.engines import GREEN
from tests.support.nginx import BEGINNING, NGINX
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

WAYS = ("uwsgi-tcp", "uwsgi-unix", "proxy-tcp", "proxy-unix")

CONFIGURATION = (
    BEGINNING
    + """
    client_max_body_size 50m;
    include {parameters};
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Connection "";
    {servers}
}}
"""
)

SERVER = """
    upstream {name}-kept {{ server {address}; keepalive 4; }}
    server {{
        listen unix:{folder}/{name}.nginx;
        location / {{ {passing}; }}
        location /unbuffered/ {{
            {kind}_request_buffering off;
            {kind}_buffering off;
            rewrite ^/unbuffered(/.*)$ $1 break;
            {passing};
        }}
    }}
"""

UWSGI_PARAMETERS = {
    "REQUEST_METHOD": "$request_method",
    "QUERY_STRING": "$query_string",
    "CONTENT_TYPE": "$content_type",
    "CONTENT_LENGTH": "$content_length",
    "REQUEST_URI": "$request_uri",
    "PATH_INFO": "$document_uri",
    "DOCUMENT_ROOT": "$document_root",
    "SERVER_PROTOCOL": "$server_protocol",
    "REQUEST_SCHEME": "$scheme",
    "REMOTE_ADDR": "$remote_addr",
    "REMOTE_PORT": "$remote_port",
    "SERVER_PORT": "$server_port",
    "SERVER_NAME": "$server_name",
}


@dataclass(frozen=True, slots=True)
class Site:
    """nginx in front of a server; one Unix socket of nginx for each way to the server."""

    folder: Path
    server: ServerProcess

    def ask(self, way: str, data: bytes, method: str = "GET") -> Response:
        with Wire(str(self.folder / f"{way}.nginx"), patience=20) as wire:
            wire.send(data)
            return wire.read_response(method)


@pytest.fixture(scope="module", params=[(), GREEN], ids=["prefork", "gevent"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o711)
    sockets = ("--socket", "127.0.0.1:0", "--http-socket", "127.0.0.1:0", "--socket", f"{folder}/uwsgi.sock")
    options = (
        *sockets,
        "--http-socket",
        f"{folder}/http.sock",
        "--chmod-socket=666",
        *MODULE,
        "--processes",
        "2",
        *request.param,
    )
    with ServerProcess(*options, environment={"CONFORMANCE_STATE": str(folder)}) as server:
        configure(folder, server)
        assert NGINX is not None
        nginx = subprocess.Popen(
            [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: all((folder / f"{way}.nginx").is_socket() for way in WAYS), what="nginx to listen")
            yield Site(folder, server)
        finally:
            nginx.terminate()
            nginx.wait(10)


def addresses(folder: Path, server: ServerProcess) -> dict[str, str]:
    """Where the server is reached in each way; it tells which of its sockets speaks what by answering."""
    found = {"uwsgi-unix": f"unix:{folder}/uwsgi.sock", "proxy-unix": f"unix:{folder}/http.sock"}
    for host, port in server.addresses:
        with Wire((host, port)) as wire:
            wire.send(request("/x", "Connection: close"))
            speaks_http = wire.read_to_end().startswith(b"HTTP/1.1 200")
        found["proxy-tcp" if speaks_http else "uwsgi-tcp"] = f"{host}:{port}"
    return found


def configure(folder: Path, server: ServerProcess) -> None:
    where = addresses(folder, server)
    servers = []
    for way in WAYS:
        kind = way.partition("-")[0]
        scheme = "http://" if kind == "proxy" else ""
        passing = f"{kind}_pass {scheme}{way}-kept"
        servers.append(SERVER.format(name=way, address=where[way], folder=folder, kind=kind, passing=passing))
    parameters = folder / "uwsgi_params"
    lines = [f"uwsgi_param {name} {value};" for name, value in UWSGI_PARAMETERS.items()]
    parameters.write_text("\n".join([*lines, "uwsgi_param HTTPS $https if_not_empty;", ""]))
    user = "user root;" if os.getuid() == 0 else ""
    text = CONFIGURATION.format(folder=folder, parameters=parameters, servers="".join(servers), user=user)
    (folder / "nginx.conf").write_text(text)


@pytest.mark.parametrize("way", WAYS)
def test_get(site: Site, way: str) -> None:
    response = site.ask(way, request("/environ/a%20b?q=1", "X-Token: t", "Cookie: a=1"))
    environ = json.loads(response.body)["environ"]
    assert environ["PATH_INFO"] == "/environ/a b"
    assert environ["QUERY_STRING"] == "q=1"
    assert environ["HTTP_X_TOKEN"] == "t"
    assert environ["HTTP_HOST"] == "test"
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["REQUEST_URI"].startswith("/environ/a%20b")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prefix", ["", "/unbuffered"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_upload(site: Site, way: str, prefix: str, coding: str) -> None:
    data = bytes(range(256)) * 4000
    if coding == "length":
        raw = request(f"{prefix}/digest", method="POST", body=data)
    else:
        raw = request(f"{prefix}/digest", "Transfer-Encoding: chunked", method="POST") + chunks(data[:500], data[500:])
    expected = f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()
    assert site.ask(way, raw).body == expected


@pytest.mark.parametrize("way", WAYS)
def test_upload_that_the_application_ignores(site: Site, way: str) -> None:
    """Closing on unread data would reset the connection, and nginx would answer 502."""
    response = site.ask(way, request("/ignore", method="POST", body=b"x" * 3_000_000))
    assert (response.status, response.body) == (200, b"ignored")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prefix", ["", "/unbuffered"], ids=["buffered", "unbuffered"])
def test_large_response(site: Site, way: str, prefix: str) -> None:
    response = site.ask(way, request(f"{prefix}/big?size=5000000"))
    assert response.whole
    assert len(response.body) == 5_000_000


@pytest.mark.parametrize("way", WAYS)
def test_stream(site: Site, way: str) -> None:
    response = site.ask(way, request("/stream?blocks=100&size=50"))
    assert response.whole
    assert response.body == b"".join(b"%d" % (number % 10) * 50 for number in range(100))


@pytest.mark.parametrize("way", WAYS)
def test_file(site: Site, way: str) -> None:
    response = site.ask(way, request("/file/sized"))
    assert response.whole
    assert len(response.body) == 307_200


@pytest.mark.parametrize("way", WAYS)
def test_head(site: Site, way: str) -> None:
    response = site.ask(way, request("/x", method="HEAD"), "HEAD")
    assert response.status == 200
    assert response.get("Content-Length") == "8"


@pytest.mark.parametrize("way", WAYS)
def test_error_status(site: Site, way: str) -> None:
    assert site.ask(way, request("/error/before")).status == 500


@pytest.mark.parametrize("way", WAYS)
def test_many_requests_on_one_connection(site: Site, way: str) -> None:
    """nginx keeps its connections to HTTP upstreams, and opens new ones to uwsgi upstreams; neither may fail."""
    with Wire(str(site.folder / f"{way}.nginx")) as wire:
        for number in range(100):
            wire.send(request(f"/{number}"))
            assert wire.read_response().body == b"path=/%d\n" % number
