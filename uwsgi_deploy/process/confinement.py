"""Which CPUs a process runs on, and how large it may become."""

from __future__ import annotations

import os
from collections.abc import Sequence


def cpus_of(wid: int, *, each: int, allowed: Sequence[int]) -> list[int]:
    """The CPUs of worker `wid` (from 1): `each` neighbours of the allowed ones, after its predecessor's."""
    count = min(each, len(allowed))
    start = (wid - 1) * each
    return [allowed[(start + index) % len(allowed)] for index in range(count)]


def pin_worker(wid: int, *, each: int) -> str:
    """Bind this process to its CPUs, among those that it may use; a line for the log."""
    cpus = cpus_of(wid, each=each, allowed=sorted(os.sched_getaffinity(0)))
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        return f"*** WARNING: cpu-affinity: worker {wid} cannot be bound to CPUs: {error.strerror} ***"
    return f"mapping worker {wid} to CPUs: {' '.join(map(str, cpus))}"


def limit_address_space(mebibytes: int) -> str:
    """Let this process and its children have no more address space; a line for the log.

    Only the soft limit: a later start in the same process may be told another value.
    """
    import resource  # a library of its own, which only those need who ask for a limit

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = mebibytes << 20
    if hard != resource.RLIM_INFINITY and wanted > hard:
        wanted = hard
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    return f"limiting address space of processes to {wanted} bytes"
