"""An application that keeps some memory for every request, as many bytes as the query says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

BODY = b"leaked\n"
KEPT: list[bytearray] = []


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    KEPT.append(bytearray(b"x") * int(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]
