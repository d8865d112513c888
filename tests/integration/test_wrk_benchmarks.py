"""The programs in benchmarks/ that need wrk and compare with nginx run, and what they promise of this server holds."""

from __future__ import annotations

import shutil

import pytest

from tests.integration.test_benchmarks import test_benchmark as run_benchmark
from tests.support.nginx import needs_nginx

pytestmark = [
    pytest.mark.slow,
    needs_nginx,
    pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed"),
]


@pytest.mark.parametrize(
    "command",
    [
        ("behind_nginx.py", "--seconds", "1", "--rounds", "1"),
        ("static_files.py", "--sizes", "10240", "--seconds", "1", "--rounds", "1"),
    ],
    ids=" ".join,
)
def test_with_wrk(command: tuple[str, ...]) -> None:
    run_benchmark(command)
