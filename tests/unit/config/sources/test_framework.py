"""Options from Python values."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from uwsgi_deploy.config.sources.framework import framework_options, pairs_of
from uwsgi_deploy.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "pairs"),
    [
        ({"http-socket": ":8000"}, [("http-socket", ":8000")]),
        ({"http_socket": [":8000", ":8001"]}, [("http-socket", ":8000"), ("http-socket", ":8001")]),
        ({"master": True, "vacuum": False}, [("master", "true"), ("vacuum", "false")]),
        ({"processes": 4}, [("processes", "4")]),
        ({"body_timeout": 1.5}, [("body-timeout", "1.5")]),
        ({"body_timeout": timedelta(seconds=1.5)}, [("body-timeout", "1500ms")]),
        ({"chdir": Path("/srv")}, [("chdir", "/srv")]),
        ({"env": {"A": 1, "B": "x"}}, [("env", "A=1"), ("env", "B=x")]),
        ({"chmod_socket": 0o660}, [("chmod-socket", "660")]),
        ({"umask": 0o22}, [("umask", "022")]),
        ({"chmod_socket": "660"}, [("chmod-socket", "660")]),
        ({"logto": None}, []),
    ],
)
def test_values(options: dict[str, object], pairs: list[tuple[str, str]]) -> None:
    assert list(pairs_of(options, origin="settings.UWSGI")) == pairs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processes": object()}, "settings.UWSGI: 'processes' cannot be of type object"),
        ({"chmod_socket": 660}, "settings.UWSGI: 'chmod-socket' is not a file mode: 660 (write 0o660 or '660')"),
    ],
)
def test_other_values_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        pairs_of(options, origin="settings.UWSGI")
    assert str(refused.value).startswith(message)


def test_pairs_become_options_of_their_origin() -> None:
    (option,) = framework_options([("http_socket", None)], origin="app.config['UWSGI']")
    assert (option.name, option.value, option.origin) == ("http-socket", None, "app.config['UWSGI']")
