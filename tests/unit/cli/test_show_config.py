"""`--show-config`."""

from __future__ import annotations

from tests.unit.config.support import configure
from uwsgi_deploy.cli.show_config import render


def test_options_with_the_place_that_set_them() -> None:
    configuration = configure("-p", "4", "--socket", ":1", "--master", environ={"UWSGI_THREADS": "2"})
    assert render(configuration).splitlines() == [
        ";uWSGI instance configuration",
        "[uwsgi]",
        "socket = :1     ; command line",
        "processes = 4   ; command line",
        "threads = 2     ; environment UWSGI_THREADS",
        ";end of configuration",
    ]


def test_nothing_changed() -> None:
    assert render(configure()).splitlines() == [";uWSGI instance configuration", "[uwsgi]", ";end of configuration"]
