"""UWSGI_* variables."""

from __future__ import annotations

from uwsgi_deploy.config.raw import RawOption
from uwsgi_deploy.config.sources.env import NOT_OPTIONS, environment_options, variable_name


def test_variables_become_options() -> None:
    environ = {"UWSGI_HTTP_SOCKET": ":8000", "HOME": "/root", "UWSGI_MASTER": "1"}
    assert environment_options(environ) == (
        RawOption("http-socket", ":8000", "environment UWSGI_HTTP_SOCKET"),
        RawOption("master", "1", "environment UWSGI_MASTER"),
    )


def test_what_uwsgi_sets_itself_is_no_option() -> None:
    assert environment_options(dict.fromkeys((*NOT_OPTIONS, "UWSGI_"), "1")) == ()


def test_the_way_back() -> None:
    assert variable_name("http-socket") == "UWSGI_HTTP_SOCKET"
