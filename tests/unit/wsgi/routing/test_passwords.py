"""Who is let in by `basicauth`."""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.wsgi.routing.support import APPLICATION, Outcome, visitor
from uwsgi_deploy.wsgi.routing import hashes
from uwsgi_deploy.wsgi.routing.hashes import is_known, matches

LONG = "a long password of more than sixteen and even more than sixty-four bytes, so that all loops run"
# Made with `openssl passwd`, the one with rounds by the C library's crypt().
HASHES = [
    ("", "$apr1$mysalt12$vsuWY5WIkBqzc73gBQFI1."),
    ("password", "$apr1$mysalt12$sYQmRJjG9S0/8PqHSJ4Mb/"),
    (LONG, "$apr1$mysalt12$wqF0l6HE7oZFNew9t9C66/"),
    ("password", "$1$ab$oKsM6dtDD2L1bKowOBX.7."),
    (LONG, "$1$ab$eENat0GML3GwLQfszvcuC1"),
    ("x", "$5$saltstring$8lNOPUYH/6hNVwI72WGU4WW1KQqblnIzRCd9nWOKs5A"),
    (LONG, "$5$saltstring$eLmvlr8lFwtzTTpzT1tv6aMM6fH4nnqJUJhzm1WaKM7"),
    (
        "password",
        "$6$sixteencharsalt1$sC0JHcHWvlDcXIQaFpgClK/rmcie.F4kCTYpUh7ZgwKCI.nFi2eMqI8nKDGWqd7iJS1q8h91oB2yqiFiFwK5J0",
    ),
    (
        LONG,
        "$6$sixteencharsalt1$fb48HpNCp0/lzPoHKwxdTQ9t.J/AFSQ5BDBIhZ3i93RQZNuu6HGurbMI8k/mnB2xRaX90L69qH9OqOVNu2qcA/",
    ),
    (
        "password",
        "$6$rounds=1400$abc$tLgA4Yl.njVSAUCQ3nM99aMxjVNh1kCkGRETwg8EA4rxyWBzC95UReErQwLnhbNcsjz1ohajHSMjzI7lJ4UAs0",
    ),
    ("password", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="),
    ("password", "{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0"),
]
BCRYPT = "$2b$04$abcdefghijklmnopqrstuughE8Ev8uGFaUgY2cNEySvxngrb/Jzdm"


def login(name: str, password: str, scheme: str = "Basic") -> str:
    return f"{scheme} {b64encode(f'{name}:{password}'.encode()).decode()}"


def ask(visit: Callable[..., Outcome], name: str, password: str) -> str:
    return visit(HTTP_AUTHORIZATION=login(name, password)).status


@pytest.mark.parametrize(("password", "hashed"), HASHES)
def test_hashes(password: str, hashed: str) -> None:
    assert is_known(hashed)
    assert matches(password.encode(), hashed)
    assert not matches(password.encode() + b"x", hashed)


@pytest.mark.parametrize("hashed", ["", "plain", "{SHA}", "$5$salt", "$9$x$y", "rl.3StKT.4T8M", "{PLAIN}password"])
def test_what_is_no_hash_matches_nothing(hashed: str) -> None:
    assert not is_known(hashed)
    assert not matches(b"password", hashed)
    assert not matches(b"", hashed)


def test_work_is_bounded() -> None:
    _, hashed = HASHES[7]
    assert not matches(b"x" * 100_000_000, hashed)
    assert not matches(b"password", hashed.replace("$6$", "$6$rounds=999999999$"))


def test_bcrypt_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = SimpleNamespace(checkpw=lambda password, hashed: (password, hashed) == (b"password", BCRYPT.encode()))
    monkeypatch.setattr(hashes.util, "find_spec", lambda name: None)
    assert not is_known(BCRYPT)
    monkeypatch.setattr(hashes.util, "find_spec", lambda name: name == "bcrypt")
    monkeypatch.setitem(sys.modules, "bcrypt", installed)
    assert is_known(BCRYPT)
    assert matches(b"password", BCRYPT)
    assert not matches(b"passwort", BCRYPT)


def test_one_user() -> None:
    visit = visitor("route-run = basicauth:My Realm,me:a:b$1é")
    outcome = visit()
    assert outcome.status == "401 Unauthorized"
    assert outcome.headers["WWW-Authenticate"] == 'Basic realm="My Realm", charset="UTF-8"'
    outcome = visit(HTTP_AUTHORIZATION=login("me", "a:b$1é", "basic"))
    assert (outcome.status, outcome.environ["REMOTE_USER"]) == (APPLICATION, "me")
    assert ask(visit, "me", "a:b$1") == ask(visit, "you", "a:b$1é") == "401 Unauthorized"


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!!", "Bearer abc", "Basic bm9jb2xvbg==", "Basic OnB3", "Basic /w"]
)
def test_what_is_no_login_is_refused(header: str) -> None:
    assert visitor("route-run = basicauth:R,me:pw")(HTTP_AUTHORIZATION=header).status == "401 Unauthorized"


def test_any_password_and_nobody() -> None:
    visit = visitor("route = ^/any basicauth:R,me:", "route-run = basicauth:R,")
    assert visit("/any", HTTP_AUTHORIZATION=login("me", "whatever")).status == APPLICATION
    assert visit("/any", HTTP_AUTHORIZATION=login("you", "whatever")).status == "401 Unauthorized"
    assert visit("/", HTTP_AUTHORIZATION=login("me", "")).status == "401 Unauthorized"


def test_several_rules() -> None:
    visit = visitor("route-run = basicauth-next:R,a:1", "route-run = basicauth:R,b:2")
    assert ask(visit, "a", "1") == ask(visit, "b", "2") == APPLICATION
    assert ask(visit, "a", "2") == visit().status == "401 Unauthorized"


def test_who_is_known_already_is_not_asked() -> None:
    assert visitor("route-run = basicauth:R,a:1")(REMOTE_USER="x").status == APPLICATION


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "htpasswd"
    file.write_text("# users\n\nme:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nold:rl.3StKT.4T8M\n")
    visit = visitor(f"route-run = basicauth:R,{file}")
    assert ask(visit, "me", "password") == APPLICATION
    assert ask(visit, "me", "password") == APPLICATION  # remembered
    assert ask(visit, "me", "passwort") == ask(visit, "you", "password") == ask(visit, "old", "password")
    assert ask(visit, "me", "passwort") == "401 Unauthorized"
    assert visit().log == [
        f"*** WARNING: basicauth: {file}: the password of 'old' has a hash that cannot be checked here ***"
    ]
    file.write_text("you:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    assert ask(visit, "me", "password") == "401 Unauthorized"
    assert ask(visit, "you", "password") == APPLICATION
    os.unlink(file)
    assert ask(visit, "you", "password") == "401 Unauthorized"
    assert visit().log[-1] == f"*** WARNING: basicauth: {file}: No such file or directory: nobody is let in ***"
