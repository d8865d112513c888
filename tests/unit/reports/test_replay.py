"""The command that repeats a request."""

from __future__ import annotations

import shlex

from tests.unit.reports.incidents import environ, incident
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.reports.build import build
from uwsgi_deploy.reports.ids import new_id
from uwsgi_deploy.reports.replay import curl_command


def command(base: str = "", **fields: object) -> tuple[list[str], list[str]]:
    """The words that the shell gives to curl, and the comments."""
    text = curl_command(build(new_id(1.0), incident(**fields), Settings()), base)
    comments = [line for line in text.splitlines() if line.startswith("#")]
    return shlex.split(text, comments=True), comments


def test_a_get_has_its_address_and_headers_and_no_secrets() -> None:
    words, comments = command()
    assert words[0] == "curl"
    assert words[-1] == "https://shop.example/search?q=REDACTED&token=REDACTED"
    assert "User-Agent: Browser/1.0" in words
    assert "Authorization: REDACTED" in words
    assert "Cookie: REDACTED" in words
    assert "--request" not in words
    assert not any("hunter2" in word or "shoes" in word for word in words)
    assert any("parameter q, parameter token, header Authorization, header Cookie" in line for line in comments)


def test_another_server_is_told_the_host() -> None:
    words, _ = command("http://127.0.0.1:8000/")
    assert words[-1] == "http://127.0.0.1:8000/search?q=REDACTED&token=REDACTED"
    assert "Host: shop.example" in words


def test_a_post_wants_a_body() -> None:
    words, comments = command(method="POST", environ=environ(CONTENT_LENGTH="312", CONTENT_TYPE="text/csv"))
    assert words[words.index("--request") + 1] == "POST"
    assert words[words.index("--data-binary") + 1] == "@body"
    assert "Content-Type: text/csv" in words
    assert any("312 bytes" in line for line in comments)


def test_a_request_cannot_write_commands() -> None:
    """Path, header names and values come from anybody."""
    evil = environ(HTTP_HOST="x'; rm -rf /; '", HTTP_ACCEPT="a'$(id)`id`\n# b", **{"HTTP_X_$(ID)": "1"})
    words, comments = command(uri="/a';id;'\n$(id)?`id`=1&b", environ=evil, method="G\nrm x\n#")
    assert words[0] == "curl"
    assert words[words.index("--request") + 1] == "G\nrm x\n#"
    assert words[-1] == "https://x'; rm -rf /; '/a';id;'%0A$(id)?%60id%60=REDACTED&b"
    assert all("\n" not in line for line in comments)


def test_what_was_reported_from_outside_has_no_headers() -> None:
    words, comments = command(environ=None, notes=None)
    assert words[-1] == "http://localhost/search?q=REDACTED&token=REDACTED"
    assert "--header" not in words
    assert any("the host is not known" in line for line in comments)
