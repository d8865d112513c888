"""`--show-nginx`: what the options say, in nginx's words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.config.support import configure
from uwsgi_deploy.cli.show_nginx import render
from uwsgi_deploy.errors import ConfigError


def shown(*arguments: str, asked: str = "_") -> str:
    return render(configure(*arguments, f"--show-nginx={asked}").settings)


def directive(text: str, name: str) -> str:
    found = re.search(rf"^ *{name} (.*);", text, re.M)
    assert found, text
    return found[1]


@pytest.mark.parametrize(
    ("arguments", "server", "passed"),
    [
        (("--socket", "/run/a.sock"), "unix:/run/a.sock", "uwsgi_pass uwsgi_deploy;"),
        (("--socket", ":3031"), "127.0.0.1:3031", "uwsgi_pass uwsgi_deploy;"),
        (("--socket", "[::]:3031"), "[::1]:3031", "uwsgi_pass uwsgi_deploy;"),
        (("--socket", "a.sock", "--chdir", "/srv/site"), "unix:/srv/site/a.sock", "uwsgi_pass uwsgi_deploy;"),
        (("--socket", "/a", "--protocol", "fastcgi"), "unix:/a", "fastcgi_pass uwsgi_deploy;"),
        (("--scgi-socket", "10.0.0.7:4000"), "10.0.0.7:4000", "scgi_pass uwsgi_deploy;"),
        (("--http-socket", "/run/my site.sock"), '"unix:/run/my site.sock"', "proxy_pass http://uwsgi_deploy;"),
        (("--http-socket", ":80", "--uwsgi-socket", "/u"), "unix:/u", "uwsgi_pass uwsgi_deploy;"),
    ],
)
def test_socket(arguments: tuple[str, ...], server: str, passed: str) -> None:
    text = shown(*arguments)
    assert directive(text, "server") == server
    assert f"        {passed}\n" in text


@pytest.mark.parametrize(
    ("arguments", "asked", "complaint"),
    [
        ((), "_", "there is no socket"),
        (("--socket", "@mysite"), "_", "nginx cannot reach it"),
        (("--socket", "fd://3"), "_", "only systemd knows"),
        (("--socket", "127.0.0.1:0"), "_", "the system chooses its number"),
        (("--socket", "/run/$x.sock"), "_", "dollar sign"),
        (("--socket", "/a"), "a b", "is no server name"),
        (("--socket", "/a"), "a:99999", "is no server name"),
        (("--socket", "/a"), "x; }", "is no server name"),
        (("--https-socket", "127.0.0.1:443,cert.pem,key.pem"), "_", "there is no socket"),
    ],
)
def test_what_nginx_cannot_have(arguments: tuple[str, ...], asked: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        shown(*arguments, asked=asked)


@pytest.mark.parametrize(
    ("asked", "listen", "name", "host"),
    [
        ("_", "80", "_", "$host"),
        ("blog.example.com", "80", "blog.example.com", "$host"),
        ("blog.example.com:8080", "8080", "blog.example.com", "$host:8080"),
        ("127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1", "$host:8080"),
        ("[::1]:8080", "[::1]:8080", "::1", "$host:8080"),
        ("[::1]", "[::1]:80", "::1", "$host"),
    ],
)
def test_name_and_port(asked: str, listen: str, name: str, host: str) -> None:
    """Without its port in Host a form that is sent to another port than 80 would be a foreign one to Django."""
    text = shown("--socket", "/a", asked=asked)
    assert (directive(text, "listen"), directive(text, "server_name")) == (listen, name)
    assert directive(text, "uwsgi_param HTTP_HOST") == host


@pytest.mark.parametrize(
    ("arguments", "waits"),
    [
        ((), "70s"),
        (("--harakiri", "30"), "40s"),
        (("--harakiri", "30", "--harakiri-graceful-timeout", "1"), "36s"),
        (("--harakiri", "30", "--harakiri-routes", "^/report=5m"), "310s"),
        (("--harakiri", "30", "--harakiri-routes", "export=off"), "1d"),
        (("--harakiri", "0"), "1d"),
    ],
)
def test_nginx_waits_longer_than_the_server(arguments: tuple[str, ...], waits: str) -> None:
    assert directive(shown("--socket", "/a", *arguments), "uwsgi_read_timeout") == waits


def test_limits() -> None:
    text = shown("--socket", "/a", "--limit-post", "10m", "--header-timeout", "2.5", "--body-timeout", "20")
    assert directive(text, "client_max_body_size") == "10485760"
    assert directive(text, "client_header_timeout") == "2500ms"
    assert directive(text, "client_body_timeout") == "20s"
    assert directive(shown("--socket", "/a"), "client_max_body_size") == "0"


def test_scgi_has_its_version_and_no_second_length() -> None:
    text = shown("--scgi-socket", "/a")
    assert directive(text, "scgi_param SCGI") == "1"
    assert "CONTENT_LENGTH" not in text


def test_clients_of_http_are_told() -> None:
    assert "Without trusted-proxies" in shown("--http-socket", "/a")
    text = shown("--http-socket", "/a", "--trusted-proxies", "unix")
    assert "Without trusted-proxies" not in text
    assert directive(text, "proxy_set_header X-Forwarded-For") == "$proxy_add_x_forwarded_for"


def test_files(tmp_path: Path) -> None:
    robots = tmp_path / "robots.txt"
    robots.touch()
    text = shown(
        *("--socket", "/a", "--chdir", str(tmp_path)),
        *("--static-map", "/static=files", "--static-map", "/robots.txt=robots.txt", "--static-map2", "/media=/srv"),
        *("--static-immutable", r"^/static/.*\.[0-9a-f]{12}\.", "--static-expires-path-info", "^/static/ 1h"),
        *("--static-gzip-all", "--static-skip-ext", ".py", "--static-expires-type", "text/css=60"),
    )
    assert f"location /static/ {{\n        alias {tmp_path}/files/;" in text
    assert f"location = /robots.txt {{\n        alias {robots};" in text
    assert "location /media/ {\n        root /srv;" in text
    assert text.count("gzip_static on;") == 3
    assert text.count('if ($uri ~ "\\\\.py$") { return 404; }') == 3
    assert '    "~^/static/.*\\\\.[0-9a-f]{12}\\\\." "public, max-age=31536000, immutable";\n' in text
    assert '    "~^/static/" "max-age=3600";\n' in text
    assert "no word for it: static-expires-type.\n" in text
