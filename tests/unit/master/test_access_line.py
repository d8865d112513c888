"""The request line that the master writes for a worker: the configured form, with what is known."""

from __future__ import annotations

import re

import pytest

from tests.unit.config.support import configure
from uwsgi_deploy.logs.access import _FIELDS as FIELDS
from uwsgi_deploy.logs.access import ProcessFacts
from uwsgi_deploy.master.access_line import Given, is_wanted, line
from uwsgi_deploy.shared.scoreboard import RunningRequest

REQUEST = RunningRequest("192.0.2.7", "GET", "/slow?a=1", 0)
GIVEN = Given.of(504, b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 4\r\n\r\nslow")


def line_of(*options: str, request: RunningRequest = REQUEST) -> str:
    """The line under these options."""
    settings = configure(*options).settings
    process = ProcessFacts(812, 3)
    return line(settings, process, request, GIVEN, core=2, started=1e9, duration=35.25, counts=(7, 99))


def test_default_line() -> None:
    """uWSGI's form, in which parsers find the status, the time and the URI."""
    pattern = (
        r"\[pid: 812\|app: 0\|req: 7/99\] 192\.0\.2\.7 \(\) \{0 vars in 0 bytes\} \[[^]]+\] GET /slow\?a=1 "
        r"=> generated 4 bytes in 35250 msecs \(- 504\) 1 headers in 51 bytes \(1 switches on core 2\)"
    )
    assert re.fullmatch(pattern, line_of())


def test_form_of_the_log_is_kept() -> None:
    """Unknown fields are `-`; nobody forges a line with a URI."""
    template = '%(addr) - %(user) "%(method) %(uri) %(proto)" %(status) %(rsize) %(secs) %(uagent) %(var.X) w%(wid)'
    expected = '192.0.2.7 - - "GET /slow?a=1 -" 504 4 35.250000 - - w3'
    assert line_of("--log-format", template) == expected
    forged = RunningRequest("", "GET", "/\n[pid", 0)
    assert line_of("--log-format", "%(addr) %(uri)", request=forged) == r"- /\x0a[pid"


@pytest.mark.parametrize("field", [*FIELDS, "pid", "wid", "var.REQUEST_URI", "var.PATH_INFO"])
def test_every_field_can_be_asked_for(field: str) -> None:
    """None of them needs what only the worker has."""
    assert line_of("--log-format", f"[%({field})]").startswith("[")
    assert line_of("--log-format", f"[%({field})]") != "[]"


def test_who_is_logged() -> None:
    """As for other requests: disable-logging, and the exceptions to it."""
    assert is_wanted(configure().settings, 504, 1.0)
    assert not is_wanted(configure("--disable-logging").settings, 504, 1.0)
    assert is_wanted(configure("--disable-logging", "--log-5xx").settings, 504, 1.0)
    slow = configure("--disable-logging", "--log-slow", "500").settings
    assert [is_wanted(slow, 503, duration) for duration in (0.4, 0.5)] == [False, True]
