"""An application that takes two seconds to import, as a big project does; see the variables."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

ANSWER = b"two seconds later\n"

_end = time.monotonic() + float(os.environ.get("IMPORT_SECONDS", "2"))
while (_left := _end - time.monotonic()) > 0:
    if os.environ.get("IMPORT_BUSY", "1") == "1":
        sum(range(1000))  # importing is work for the processor
    else:
        time.sleep(_left)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer at once."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(ANSWER)))])
    return [ANSWER]
