"""harakiri-routes: limits by path and by name."""

from __future__ import annotations

from math import inf

import pytest

from tests.unit.config.support import configure, refusal
from uwsgi_deploy.config.routes import routes_of


def test_paths_are_regular_expressions_and_the_first_that_fits_counts() -> None:
    routes = routes_of(("^/export/big=10m", "^/export/=90", r"^/a=b\d=5", "shop:detail=off", "/items/<int:pk>=2.5"))
    assert routes.of_path("/export/big/1") == (600.0, "^/export/big")
    assert routes.of_path("/export/1") == (90.0, "^/export/")
    assert routes.of_path("/a=b7") == (5.0, r"^/a=b\d")
    assert routes.of_path("/x/export/") is None
    assert routes.names == {"shop:detail": inf, "/items/<int:pk>": 2.5}
    assert routes.shortest == 5.0
    assert routes_of(()).shortest == inf


def test_off_is_no_limit() -> None:
    assert [routes_of((f"^/events={word}",)).of_path("/events") for word in ("off", "0", "none")] == [
        (inf, "^/events")
    ] * 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/export", "needs PATTERN=SECONDS or PATTERN=off, not '/export'"),
        ("=5", "needs PATTERN=SECONDS"),
        ("^/a=soon", "the limit must be seconds, a time such as 2m, or off, not 'soon'"),
        ("^/(=5", "'^/(' is no regular expression: "),
    ],
)
def test_what_is_refused(value: str, message: str) -> None:
    assert message in refusal("--harakiri-routes", value)


def test_soft_comes_first() -> None:
    settings = configure("--harakiri", "30", "--soft-harakiri", "10", "--harakiri-routes", "^/a=5").settings.harakiri
    assert (settings.soft_harakiri, settings.harakiri_routes) == (10.0, ("^/a=5",))
    assert "must be less than 'harakiri' (30 s)" in refusal("--harakiri", "30", "--soft-harakiri", "30")
    assert configure("--harakiri", "0", "--soft-harakiri", "90").settings.harakiri.soft_harakiri == 90
