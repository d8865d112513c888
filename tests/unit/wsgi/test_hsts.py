"""Strict-Transport-Security: over TLS only, and never instead of the application's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from uwsgi_deploy.wsgi.hsts import StrictTransport

OWN = ("STRICT-Transport-Security", "max-age=1")


def answered(scheme: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    found: list[list[tuple[str, str]]] = []

    def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return []

    def start(_status: str, given: list[tuple[str, str]], _exc_info: Any = None) -> None:
        found.append(given)

    StrictTransport(application, 86400.0)({"wsgi.url_scheme": scheme}, start)
    return found[0]


@pytest.mark.parametrize(
    ("scheme", "headers", "added"),
    [
        ("https", [("A", "b")], [("Strict-Transport-Security", "max-age=86400")]),
        ("http", [("A", "b")], []),
        ("https", [OWN], []),
    ],
)
def test_field(scheme: str, headers: list[tuple[str, str]], added: list[tuple[str, str]]) -> None:
    before = list(headers)
    assert answered(scheme, headers) == [*headers, *added]
    assert headers == before  # the application's list is its own
