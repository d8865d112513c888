"""What the kernel says about memory."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from uwsgi_deploy.process import memory
from uwsgi_deploy.process.memory import Shares

ROLLUP = b"""\
55d1-7ffd [rollup]
Rss:               12000 kB
Pss:                4000 kB
Pss_Dirty:          3000 kB
Shared_Clean:       8000 kB
Private_Clean:       100 kB
Private_Dirty:      2900 kB
"""


def test_usage_of_a_process() -> None:
    """This process, by itself and by number; more memory is seen."""
    # Pages from the kernel: an allocation might be served from memory that is free in this process and resident
    # already. Much less than was touched is enough: the kernel may swap, and counts a process's pages roughly.
    size = 64 << 20
    before = memory.usage()
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as ballast:
        for at in range(0, size, mmap.PAGESIZE):
            ballast[at] = 1
        after = memory.usage(os.getpid())
    assert before is not None
    assert after is not None
    assert after.resident - before.resident > size // 4
    assert after.address_space - before.address_space >= size // 4
    assert after.address_space > after.resident


def test_usage_of_nobody() -> None:
    assert memory.usage(2**22 + 1) is None
    assert memory.shares(2**22 + 1) is None


def test_shares() -> None:
    assert memory.parse_shares(ROLLUP) == Shares(unique=3000 << 10, proportional=4000 << 10)
    own = memory.shares()
    assert own is not None
    assert 0 < own.unique <= own.proportional


def test_available() -> None:
    """Something is left, and not more than the machine has."""
    room = memory.available()
    assert room is not None
    assert 0 < room <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_room_in_a_control_group(tmp_path: Path) -> None:
    """Limit minus use, and file pages that can be dropped; `max` is no limit."""
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 50000\nactive_file 7\n")
    assert memory._of_control_group(str(tmp_path)) == 150_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_control_group(str(tmp_path)) is None
    assert memory._of_control_group(str(tmp_path / "nowhere")) is None


@pytest.mark.parametrize(
    ("membership", "folder"),
    [
        (b"0::/\n", "/sys/fs/cgroup"),
        (b"1:cpu:/x\n0::/system.slice/app.service\n", "/sys/fs/cgroup/system.slice/app.service"),
        (b"", "/sys/fs/cgroup"),
    ],
)
def test_control_group(membership: bytes, folder: str) -> None:
    assert memory._control_group(membership) == folder


def test_report() -> None:
    assert memory.report(1).count("{") == 2
    assert [word for word in ("address space", "rss", "uss", "pss") if f"{{{word} usage: " in memory.report(2)] == [
        "address space",
        "rss",
        "uss",
        "pss",
    ]
