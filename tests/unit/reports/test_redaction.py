"""Nothing that is a secret is in a report."""

from __future__ import annotations

import time
from typing import Any

import pytest

from uwsgi_deploy.reports.redaction import MOST_STATEMENT, REDACTED, Redactor, address, is_secret, normalised, uri

SECRETS = """
    password passwd HTTP_X_API_KEY api-key apikey client_secret access_token HTTP_AUTHORIZATION session sessionid
    csrfmiddlewaretoken HTTP_X_CSRFTOKEN signature sig sid key auth_code jwt private_data AWS_SECRET_ACCESS_KEY
    HTTP_COOKIE X-Amz-Signature bearer otp
"""
HARMLESS = "monkey keyboard author authors compass page q HTTP_ACCEPT considered signal"


@pytest.mark.parametrize("name", SECRETS.split())
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", HARMLESS.split())
def test_names_of_other_things(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT a FROM t WHERE n = 'hunter2' AND p < 10.5", "SELECT a FROM t WHERE n = ? AND p < ?"),
        ("SELECT 'it''s hunter2' , -3e4, 0xFF", "SELECT ? , -?, ?"),
        ("select 1 -- hunter2\n/* hunter2 ' */ from t2", "select ? from t2"),
        ("SELECT $$hunter2$$, $x$hun$ter2$x$, N'hunter2'", "SELECT ?, ?, ?"),
        ("SELECT * FROM t WHERE id IN (1, 2, 3)", "SELECT * FROM t WHERE id IN (?, ...)"),
        ("WHERE id IN (%s, %s) AND a = %(a)s AND b = $1", "WHERE id IN (%s, ...) AND a = %(a)s AND b = $1"),
        ("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'), (3, 'z')", "INSERT INTO t (a, b) VALUES (?, ...), ..."),
        ('SELECT "t"."id", `u`.v2 FROM "t"', 'SELECT "t"."id", `u`.v2 FROM "t"'),
        ("SELECT 'hunter2", "SELECT ?"),
        # Where it ends depends on the database: what follows could be a secret.
        (r"SELECT '\', 'hunter2', x FROM t", "SELECT ? ..."),
        (r"SELECT E'a\'hunter2', x FROM t", "SELECT ? ..."),
        ("  a\n\tb  ", "a b"),
        ("", ""),
    ],
)
def test_statements_have_no_literals(sql: str, shown: str) -> None:
    assert normalised(sql) == shown


def test_quotes_are_names_or_strings_as_the_database_has_it() -> None:
    sql = 'SELECT "hunter2"'
    assert Redactor().statement(sql, vendor="default (mysql)") == "SELECT ?"
    assert Redactor().statement(sql, vendor="default (postgresql)") == sql


def test_long_statements_are_cut_at_two_kilobytes() -> None:
    shown = normalised("SELECT " + ", ".join(f"ä{number}" for number in range(5000)))
    assert len(shown.encode()) <= MOST_STATEMENT
    assert shown.endswith(" ...")


@pytest.mark.parametrize("piece", ["'", "(?,", "(a...)", "[a ", "a::", "$$", "$a$", "/*", '"', "`", "''\\", "1.", "%("])
def test_no_text_takes_long(piece: str) -> None:
    """The statement is the application's, in a time of trouble. It would be minutes with a pattern that backtracks."""
    began = time.process_time()
    normalised(piece * 20_000)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/reset/MQ/c2u3ab-0123456789abcdef0123456789abcdef/", f"/reset/MQ/c2u3ab-{REDACTED}/"),
        ("/x/eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4fwpM", f"/x/{REDACTED}"),
        ("/item/550e8400-e29b-41d4-a716-446655440000", "/item/550e8400-e29b-41d4-a716-446655440000"),
        ("/how-to-deploy-python-3-11-applications-with-style", "/how-to-deploy-python-3-11-applications-with-style"),
        ("/averyveryverylongwordwithoutanynumbers", "/averyveryverylongwordwithoutanynumbers"),
    ],
)
def test_paths_have_no_tokens(path: str, shown: str) -> None:
    redactor = Redactor()
    assert redactor.path(path) == shown
    assert redactor.count == (path != shown)


def test_queries_have_names_only() -> None:
    redactor = Redactor()
    found = redactor.query("q=shoes&debug&token=abc&q=x&a%20b=1;c=2&&=3")
    assert found == {"q": REDACTED, "debug": "", "token": REDACTED, "a%20b": REDACTED, "c": REDACTED, "": REDACTED}
    assert uri("/s", {"q": REDACTED, "debug": ""}) == "/s?q=*&debug"
    assert uri("/s", {}) == "/s"


def test_addresses_have_neither_users_nor_queries() -> None:
    assert address("GET https://me:hunter2@api.example/x?key=hunter2#y") == f"GET https://api.example/x?{REDACTED}"
    assert Redactor().call("postgres://me:hunter2@db/x") == "postgres://db/x"
    assert Redactor().value("HTTP_REFERER", "https://x/?a=hunter2") == f"https://x/?{REDACTED}"


def test_names_of_threads_have_no_queries() -> None:
    assert Redactor().name("core 3, GET /search?q=hunter2") == "core 3, GET /search?*"


def test_the_framework_may_hide_more_but_shows_nothing_that_is_secret() -> None:
    def rule(name: str, value: Any) -> Any:
        return "*****" if name == "HTTP_HOST" else value

    redactor = Redactor(rule)
    assert redactor.value("HTTP_HOST", "shop.example") == "*****"
    assert redactor.value("HTTP_ACCEPT", "text/html") == "text/html"
    assert redactor.value("HTTP_AUTHORIZATION", "Bearer hunter2") == REDACTED
    assert redactor.summary()["removed"] == 2
    assert "framework" in redactor.summary()["rules"]


def test_a_rule_that_fails_shows_nothing() -> None:
    def rule(_name: str, _value: Any) -> Any:
        raise RuntimeError("broken")

    redactor = Redactor(rule)
    assert redactor.value("HTTP_ACCEPT", "text/html") == REDACTED
    assert redactor.path("/x") == REDACTED
    assert "broken" in redactor.summary()["framework_rule_failed"]
