"""Linux's prctl, of which Python knows nothing: who adopts orphans, and what a parent's death does.

ctypes is imported by the first call and not before; the template calls once before it freezes its heap, so that workers
share that memory, and a call in a worker touches next to nothing of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """From now on orphaned descendants become children of this process. OSError where the kernel refuses."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def set_parent_death_signal(number: int) -> None:
    """Send this process `number` when its parent ends (0: nothing).

    "Parent" is the thread that is the parent at that moment, also one that adopted us; a change of user clears the
    setting; and a parent that ended before the call is not noticed: compare `os.getppid()` after it.
    """
    _prctl(PR_SET_PDEATHSIG, number)


def become_dumpable() -> None:
    """Let processes of the same user look into this one and its children, as they may where no user was changed.

    A process that was root is closed to them (prctl(2), PR_SET_DUMPABLE), also to a master of the same user.
    """
    _prctl(PR_SET_DUMPABLE, 1)


def _prctl(option: int, argument: int) -> None:
    function, errno_of = _function()
    if function(option, argument, 0, 0, 0) != 0:
        code = errno_of()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")


@cache  # looking it up again would copy 230 KB of what a worker shares with its siblings, a call copies 20
def _function() -> tuple[Callable[..., int], Callable[[], int]]:
    """prctl, and how to ask for the error of the last call."""
    import ctypes  # only processes that call it pay

    function = ctypes.CDLL(None, use_errno=True).prctl
    function.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    return function, ctypes.get_errno
