"""How long ago a process began, as the kernel counts it."""

from __future__ import annotations

import os
import time


def age(pid: int | str = "self") -> float:
    """Seconds since the process began; an `exec` does not change that, nor does a clock that is set.

    0 where nobody knows: the process is gone, or /proc is not in our jail.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            started = int(file.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
