"""The end of an interpreter in a forked process: what `sys.exit` would do, with a time limit."""

from __future__ import annotations

import atexit
import os
import threading
import traceback
from _thread import start_new_thread
from time import sleep

from uwsgi_deploy.process.fork import flush_stdio


def finish_interpreter(code: int, *, time_limit: float) -> None:
    """Wait for non-daemon threads, run atexit handlers, flush; after `time_limit` seconds the process ends with `code`.

    Bound at import, `start_new_thread` and `sleep` are the real ones even if an application patches threads later.
    """

    def end_anyway() -> None:
        sleep(time_limit)
        flush_stdio()
        os._exit(code)

    start_new_thread(end_anyway, ())
    for step in (_join_threads, atexit._run_exitfuncs):
        try:
            step()
        except BaseException:
            traceback.print_exc()
    flush_stdio()


def _join_threads() -> None:
    # Also tells executors of concurrent.futures to end their threads, which only this function does.
    threading._shutdown()  # type: ignore[attr-defined]
