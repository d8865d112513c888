"""Another module's application, with every function written down that runs in a worker from its fork on.

RECORDED names the module, RECORD_TO the beginning of the files, one for each process, that `often_used.py` reads.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import CodeType, FrameType

application = import_module(os.environ["RECORDED"]).application

_seen: set[CodeType] = set()
_files: dict[int, int] = {}


def _record(frame: FrameType, _event: str, _argument: object) -> None:
    code = frame.f_code
    if code not in _seen:
        _seen.add(code)
        pid = os.getpid()
        if pid not in _files:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            _files[pid] = os.open(f"{os.environ['RECORD_TO']}.{pid}", flags, 0o644)
        words = (*code.co_names, *(one for one in code.co_consts if isinstance(one, str) and one.isidentifier()))
        line = (frame.f_globals.get("__name__", ""), code.co_qualname, words)
        os.write(_files[pid], f"{line!r}\n".encode())


os.register_at_fork(before=lambda: sys.setprofile(_record))  # the first of all functions before a fork
