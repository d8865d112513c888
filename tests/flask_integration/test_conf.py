"""What an application's configuration says about the server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from flask_integration import conf
from uwsgi_deploy import ConfigError


def application(value: object) -> Flask:
    app = Flask("blog")
    app.config["UWSGI"] = value
    return app


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"processes": 4}, [("processes", "4")]),
        ({"max_requests": "1000"}, [("max-requests", "1000")]),
        ({"vacuum": False, "reuse-port": True}, [("vacuum", "false"), ("reuse-port", "true")]),
        ({"body-timeout": timedelta(minutes=1)}, [("body-timeout", "60000ms")]),
        ({"pidfile": Path("/run/blog.pid")}, [("pidfile", "/run/blog.pid")]),
        ({"http-socket": [":8000", ":8001"]}, [("http-socket", ":8000"), ("http-socket", ":8001")]),
        ({"env": {"A": 1}}, [("env", "A=1")]),
        ({"procname-prefix": lambda app: app.name}, [("procname-prefix", "blog")]),
        ({"THREADS": 4}, [("threads", "4")]),
        (None, []),
    ],
)
def test_values(value: object, expected: list[tuple[str, str]]) -> None:
    """Python's own values are options, and a function is asked with the application."""
    assert [(option.name, option.value) for option in conf.options(application(value))] == expected


def test_prefixed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_prefixed_env` makes options of FLASK_UWSGI__*."""
    monkeypatch.setenv("FLASK_UWSGI__THREADS", "8")
    app = Flask("blog")
    app.config.from_prefixed_env()
    assert [(option.name, option.value) for option in conf.options(app)] == [("threads", "8")]


@pytest.mark.parametrize("value", [["--master"], "master"])
def test_not_a_dictionary(value: object) -> None:
    """The sentence names the place."""
    with pytest.raises(ConfigError, match=r'^app\.config\["UWSGI"\]: must be a dictionary of options'):
        conf.options(application(value))
