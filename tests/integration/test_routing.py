"""Rules on real sockets: answers, headers, the four chains, the log, and deadlines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_raw_streams import talk
from tests.support.client import Response
from tests.support.engines import GREEN, THREADS
from tests.support.server import ServerProcess
from uwsgi_deploy.protocol.websocket import Opcode

RULES = """\
[uwsgi]
http-socket = 127.0.0.1:0
mount = /app=routed
module = routed
manage-script-name = true
static-map = /static=www
master = true
harakiri = 60
log-format = %(method) %(uri) %(status) who=%(who)

route = ^/health$ donotlog:
route = ^/health$ return:200 OK
route-if = equal:${HTTP_X_FORWARDED_PROTO};http redirect-permanent:https://${HTTP_HOST}${REQUEST_URI}
route-if = ishigher:${CONTENT_LENGTH};100 break:413 Request Entity Too Large
route = ^/staging basicauth:Staging,me:secret
route = ^/who/(.*) logvar:who=$1
route = ^/old/(.*) rewrite:/new/$1?was=old
route = ^/new addvar:ADDED=1
route = /slow$ harakiri:1
route = ^/evil harakiri:1
route = ^/evil/(a+)+$ log:never
route = (?s)^/echo/(.*) addheader:X-Echo: $1
route-run = addheader:Strict-Transport-Security: max-age=60
route-run = delheader:Server
route = ^/static/hidden break:404
route = ^/closed file:filename=www/closed.html,status=503 Service Unavailable
route = ^/page static:www/closed.html

error-route = ^/plain last:
error-route-status = 404 addheader:X-Error: ${uwsgi[status]}
error-route-status = 404 file:www/closed.html
error-route-status = 5xx send:we are sorry (${uwsgi[status]})
error-route-status = 5xx break:
response-route-status = 200 addheader:X-Worker: ${uwsgi[wid]}
response-route = ^/bare clearheaders:
final-route = ^/final log:final ${uwsgi[status]} ${PATH_INFO}
final-route = ^/final donotlog:
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("routed")
    www = directory / "www"
    www.mkdir()
    (www / "closed.html").write_text("<h1>closed</h1>")
    (www / "hidden").write_text("hidden")
    (directory / "routes.ini").write_text(RULES)
    with ServerProcess("--ini", "routes.ini", directory=directory) as running:
        yield running


def test_a_health_check_leaves_no_line(server: ServerProcess) -> None:
    response = server.get("/health")
    assert (response.status, response.body) == (200, b"OK")
    server.get("/who/after")
    server.wait_for_log("GET /who/after 200 who=after$")
    assert "GET /health" not in server.log


def test_redirect_behind_a_proxy(server: ServerProcess) -> None:
    response = server.get("/x?a=1", X_Forwarded_Proto="http")
    assert (response.status, response.header("Location")) == (301, "https://test/x?a=1")
    assert response.header("Strict-Transport-Security") is None  # a rule further down
    assert server.get("/x", X_Forwarded_Proto="https").status == 200
    server.wait_for_log(r"^GET /x\?a=1 301 who=-$")


