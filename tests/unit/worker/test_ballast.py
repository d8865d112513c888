"""After the pools are filled, new objects lie in pages of their own."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from uwsgi_deploy.worker.ballast import fill_pools

POOL = 1 << 14
sizes = range(64, 513, 16)
holed = [[bytes(size - 33) for _ in range(300)] for size in sizes]
for blocks in holed:
    del blocks[::2]
old = {id(block) // POOL for blocks in holed for block in blocks}
if sys.argv[1] == "fill":
    ballast = fill_pools()
fresh = [bytes(size - 33) for size in sizes]
print(sum(id(block) // POOL in old for block in fresh))
"""


def blocks_in_old_pools(how: str) -> int:
    """How many of 29 new objects share a pool with old ones, in an interpreter with CPython's own allocator."""
    command = [sys.executable, "-E", "-c", SCRIPT, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_new_objects_do_not_go_between_old_ones() -> None:
    assert blocks_in_old_pools("leave") == 29
    assert blocks_in_old_pools("fill") <= 2  # of some size the newest pool may have been begun a moment before


def test_another_allocator_is_no_trouble() -> None:
    """Without pools the work is bounded."""
    script = "from uwsgi_deploy.worker.ballast import fill_pools; print(len(fill_pools()) > 0)"
    command = ["env", "PYTHONMALLOC=malloc", sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout == "True\n"
