"""One sentence about what to do, for each thing that requests wait for."""

from __future__ import annotations

from uwsgi_deploy.reports.incident import Incident
from uwsgi_deploy.reports.waiting import (
    BROKER,
    CACHE,
    CLIENT,
    CPU,
    DATABASE,
    DNS,
    FILE,
    HTTP,
    LOCK,
    MAIL,
    POOL,
    SLEEP,
    SOCKET,
    SUBPROCESS,
    Waiting,
)

ADVICE = {
    CLIENT: "the client sends or takes data slowly: keep post-buffering on, return whole responses, or use a proxy",
    POOL: "all connections of the pool are in use: make it as large as there are cores, or return connections sooner",
    DNS: "a name is being resolved: look at the resolver (timeout and attempts in resolv.conf), or cache them",
    DATABASE: "set statement_timeout below the limit, add an index, or look for a transaction that holds a lock",
    CACHE: "give the cache client a socket timeout, and look whether the cache answers",
    HTTP: "give the call a timeout (connect and read) shorter than the limit, or make it in the background",
    MAIL: "give the mail backend a timeout, or send mail in the background",
    BROKER: "give the broker connection a timeout, or publish in the background",
    SUBPROCESS: "give the subprocess a timeout, or run it in the background",
    LOCK: "give the lock a timeout, and look at the other threads for who holds it",
    SLEEP: "the application sleeps: wait for events instead, or do it in the background",
    SOCKET: "give the socket a timeout that is shorter than the limit",
    FILE: "look at the disk or the network file system, or read and write less at once",
    CPU: "make it do less at once, move it to the background, or give this route a longer limit (harakiri-routes)",
}
_EXPRESSION = "a regular expression may backtrack without end on this input: simplify it, or limit the input's length"


def hint(incident: Incident, waiting: Waiting | None, culprit: str) -> str:
    """The sentence. culprit: the application's innermost function, `views.py search`, or empty."""
    if waiting is None:
        return (
            f"no stack could be had after {incident.age:.1f} s: the worker hangs in the kernel or is suspended; "
            "look at its disk, network file systems and memory"
        )
    where = waiting.place
    if waiting.target:
        where += f" ({waiting.target})"
    if culprit and culprit != waiting.place:
        where += f", called by {culprit}"
    if waiting.seconds is not None:
        lead = f"blocked {waiting.seconds:.1f} s in {where}"
    else:
        lead = f"after {incident.age:.1f} s in {where}"
    return f"{lead}; {_advice(waiting)}"


def _advice(waiting: Waiting) -> str:
    if waiting.kind == CPU and waiting.place.startswith(("re/", "sre_")):
        return _EXPRESSION
    return ADVICE.get(waiting.kind, ADVICE[SOCKET])