def test_requests_that_are_too_large_keep_their_connection(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: test\r\nContent-Length: 101\r\n\r\n" + b"x" * 101)
        response = client.receive()
        assert (response.status, response.reason) == (413, "Request Entity Too Large")
        assert client.get("/y").status == 200


def test_passwords(server: ServerProcess) -> None:
    response = server.get("/staging")
    assert (response.status, response.header("WWW-Authenticate")) == (401, 'Basic realm="Staging", charset="UTF-8"')
    response = server.get("/staging", Authorization="Basic bWU6c2VjcmV0")
    assert b"PATH_INFO=/staging QUERY_STRING= REMOTE_USER=me " in response.body


def test_rewritten_requests_go_through_the_rest(server: ServerProcess) -> None:
    response = server.get("/old/x?kept=1")
    assert response.body == b"SCRIPT_NAME= PATH_INFO=/new/x QUERY_STRING=was=old&kept=1 REMOTE_USER= ADDED=1"


def test_headers(server: ServerProcess) -> None:
    response = server.get("/echo/a%0d%0aSet-Cookie:%20b%00")
    assert response.header("X-Echo") == "a  Set-Cookie: b"
    assert response.header("Set-Cookie") is None
    assert response.header("Server") is None
    assert response.header("X-App") == "yes"
    assert response.header("Strict-Transport-Security") == "max-age=60"
    assert response.header("X-Worker") == "1"
    bare = server.get("/bare")
    added = {"strict-transport-security", "x-worker"}
    assert {name for name, _ in bare.headers} == {"date", "content-length", *added}
    assert bare.body.startswith(b"SCRIPT_NAME")


def test_files(server: ServerProcess) -> None:
    page = server.get("/page")
    assert (page.status, page.body, page.header("Content-Type")) == (200, b"<h1>closed</h1>", "text/html")
    assert server.get("/page", Range="bytes=1-2").body == b"h1"
    assert server.get("/page", If_None_Match=str(page.header("ETag"))).status == 304
    closed = server.get("/closed", Range="bytes=1-2")
    # A rule's own error goes through the error chain as well.
    assert (closed.status, closed.body) == (503, b"we are sorry (503)")


def test_rules_come_before_static_files(server: ServerProcess) -> None:
    assert server.get("/static/closed.html").header("X-Worker") == "1"
    assert server.get("/static/hidden").status == 404


@pytest.mark.parametrize("path", ["list", "generator", "write", "close"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_another_page_for_errors(server: ServerProcess, path: str, method: str) -> None:
    def ask(path: str) -> Response:
        client.send(f"{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        return client.receive(method)

    with server.connect() as client:
        response = ask(f"/{path}")
        assert (response.status, response.header("X-Error"), response.header("X-App")) == (404, "404", None)
        assert response.header("Content-Length") == "15"
        assert response.body == (b"" if method == "HEAD" else b"<h1>closed</h1>")
        plain = ask(f"/plain/{path}")
        assert (plain.status, plain.header("X-Error"), plain.header("X-App")) == (404, None, "yes")


def test_bodies_that_are_not_sent_are_closed(server: ServerProcess) -> None:
    before = int(server.get("/count/closed").body)
    server.get("/close")
    assert int(server.get("/count/closed").body) == before + 1


@pytest.mark.parametrize("path", ["/fails", "/fails-late"])
def test_the_servers_own_errors(server: ServerProcess, path: str) -> None:
    response = server.get(path)
    assert (response.status, response.body) == (500, b"we are sorry (500)")
    assert response.header("Strict-Transport-Security") == "max-age=60"
    assert "RuntimeError: on purpose" in server.log


def test_when_all_is_sent(server: ServerProcess) -> None:
    server.get("/final/x")
    server.wait_for_log("^final 200 /final/x$")
    server.get("/who/final")
    server.wait_for_log("who=final$")
    assert "GET /final" not in server.log


@pytest.mark.parametrize("path", ["/slow", "/app/slow", "/evil/" + "a" * 40 + "b"])
def test_deadlines(server: ServerProcess, path: str) -> None:
    """In the application, in one under a path, and in a regular expression without an end; the worker stays."""
    pids = server.worker_pids
    response = server.get(path)
    assert (response.status, response.body) == (504, b"we are sorry (504)")
    server.wait_for_log(rf"^GET {path} 504 who=-$")
    assert server.get("/x").status == 200
    assert server.worker_pids == pids


@pytest.mark.parametrize("engine", [THREADS, GREEN], ids=["threads", "gevent"])
def test_the_usual_line_and_connections_that_are_taken_over(engine: tuple[str, ...], tmp_path: Path) -> None:
    """The line says that a rule has answered. WebSockets are requests: guards see them, and header rules do no harm."""
    rules = ("--route", "^/a break:404", "--route", "^/polls break:403", "--route-run", "addheader:X-A: b")
    rules += ("--final-route", "^/uwsgi log:over ${uwsgi[status]}", "--error-route", "^/fails send:sorry")
    options = ("--module", "talking", "--http-socket", "127.0.0.1:0", *rules, *engine)
    with ServerProcess(*options, directory=tmp_path) as server:
        assert server.get("/a").status == 404
        server.wait_for_log(r"\d msecs via route\(\) \(HTTP/1.1 404\)")
        assert server.get("/b").status == 200
        server.wait_for_log(r"GET /b .* \d msecs \(HTTP/1.1 200\)")
        with talk(server, "/polls") as refused:
            assert (refused.answer.status, refused.answer.header("X-A")) == (403, None)
        with talk(server, "/uwsgi") as ws:
            assert ws.answer.status == 101
            ws.say(Opcode.TEXT, b"hello")
            assert ws.hear() == (Opcode.TEXT, b"HELLO")
            ws.say(Opcode.CLOSE, b"")
        server.wait_for_log("^over 101$")
        assert server.get("/fails").body == b"sorry"
        assert server.stop() == 0
