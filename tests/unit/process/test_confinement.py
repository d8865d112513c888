"""Which CPUs a worker is given."""

from __future__ import annotations

import pytest

from uwsgi_deploy.process.confinement import cpus_of


@pytest.mark.parametrize(
    ("wid", "each", "allowed", "cpus"),
    [
        (1, 1, [0, 1], [0]),
        (2, 1, [0, 1], [1]),
        (3, 1, [0, 1], [0]),
        (2, 2, [0, 1, 2, 3], [2, 3]),
        (3, 2, [0, 1, 2, 3], [0, 1]),
        (2, 3, [0, 1, 2, 3], [3, 0, 1]),
        (1, 8, [4, 6], [4, 6]),
        (2, 1, [5, 9, 11], [9]),
    ],
)
def test_cpus_of(wid: int, each: int, allowed: list[int], cpus: list[int]) -> None:
    """Neighbours, one worker after the other, around the end; only what the process may use (a container's share)."""
    assert cpus_of(wid, each=each, allowed=allowed) == cpus
