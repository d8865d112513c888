"""Who the client is: behind a real nginx, from trusted and other addresses, in the environ and in the log."""

from __future__ import annotations

import http.client
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.conformance.servers import serve
from tests.conformance.wire import Wire, nginx_variables, packet, request
from tests.support.engines import prefork_and_gevent
from tests.support.nginx import needs_nginx, nginx_with
from tests.support.server import ServerProcess

# The whole of 127.0.0.0/8 is this machine: one address is the proxy's, another one a stranger's.
PROXY, STRANGER = "127.0.0.1", "127.0.0.2"
FORGED = {
    "X-Forwarded-For": "9.9.9.9",
    "X-Forwarded-Proto": "https",
    "Forwarded": "for=9.9.9.9",
    "X-Real-IP": "9.9.9.9",
}

LOCATIONS = """
        proxy_set_header Host $host;
        location / {{
            proxy_pass http://{http};
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
        location /twice/ {{
            proxy_pass http://127.0.0.1:PORT/;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
        location /packet/ {{
            rewrite ^/packet(/.*)$ $1 break;
            uwsgi_pass {uwsgi};
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param REQUEST_URI $request_uri;
            uwsgi_param PATH_INFO $document_uri;
            uwsgi_param SERVER_PROTOCOL $server_protocol;
            uwsgi_param REMOTE_ADDR $remote_addr;
            uwsgi_param REMOTE_PORT $remote_port;
        }}
"""


def ask(address: tuple[str, int], source: str, path: str = "/environ", **headers: str) -> dict[str, Any]:
    """The environ of a request that comes from this address."""
    client = http.client.HTTPConnection(*address, timeout=20, source_address=(source, 0))
    try:
        client.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = client.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        environ: dict[str, Any] = json.loads(body)["environ"]
        return environ
    finally:
        client.close()


def forged_in(environ: dict[str, Any]) -> list[str]:
    return [name for name, value in environ.items() if "9.9.9.9" in str(value)]


@needs_nginx
@prefork_and_gevent
def test_behind_nginx(engine: tuple[str, ...], tmp_path: Path) -> None:
    """nginx as its documentation has it: the client is found over one hop and over two, and cannot forge itself."""
    with ExitStack() as running:
        target = running.enter_context(serve(tmp_path, "--trusted-proxies", PROXY, *engine))
        addresses = ("{}:{}".format(*address) for address in (target.http, target.uwsgi))
        locations = LOCATIONS.format(**dict(zip(("http", "uwsgi"), addresses, strict=True)))
        nginx = running.enter_context(nginx_with(tmp_path, locations))
        for path in ("/environ", "/twice/environ", "/packet/environ"):
            environ = ask(nginx, STRANGER, path, **FORGED)
            assert environ["REMOTE_ADDR"] == STRANGER, path
            assert environ["wsgi.url_scheme"] == "http", path
            # X-Real-IP is not the server's business where a trusted proxy passes it on.
            assert forged_in(environ) in ([], ["HTTP_X_REAL_IP"]), path
        target.process.wait_for_log(rf"\] {STRANGER} \(\) \{{.*GET /environ => ", count=2)


@prefork_and_gevent
def test_from_a_proxy_and_from_a_stranger(engine: tuple[str, ...], tmp_path: Path) -> None:
    with serve(tmp_path, "--trusted-proxies", PROXY, *engine) as target:
        environ = ask(target.http, PROXY, X_Forwarded_For="9.9.9.9, 198.51.100.7", X_Forwarded_Proto="https")
        assert (environ["REMOTE_ADDR"], environ["HTTPS"]) == ("198.51.100.7", "on")
        assert environ["wsgi.url_scheme"] == "https"
        stranger = ask(target.http, STRANGER, **FORGED)
        assert (stranger["REMOTE_ADDR"], stranger["wsgi.url_scheme"]) == (STRANGER, "http")
        assert forged_in(stranger) == []
        target.process.wait_for_log(r"\] 198\.51\.100\.7 \(\) .*GET /environ")


