"""PEP 3333 beyond one exchange: the whole environ, what `close()` guarantees, files, and requests that must not mix."""

from __future__ import annotations

import json

import pytest

from tests.conformance.application import PATTERN, SECRET
from tests.conformance.servers import Target, fresh_ident
from tests.conformance.wire import ConnectionEnded, Response, request

REQUIRED = {
    *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"),
    *("REMOTE_ADDR", "REMOTE_PORT", "REQUEST_URI", "DOCUMENT_ROOT"),
    *("wsgi.version", "wsgi.url_scheme", "wsgi.input", "wsgi.errors", "wsgi.multithread", "wsgi.multiprocess"),
    *("wsgi.run_once", "wsgi.file_wrapper", "uwsgi.version", "uwsgi.node"),
}


def get(target: Target, path: str, method: str = "GET") -> Response | None:
    """One request on a connection of its own; None when the server closed instead of answering."""
    with target.wire() as wire:
        wire.send(request(path, method=method))
        try:
            return wire.read_response(method)
        except ConnectionEnded:
            return None


def test_environ_is_complete(target: Target) -> None:
    """Everything that PEP 3333 demands and uWSGI adds, with the types that are demanded."""
    response = get(target, "/environ?q=1")
    assert response is not None
    facts = json.loads(response.body)
    environ = facts["environ"]
    assert set(environ) >= REQUIRED
    assert facts["is_dict"]
    assert facts["text"], "a CGI variable is not a str"
    assert environ["wsgi.version"] == [1, 0]
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.run_once"] is False
    assert isinstance(environ["wsgi.multithread"], bool)
    assert isinstance(environ["wsgi.multiprocess"], bool)
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["REMOTE_PORT"].isdigit()
    assert environ["SERVER_PORT"] == str(target.http[1])
    assert facts["input"] == ["read", "readline", "readlines", "__iter__"]
    assert facts["errors"] == ["write", "writelines", "flush"]


def test_process_environment_does_not_leak(target: Target) -> None:
    response = get(target, "/environ")
    assert response is not None
    assert not {"PATH", "HOME", "PYTHONPATH"} & set(json.loads(response.body)["environ"])


def test_environ_is_fresh_for_each_request(target: Target) -> None:
    """What an application puts into the environ is gone with its request, also on the same connection."""
    with target.wire() as wire:
        wire.send(request("/pollute"))
        assert wire.read_response().body == b"polluted"
        wire.send(request("/environ"))
        environ = json.loads(wire.read_response().body)["environ"]
    assert environ["SCRIPT_NAME"] == ""
    assert not {"REMOTE_USER", "HTTP_X_LEFT", "left.over"} & set(environ)


def test_headers_of_one_request_are_not_in_the_next(target: Target) -> None:
    with target.wire() as wire:
        wire.send(request("/environ", "X-Once: 1", "Cookie: a=1", method="POST", body=b"abc"))
        wire.read_response()
        wire.send(request("/environ"))
        environ = json.loads(wire.read_response().body)["environ"]
    assert not {"HTTP_X_ONCE", "HTTP_COOKIE"} & set(environ)
    assert environ.get("CONTENT_LENGTH", "") in ("", "0")


@pytest.mark.parametrize("path", ["/closing/midway", "/closing/midway-length"])
def test_error_midway_is_visibly_incomplete(target: Target, path: str) -> None:
    """The client can tell that a body was cut, and sees nothing of the traceback."""
    response = get(target, f"{path}?id={fresh_ident()}")
    assert response is not None
    assert not response.whole
    assert SECRET.encode() not in response.body
    target.assert_serving()


def test_traceback_is_logged_and_not_sent(target: Target) -> None:
    response = get(target, "/error/before")
    assert response is not None
    assert response.status == 500
    assert SECRET.encode() not in response.body
    target.process.wait_for_log(f"RuntimeError: {SECRET}")


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/closing/normal", "GET"),
        ("/closing/normal", "HEAD"),
        ("/closing/empty", "GET"),
        ("/closing/first-block", "GET"),
        ("/closing/midway", "GET"),
        ("/closing/midway-length", "GET"),
        ("/closing/text", "GET"),
        ("/closing/not-started", "GET"),
        ("/closing/failing", "GET"),
        ("/file/sized", "GET"),
        ("/file/sized", "HEAD"),
        ("/file/unsized", "GET"),
        ("/file/iterated", "GET"),
    ],
)
def test_close_is_called_exactly_once(target: Target, path: str, method: str) -> None:
    ident = fresh_ident()
    get(target, f"{path}?id={ident}", method)
    if path != "/file/iterated":  # there the application iterates, and nobody holds the wrapper but its generator
        target.wait_for("close", ident)
        target.assert_serving()
        assert target.count("close", ident) == 1


def test_close_is_called_when_the_client_leaves(target: Target) -> None:
    ident = fresh_ident()
    with target.wire() as wire:
        wire.send(request(f"/closing/slowly?id={ident}"))
        wire.receive_until(b"xxx")
        wire.reset()
    target.wait_for("close", ident, timeout=15)
    assert target.count("close", ident) == 1


def test_close_that_fails_is_contained(target: Target) -> None:
    """The response was whole before `close()` failed, so the client gets it."""
    response = get(target, f"/closing/failing?id={fresh_ident()}")
    assert response is not None
    assert response.body == b"ok"
    target.assert_serving()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("sized", PATTERN),
        ("unsized", PATTERN),
        ("offset", PATTERN[1000:]),
        ("offset-unsized", PATTERN[1000:]),
        ("shorter", PATTERN[:1000]),
        ("read-only", b"r" * 1000),
        ("read-only-unsized", b"r" * 1000),
        ("memory", b"m" * 1000),
        ("empty", b""),
        ("pipe", b"p" * 500),
        ("buffered-pipe", b"p" * 500),
        ("iterated", PATTERN),
    ],
)
def test_file_wrapper(target: Target, kind: str, body: bytes) -> None:
    """A file is sent from where it stands, as far as the length says; another request follows on the connection."""
    with target.wire() as wire:
        wire.send(request(f"/file/{kind}") + request("/behind"))
        response = wire.read_response()
        assert response.whole
        assert response.body == body
        assert wire.read_response().body == b"path=/behind\n"


def test_file_that_is_shorter_than_its_length(target: Target) -> None:
    response = get(target, "/file/longer")
    assert response is not None
    assert not response.whole
    assert response.body == PATTERN


def test_several_cookies_stay_apart(target: Target) -> None:
    response = get(target, "/headers/cookies")
    assert response is not None
    assert response.all("Set-Cookie") == ["a=1", "b=2", "c=3"]


def test_large_and_many_response_headers(target: Target) -> None:
    large, many = get(target, "/headers/big"), get(target, "/headers/many")
    assert large is not None
    assert many is not None
    assert large.get("X-Big") == "b" * 60_000
    assert sum(1 for name, _ in many.headers if name.startswith("X-") and name != "X-Application") == 500


def test_date_and_server_are_added_once(target: Target) -> None:
    """RFC 9110 section 6.6.1: an origin server with a clock sends Date."""
    response = get(target, "/x")
    assert response is not None
    assert (response.get("Date") or "").endswith(" GMT")
    assert len(response.all("Date")) == 1
    assert len(response.all("Server")) <= 1
