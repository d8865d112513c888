"""What each action does to a request."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.wsgi.routing.support import APPLICATION, placed, visitor
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.logs.record import LOG_VARIABLES, ROUTED, UNLOGGED
from uwsgi_deploy.wsgi.response import Response
from uwsgi_deploy.wsgi.routing.chain import CHANGES
from uwsgi_deploy.wsgi.routing.front import routing_of


def test_rules_are_asked_from_the_top_and_the_first_answer_counts() -> None:
    visit = visitor("route = ^/a addvar:A=1", "route = ^/a break:404", "route-run = break:403")
    assert visit("/a").status == "404 Not Found"
    outcome = visit("/b")
    assert (outcome.status, outcome.body) == ("403 Forbidden", b"Forbidden")
    assert outcome.environ[ROUTED] is True


def test_last_leaves_the_chain() -> None:
    visit = visitor("route = ^/a last:", "route = ^/b continue:", "route-run = break:")
    assert visit("/a").status == visit("/b").status == APPLICATION
    assert ROUTED not in visit("/a").environ
    assert visit("/c").status == "403 Forbidden"


def test_break_with_a_status_of_its_own() -> None:
    visit = visitor("route-run = break:413 Too Large for ${REMOTE_ADDR}")
    outcome = visit(REMOTE_ADDR="10.0.0.1\r\nX: y")
    assert outcome.status == "413 Too Large for 10.0.0.1  X: y"


@pytest.mark.parametrize(
    ("action", "status"), [("return:404", "404 Not Found"), ("break-with-status:204", "204 No Content")]
)
def test_return(action: str, status: str) -> None:
    outcome = visitor(f"route-run = {action}")()
    assert outcome.status == status
    assert outcome.body == (b"" if status.startswith("204") else b"Not Found")


def test_goto_label() -> None:
    visit = visitor(
        "route-host = ^([a-z]+)$ goto:$1",
        "route = ^/x goto:b",
        "route-run = last:",
        "route-label = a",
        "route-run = return:201",
        "route-label = b",
        "route-run = return:202",
    )
    assert visit(HTTP_HOST="a").status[:3] == "201"
    assert visit("/x").status[:3] == "202"
    assert visit(HTTP_HOST="unknown").status == "403 Forbidden"
    assert visit(HTTP_HOST="9").status == APPLICATION


def test_subjects() -> None:
    visit = visitor(
        *("route-host = ^h$ return:201", "route-uri = ^/u return:202", "route-qs = ^q$ return:203"),
        *(
            "route-remote-addr = ^1 return:205",
            "route-user-agent = curl return:206",
            "route-remote-user = me return:207",
        ),
        "route-referer = ref return:208",
    )
    assert visit(HTTP_HOST="h").status[:3] == "201"
    assert visit(REQUEST_URI="/u").status[:3] == "202"
    assert visit(QUERY_STRING="q").status[:3] == "203"
    assert visit(REMOTE_ADDR="1.2").status[:3] == "205"
    assert visit(HTTP_USER_AGENT="a curl").status[:3] == "206"
    assert visit(REMOTE_USER="me").status[:3] == "207"
    assert visit(HTTP_REFERER="a ref").status[:3] == "208"
    assert visit().status == APPLICATION


def test_what_is_missing_is_empty() -> None:
    """A guard that wants something of a header fits a request without it."""
    assert visitor("route-host = ^(?!localhost$) break:400")().status == "400 Bad Request"


def test_the_log() -> None:
    visit = visitor("route = ^/(.*) log:saw $1 ${QUERY_STRING}", "route-run = logvar:who=$x", "route-run = donotlog:")
    outcome = visit("/a\nforged: line", QUERY_STRING="\x1b[2J")
    assert outcome.log == ["saw a  [2J"]
    assert outcome.environ[LOG_VARIABLES] == {"who": "$x"}
    assert UNLOGGED in outcome.environ


def test_variables() -> None:
    visit = visitor(
        *("route = ^/(a) addvar:A=$1-$0", "route-run = +:N,${M}", "route-run = -:O,1", "route-run = *:P,3"),
        *("route-run = /:Q,2", "route-run = /:R,0"),
    )
    environ = visit("/a", N="40", M="2x", P="5", Q="-7", R="1").environ
    assert [environ[name] for name in "ANOPQR"] == ["a-/a", "42", "-1", "15", "-3", "0"]


def test_setters() -> None:
    visit = visitor(
        *(
            "route-run = setscriptname:/app",
            "route-run = setpathinfo:x",
            "route-run = seturi:/u",
            "route-run = setuser:me",
        ),
        *("route-run = setremoteaddr:${HTTP_X}", "route-run = setdocroot:/d", "route-run = setmethod:${HTTP_M}"),
        "route-run = setscheme:${HTTP_S}",
    )
    environ = visit(HTTP_X="9.9.9.9", HTTP_M="PUT", HTTP_S="https").environ
    names = ("SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "REMOTE_USER", "REMOTE_ADDR", "DOCUMENT_ROOT", "REQUEST_METHOD")
    assert [environ[name] for name in names] == ["/app", "/x", "/u", "me", "9.9.9.9", "/d", "PUT"]
    assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
    environ = visit(HTTP_M="P T", HTTP_S="javascript", HTTPS="on").environ
    assert (environ["REQUEST_METHOD"], environ["wsgi.url_scheme"], environ["HTTPS"]) == ("GET", "http", "on")
    environ = visit(HTTP_S="http", HTTPS="on").environ
    assert "HTTPS" not in environ


@pytest.mark.parametrize(("path", "left"), [("/app/x", "/x"), ("/app", ""), ("/apple", "/apple"), ("/other", "/other")])
def test_fixpathinfo(path: str, left: str) -> None:
    assert visitor("route-run = fixpathinfo:")(path, SCRIPT_NAME="/app").environ["PATH_INFO"] == left


def test_rewrite() -> None:
    visit = visitor("route = ^/(a) rewrite:/new/$1?x=$1", "route = ^/b rewrite-last:plain", "route-run = log:x")
    outcome = visit("/a", QUERY_STRING="q=1")
    assert (outcome.environ["PATH_INFO"], outcome.environ["QUERY_STRING"]) == ("/new/a", "x=a&q=1")
    assert outcome.log == ["x"]
    outcome = visit("/b", QUERY_STRING="q=1")
    assert (outcome.environ["PATH_INFO"], outcome.environ["QUERY_STRING"]) == ("/plain", "q=1")
    assert outcome.log == ["x"]


def test_headers() -> None:
    visit = visitor(
        "route = (?s)^/(.*) addheader:X-Path: $1", "route-run = delheader:Server", "route-run = remheader:X-A:"
    )
    outcome = visit("/a\r\nSet-Cookie: b\0")
    assert outcome.added == [("X-Path", "a  Set-Cookie: b ")]
    assert outcome.environ[CHANGES].apply([("server", "x"), ("X-a", "y"), ("Z", "z")]) == [("Z", "z"), *outcome.added]


def test_expires(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    visit = visitor(
        *("route = ^/u expires:unix=0,value=60", "route = ^/f expires:filename=" + str(tmp_path) + "/${QUERY_STRING}"),
        "route = ^/n expires:value=60",
    )
    assert visit("/u").added == [("Expires", "Thu, 01 Jan 1970 00:01:00 GMT")]
    assert len(visit("/f", QUERY_STRING="f").added) == len(visit("/n").added) == 1
    assert visit("/f", QUERY_STRING="none").added == []


def test_send() -> None:
    visit = visitor("route = ^/a send:hello ", "route = ^/a send-crnl:world", "route = ^/ab break:418 Teapot")
    outcome = visit("/a")
    assert (outcome.status, outcome.body) == ("200 OK", b"hello world\r\n")
    outcome = visit("/ab")
    assert (outcome.status, outcome.body) == ("418 Teapot", b"hello world\r\n")
    assert visit("/b").status == APPLICATION


@pytest.mark.parametrize(
    ("rule", "path", "location"),
    [
        ("redirect:https://${HTTP_HOST}/x?a=b&c=%20$1", "/a b", "https://h/x?a=b&c=%20a%20b"),
        ("redirect:/new/$1", "/a\r\nSet-Cookie: x", "/new/a%0D%0ASet-Cookie:%20x"),
        ("redirect:/new/$1", "/\xc3\xa9", "/new/%C3%A9"),
        ("redirect:$0", "//evil.example/x", "/evil.example/x"),
        ("redirect:/$1", "//\\evil.example", "/%5Cevil.example"),
        ("redirect-302://other.example$0", "/x", "//other.example/x"),
    ],
)
def test_redirect(rule: str, path: str, location: str) -> None:
    outcome = visitor(f"route = (?s)^/(.*) {rule}")(path, HTTP_HOST="h")
    assert (outcome.status, outcome.headers["Location"]) == ("302 Found", location)


@pytest.mark.parametrize("action", ["redirect-permanent", "redirect-301"])
def test_permanent_redirect(action: str) -> None:
    assert visitor(f"route-run = {action}:/x")().status == "301 Moved Permanently"


def test_harakiri() -> None:
    assert visitor("route = ^/slow harakiri:90")("/slow").limits == [90.0]


@pytest.fixture
def www(tmp_path: Path) -> Path:
    www = tmp_path / "www"
    (www / "sub").mkdir(parents=True)
    (www / "a.css").write_bytes(b"0123456789")
    (tmp_path / "secret").write_bytes(b"secret")
    (www / "out").symlink_to(tmp_path / "secret")
    return www


def test_a_file(www: Path) -> None:
    visit = visitor(f"route = ^/s/(.*) static:{www}/$1", f"route = ^/one file:{www}/out")
    outcome = visit("/s/a.css")
    assert (outcome.status, outcome.body, outcome.headers["Content-Type"]) == ("200 OK", b"0123456789", "text/css")
    assert visit("/s/a.css", HTTP_RANGE="bytes=2-3").body == b"23"
    assert visit("/s/a.css", HTTP_IF_NONE_MATCH=outcome.headers["ETag"]).status == "304 Not Modified"
    assert visit("/s/a.css", "POST").status == "405 Method Not Allowed"
    # One that the rule names itself may be a link.
    assert visit("/one").body == b"secret"


@pytest.mark.parametrize("path", ["none", "../secret", "sub/../../secret", "out", "sub", "", "a.css\0", "/../secret"])
def test_what_is_not_below_the_directory_is_not_sent(www: Path, path: str) -> None:
    outcome = visitor(f"route = (?s)^/s/(.*) sendfile:{www}/$1")(f"/s/{path}")
    assert (outcome.status, outcome.body) == ("404 Not Found", b"Not Found")


def test_a_prefix_is_no_directory(www: Path) -> None:
    """What follows a part of a name stays in the directory of that name."""
    visit = visitor(f"route = ^/s(.*) fastfile:{www}/a$1")
    assert visit("/s.css").status == "200 OK"
    assert visit("/s/../../secret").status == "404 Not Found"


def test_a_file_with_another_status(www: Path) -> None:
    visit = visitor(f"route-run = file:filename={www}/a.css,status=503 Closed")
    outcome = visit("/", "POST", HTTP_RANGE="bytes=0-1")
    assert (outcome.status, outcome.body) == ("503 Closed", b"0123456789")
    assert "ETag" not in outcome.headers


def test_a_missing_file_is_told_of_at_the_start(www: Path) -> None:
    visit = visitor(f"route-run = static:{www}/none")
    assert visit().log == [f"*** WARNING: app.ini:1: 'route-run': no file {www}/none ***"]


def test_functions() -> None:
    visit = visitor(
        *(
            "route-run = log:${cookie[b]}|${cookie[z]}",
            "route-run = log:${qs[x]}|${qs[z]}",
            "route-run = log:${mime[F]}",
        ),
        *("route-run = log:${uwsgi[wid]} ${uwsgi[status]}", "route-run = log:${uwsgi[uuid]} ${uwsgi[pid]}"),
        *(
            "route-run = log:${time[unix]} ${time[micros]}",
            "route-run = log:${httptime[3600]}",
            "route-run = log:${base64[F]}",
        ),
        *(
            "route-run = log:${hex[F]}",
            "route-run = log:${upper[F]} ${lower[G]}",
            "route-run = log:${math[N+2*(3-1)-M/0]}",
        ),
    )
    log = visit(HTTP_COOKIE="a=1; b=2=3; c", QUERY_STRING="y=1&x=a+%41", F="f.css", G="ABC", N="40").log
    assert log[:4] == ["2=3|", "a+%41|", "text/css", "3 0"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} \d+", log[4])
    assert re.fullmatch(r"\d{10} \d{16}", log[5])
    assert log[6].endswith(" GMT")
    assert log[7:] == ["Zi5jc3M=", "662E637373", "F.CSS abc", "44"]


def test_what_is_no_text_is_not_to_be_had() -> None:
    assert visitor("route-run = log:[${wsgi.input}${X}]")().log == ["[]"]


def test_rules_that_change_no_response_leave_its_class_alone() -> None:
    def response_of(*lines: str) -> type[Response]:
        return routing_of(Settings(routes=placed(*lines)), print, print).response

    assert response_of("route = ^/a break:404", "route-run = donotlog:") is Response
    for line in (
        "route-run = addheader:A: b",
        "error-route-run = log:",
        "response-route-run = log:",
        "final-route-run = log:",
    ):
        assert response_of(line) is not Response
