"""Exit codes of servers and workers, with uWSGI's meanings: supervisors and the master act on them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the end of a process says. Codes of uWSGI that nothing here uses are not listed."""

    OK = 0
    FAILED = 1  # a mistake in the settings, or a start that failed
    BROKEN = 5  # a worker whose application raised what reload-on-exception names
    RETIRED = 17  # a worker whose work was done (max-requests, a reload-on limit); nothing is wrong
    HOOK_FAILED = 21  # a hook of a worker (post-fork, accepting) failed
    NO_APPLICATION = 22  # the application could not be loaded
    QUIET = 29  # a worker that left at once, as it was told
