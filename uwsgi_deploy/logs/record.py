"""The facts of one finished request, for the log."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from uwsgi_deploy.protocol.messages import Facts

# In the environ where several applications are mounted: which one it was, by its number in the order of loading.
APPLICATION_NUMBER = "uwsgi_deploy.application"
# In the environ of requests that a routing rule has dealt with: variables for the log, that no line is to be written,
# that a rule has answered.
LOG_VARIABLES = "uwsgi_deploy.log_variables"
UNLOGGED = "uwsgi_deploy.unlogged"
ROUTED = "uwsgi_deploy.routed"
# Request variables of HTTP as a uwsgi packet would carry them: names, and the length fields of names and values.
_REQUEST_VARIABLES = (
    "REQUEST_METHOD",
    "REQUEST_URI",
    "PATH_INFO",
    "QUERY_STRING",
    "SERVER_PROTOCOL",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "REMOTE_ADDR",
)
_NAMES_SIZE = sum(4 + len(name) for name in _REQUEST_VARIABLES)


class Answer(Protocol):
    """What the log asks a response for; sizes in bytes."""

    status: int
    sent_body: int
    head_size: int
    header_count: int
    via_sendfile: bool


class RequestRecord(NamedTuple):
    """A finished request. Times in seconds (`started` since the epoch); `total` counts the requests of all workers."""

    environ: dict[str, Any]
    facts: Facts
    answer: Answer
    started: float
    duration: float
    core: int
    requests: int
    total: int
    write_failed: bool
    read_failed: bool


def packet_size(environ: dict[str, Any], facts: Facts) -> int:
    """Size of the request head as a uwsgi packet, also for requests that came by HTTP."""
    if not facts.is_http:
        return facts.size
    values = sum(len(environ[name]) for name in _REQUEST_VARIABLES)
    return facts.size + _NAMES_SIZE + values
