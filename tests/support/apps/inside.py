"""What an application sees of the server: answers with the `repr` of the expression in its query string."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

import uwsgi

AT_IMPORT = {"worker_id": uwsgi.worker_id(), "masterpid": uwsgi.masterpid(), "ready": uwsgi.ready()}
HAPPENED: list[str] = []


def happened(what: str) -> Callable[[], None]:
    """A hook that is remembered, and written where the environment says."""

    def hook() -> None:
        HAPPENED.append(f"{what} in {uwsgi.worker_id()}")
        print(f"hook: {HAPPENED[-1]}", flush=True)
        time.sleep(float(os.environ.get(what.upper().replace(" ", "_"), "0")))

    return hook


if "HOOKS" in os.environ:
    uwsgi.post_fork_hook = happened("fork")
    uwsgi.after_req_hook = happened("after request")
    uwsgi.atexit = happened("end")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Evaluate what the client asks for."""
    answer = repr(eval(unquote(environ["QUERY_STRING"]), globals())).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
