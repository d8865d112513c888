"""What a router loads late is known to those who load it in time: nothing else is loaded by a router that serves."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.config.support import configure
from uwsgi_deploy import gateway
from uwsgi_deploy.gateway.late import needed

EVERYTHING = (
    *("--http", ":1", "--http-stats", ":2", "--http-auto-gzip", "--http-stud-prefix", "10.0.0.1"),
    *("--http-enable-proxy-protocol", "--trusted-proxies", "10.0.0.1", "--https", ":3,a.crt,a.key"),
    *("--rawrouter", ":4", "--rawrouter-to", "10.0.0.2:5"),
)


def test_every_name_of_a_module_that_is_loaded_late() -> None:
    """A user who cannot read the code would find out in the middle of a request."""
    found = set()
    for path in Path(gateway.__file__).parent.glob("*.py"):
        if path.name != "late.py":
            found |= set(re.findall(r'"(uwsgi_deploy\.[\w.]+|zlib|tempfile)"', path.read_text()))
    assert found
    assert found <= set(needed(configure(*EVERYTHING).settings))


def test_nothing_is_loaded_that_is_not_asked_for() -> None:
    assert list(needed(configure("--http", ":1").settings)) == ["tempfile"]