def test_without_the_option_nothing_is_believed_and_nothing_removed(tmp_path: Path) -> None:
    with serve(tmp_path) as target:
        environ = ask(target.http, PROXY, **FORGED)
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (PROXY, "http")
        assert environ["HTTP_X_FORWARDED_FOR"] == "9.9.9.9"


def test_connections_that_are_kept_are_asked_each_time(tmp_path: Path) -> None:
    """A proxy's connection carries requests of many clients, also pipelined ones and some with a body."""
    with serve(tmp_path, "--trusted-proxies", PROXY) as target, target.wire() as wire:
        wire.send(b"".join(request("/environ", f"X-Forwarded-For: 198.51.100.{number}") for number in (1, 2)))
        wire.send(request("/environ", method="POST", body=b"abc"))
        found = [json.loads(wire.read_response().body)["environ"]["REMOTE_ADDR"] for _ in range(3)]
        assert found == ["198.51.100.1", "198.51.100.2", PROXY]


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    state = {"CONFORMANCE_STATE": str(tmp_path)}
    application = ("--module", "tests.conformance.application")
    with (
        ServerProcess("--http-socket", path, "--trusted-proxies=unix", *application, environment=state),
        Wire(str(path)) as wire,
    ):
        wire.send(request("/environ", "X-Forwarded-For: 198.51.100.7"))
        assert json.loads(wire.read_response().body)["environ"]["REMOTE_ADDR"] == "198.51.100.7"


def test_log_x_forwarded_for_agrees(tmp_path: Path) -> None:
    """What is logged in its place is what was verified."""
    with serve(tmp_path, "--trusted-proxies", PROXY, "--log-x-forwarded-for") as target:
        ask(target.http, PROXY, X_Forwarded_For="9.9.9.9, 198.51.100.7")
        ask(target.http, STRANGER, X_Forwarded_For="9.9.9.9")
        target.process.wait_for_log(r"\] 198\.51\.100\.7 \(\)")
        target.process.wait_for_log(rf"\] {STRANGER} \(\)")
        assert "9.9.9.9" not in target.process.log


def test_uwsgi_packet_of_a_web_server(tmp_path: Path) -> None:
    """Behind a load balancer that nginx knows as its client."""
    with serve(tmp_path, "--trusted-proxies", "192.0.2.7") as target, Wire(target.uwsgi) as wire:
        wire.send(packet(nginx_variables("/environ", HTTP_X_FORWARDED_FOR="9.9.9.9, 198.51.100.7")))
        body = wire.read_to_end().partition(b"\r\n\r\n")[2]
        assert json.loads(body)["environ"]["REMOTE_ADDR"] == "198.51.100.7"


def test_forwarded_allow_ips(tmp_path: Path) -> None:
    """gunicorn's variable, which Heroku's buildpack sets."""
    state = {"CONFORMANCE_STATE": str(tmp_path), "FORWARDED_ALLOW_IPS": "*"}
    application = ("--module", "tests.conformance.application")
    with ServerProcess("--http-socket", "127.0.0.1:0", *application, environment=state) as server:
        environ = ask(server.addresses[0], STRANGER, X_Forwarded_For="9.9.9.9, 198.51.100.7", X_Forwarded_Proto="https")
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("198.51.100.7", "https")


def test_malformed_forwarded_is_refused_with_a_line(tmp_path: Path) -> None:
    options = ("--trusted-proxies", PROXY, "--trusted-proxy-headers=forwarded")
    with serve(tmp_path, *options) as target:
        with target.wire() as wire:
            wire.send(request("/environ", 'Forwarded: for="'))
            assert wire.read_response().status == 400
        target.process.wait_for_log(r"refused a request from 127\.0\.0\.1: a malformed Forwarded field \(400\)")
        assert ask(target.http, PROXY, Forwarded="for=198.51.100.7;proto=https")["REMOTE_ADDR"] == "198.51.100.7"


def test_a_wrong_option_is_one_sentence() -> None:
    with ServerProcess("--http-socket", "127.0.0.1:0", "--trusted-proxies=10.0.0.1/8", wait=False) as server:
        assert server.wait_end() == 1
        assert "its own address is 10.0.0.0/8" in server.log
