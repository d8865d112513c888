"""How much memory a process uses and how much the machine or its container has left, as the kernel counts it.

Everything is in bytes. `usage` costs some microseconds; `shares` walks a process's page tables and may take
milliseconds, and the kernel lets only the process itself, root, or its (dumpable) twin ask.
"""

from __future__ import annotations

import os
import re
from os import close  # before gevent replaces it
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")
_KIBIBYTES = re.compile(rb"^(\w+): +(\d+) kB$", re.M)
MEBIBYTE = 1 << 20


class Usage(NamedTuple):
    """What `ps` calls VSZ and RSS."""

    address_space: int
    resident: int


class Shares(NamedTuple):
    """Memory that no other process maps (USS), and the process's proportional share of what it maps (PSS)."""

    unique: int
    proportional: int


def usage(pid: int | str = "self") -> Usage | None:
    """Address space and resident memory of a process; None when it is gone."""
    data = _read(f"/proc/{pid}/statm")
    if not data:
        return None
    size, resident, *_ = data.split()
    return Usage(int(size) * _PAGE, int(resident) * _PAGE)


def shares(pid: int | str = "self") -> Shares | None:
    """USS and PSS of a process; None when it is gone or its memory is nobody's business."""
    return parse_shares(_read(f"/proc/{pid}/smaps_rollup"))


def parse_shares(rollup: bytes) -> Shares | None:
    """What /proc/PID/smaps_rollup says."""
    sizes = {name: int(size) << 10 for name, size in _KIBIBYTES.findall(rollup)}
    if b"Pss" not in sizes:
        return None
    return Shares(sizes.get(b"Private_Clean", 0) + sizes.get(b"Private_Dirty", 0), sizes[b"Pss"])


def available() -> int | None:
    """What could still be used without swapping: the machine's, or less in a container; None where nobody says."""
    rooms = (_of_machine(_read("/proc/meminfo")), _of_control_group(_control_group(_read("/proc/self/cgroup"))))
    return min((room for room in rooms if room is not None), default=None)


def _of_machine(meminfo: bytes) -> int | None:
    sizes = dict(_KIBIBYTES.findall(meminfo))
    return int(sizes[b"MemAvailable"]) << 10 if b"MemAvailable" in sizes else None


def _control_group(membership: bytes) -> str:
    """The folder of this process's control group, version 2; a container sees its own as the root."""
    match = re.search(rb"^0::(/.*)$", membership, re.M)
    return "/sys/fs/cgroup" + (os.fsdecode(match[1]).rstrip("/") if match else "")


def _of_control_group(folder: str) -> int | None:
    """What a control group has left.

    File pages that nobody has used for a while are given up when memory is wanted; they count as free.
    """
    limit, used = _read(f"{folder}/memory.max").strip(), _read(f"{folder}/memory.current").strip()
    if not (limit.isdigit() and used.isdigit()):
        return None
    inactive = re.search(rb"^inactive_file (\d+)$", _read(f"{folder}/memory.stat"), re.M)
    return max(0, int(limit) - int(used) + (int(inactive[1]) if inactive else 0))


def report(level: int) -> str:
    """How uWSGI's memory-report begins a request line; level 2 adds USS and PSS."""
    used = usage()
    if used is None:
        return ""
    sizes = [("address space", used.address_space), ("rss", used.resident)]
    if level > 1 and (own := shares()) is not None:
        sizes += [("uss", own.unique), ("pss", own.proportional)]
    return "".join(f"{{{name} usage: {size} bytes/{size >> 20}MB}} " for name, size in sizes)


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 16384)
    except OSError:
        return b""
    finally:
        close(descriptor)
