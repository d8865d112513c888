"""uWSGI's switches for what is always on here: accepted, and said."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wsgi-manage-chunked-input", "chunked request bodies are decoded"),
        ("http-chunked-input", "chunked request bodies are decoded"),
        ("http-auto-chunked", "responses without a length are chunked"),
    ],
)
def test_chunked_bodies_need_no_switch(name: str, reason: str) -> None:
    (warning,) = configure(f"--{name}").warnings
    assert f"'{name}" in warning
    assert reason in warning
