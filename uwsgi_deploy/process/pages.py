"""Give back the pages of files that a process has mapped only because it once started.

Importing an application runs most of the interpreter and of the application's libraries; a master or a template that
has done so sleeps from then on, with all that code in its memory. A page of a file that nobody has written into can be
unmapped at any time: whoever needs it gets it again, from the page cache as a rule, and under pressure the kernel takes
unmapped pages before mapped ones. Forked children have no part in it: they map pages of files as they need them.
"""

from __future__ import annotations

from collections.abc import Iterator

_MADV_DONTNEED = 4


def forget_mapped_files() -> None:
    """Unmap every page of a read-only private mapping of a file that is as it is in the file.

    Mappings into which anything was ever written (a library's relocations, before they were made read-only) are left
    alone. Without /proc, or where the kernel refuses, nothing happens.
    """
    try:
        mappings = list(_unwritten())
    except OSError:
        return
    import ctypes  # as in prctl: only processes that call it pay

    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for start, end in mappings:
        madvise(start, end - start, _MADV_DONTNEED)  # locked pages: EINVAL, and they stay


def _unwritten() -> Iterator[tuple[int, int]]:
    """First address and the one after the last of the mappings in question; proc_pid_smaps(5)."""
    where, in_question = b"", False
    with open("/proc/self/smaps", "rb") as file:
        for line in file:
            first, _, rest = line.partition(b" ")
            if not first.endswith(b":"):
                permissions, _, _, inode, *_ = rest.split()
                where, in_question = first, permissions in (b"r-xp", b"r--p") and inode != b"0"
            elif in_question and first == b"Anonymous:" and rest.split()[0] == b"0":
                start, _, end = where.partition(b"-")
                yield int(start, 16), int(end, 16)
