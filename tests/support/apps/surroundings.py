"""What a worker sees of the operating system, as JSON."""

from __future__ import annotations

import atexit
import json
import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

LOADED_AS = os.geteuid()

atexit.register(lambda: print(f"exit handler in {os.getpid()}", flush=True))


def capabilities() -> str:
    """The effective set, hexadecimal; "" where /proc is not mounted."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return ""
    return next(line.split()[1] for line in lines if line.startswith("CapEff"))


def stack_of_this_thread() -> int:
    """KiB of the mapping that holds this thread's stack; 0 in the main thread."""
    if threading.current_thread() is threading.main_thread():
        return 0
    near = id_on_stack()
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if begin <= near < end:
            return (end - begin) // 1024
    return -1


def id_on_stack() -> int:
    """The stack pointer of this thread, roughly: the kernel's kstkesp is 0 for running threads, so ask pthread."""
    import ctypes

    library = ctypes.CDLL(None)
    library.pthread_self.restype = ctypes.c_ulong
    return int(library.pthread_self()) - 4096


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with everything; /child answers with the capabilities of a program that was started."""
    if environ["PATH_INFO"] == "/stack":
        time.sleep(0.3)  # so that other cores serve, too
    if environ["PATH_INFO"] == "/child":
        script = "import re; print(re.search(r'CapEff:\\s*(\\w+)', open('/proc/self/status').read())[1])"
        answer = subprocess.run(["python3", "-c", script], capture_output=True, check=True).stdout.strip()
    else:
        answer = json.dumps(
            {
                "loaded_as": LOADED_AS,
                "uid": os.geteuid(),
                "gid": os.getegid(),
                "groups": sorted(os.getgroups()),
                "cwd": os.getcwd(),
                "root": sorted(os.listdir("/")),
                "capabilities": capabilities(),
                "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
                "nproc": resource.getrlimit(resource.RLIMIT_NPROC),
                "priority": os.getpriority(os.PRIO_PROCESS, 0),
                "stack": stack_of_this_thread() if environ["PATH_INFO"] == "/stack" else 0,
                "environment": dict(os.environ),
            }
        ).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]
