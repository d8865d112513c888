"""`uwsgi.opt`: from what was written to what libraries ask for."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure
from uwsgi_deploy.api.options import options_of


def test_values() -> None:
    """Bytes, True for a name alone, a list for repeated names."""
    options = options_of((("workers", "2"), ("master", None), ("env", "A=1"), ("env", "B")), master=True)
    assert options == {
        "enable-threads": True,
        "py-call-uwsgi-fork-hooks": True,
        "workers": b"2",
        "master": True,
        "env": [b"A=1", b"B"],
    }


def test_what_is_so_without_being_written() -> None:
    """Libraries refuse to work where they do not find it."""
    assert options_of((), master=True)["master"] is True
    assert options_of((("enable-threads", "false"),), master=True)["enable-threads"] is True
    assert "master" not in options_of((), master=False)


def test_keys_may_be_bytes() -> None:
    """Libraries ask with both."""
    options = options_of((("workers", "2"),), master=True)
    assert (options[b"workers"], options.get(b"workers"), b"workers" in options) == (b"2", b"2", True)  # type: ignore[index]
    assert (options.get(b"threads", 5), b"threads" in options) == (5, False)
    with pytest.raises(KeyError):
        options["threads"]


def test_an_option_has_one_value_and_all_its_names() -> None:
    """The strongest; under the name that was used and under the server's own."""
    written = dict(configure("--workers", "2", "-p", "3").settings.as_written)
    assert (written["processes"], written["workers"]) == ("3", "3")
