"""The verbs `harakiri list`, `show` and `replay`: reports of late requests, also of a server that has ended.

Where the reports are: `--dir`, else where the running server keeps them, else where a server with the known settings
would, else the only directory with reports among this user's.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from uwsgi_deploy.cli import harakiri_report
from uwsgi_deploy.cli.client import NoServer, find
from uwsgi_deploy.cli.order import Argument, Order, Takes, Verb
from uwsgi_deploy.errors import ServerError
from uwsgi_deploy.master.commands import Command
from uwsgi_deploy.process import runtime_dir
from uwsgi_deploy.reports import human, replay
from uwsgi_deploy.reports.place import NAME
from uwsgi_deploy.reports.ring import NoSuchReport, Ring

# Reading does not remove any.
_KEEP_ALL = sys.maxsize
MOST_LISTED = 50
MOST_CANDIDATES = 5

LIST_HELP = """\
One row for each report, the newest first. ID is as long as it takes to tell it from the others: give that, or more of
it, to `show` and `replay`.
KIND     soft: slow, and went on; deadline: ended at its limit; hard: its worker had to be replaced
OUTCOME  what its client got
CULPRIT  the innermost line of your own code in its stack

uwsgi-deploy harakiri list
uwsgi-deploy harakiri list --json | jq -r '.reports[].route' | sort | uniq -c
uwsgi-deploy harakiri list --dir /var/lib/shop/reports      nobody needs to run

Exit codes: 0 shown (also when there are none), 1 not possible (the reason is on standard error)."""

SHOW_HELP = """\
The report as it is in the log; without an ID the newest. With --json it is complete: other threads, the worker,
database calls, configuration (docs/harakiri-report.md has the fields). Secrets were taken out when it was written.

uwsgi-deploy harakiri show                the newest
uwsgi-deploy harakiri show 019d2f41       the beginning of its ID is enough
uwsgi-deploy harakiri show 019d2f41 --json | jq .stack

Exit codes: 0 shown, 1 there is no such report (the nearest are named on standard error)."""

REPLAY_HELP = """\
A command for a shell; it is printed, never run. What the report does not know, because it is a secret or was never
kept (cookies, tokens, values of the query, the body), is called REDACTED; lines that begin with # tell what that is.

uwsgi-deploy harakiri replay 019d2f41
uwsgi-deploy harakiri replay 019d2f41 --to http://127.0.0.1:8000       on your own machine

Exit codes: 0 printed, 1 there is no such report."""

ID = Argument("id", Takes.TEXT, "[ID]", positional=True)
DIRECTORY = Argument("dir", Takes.TEXT, "The directory with the reports (harakiri-dir).", metavar="DIRECTORY")


class NoReports(ServerError):
    """It is not known where reports are, or there are none."""


def _told(run: Callable[[Order], int]) -> Callable[[Order], int]:
    """What goes wrong is told."""

    def guarded(order: Order) -> int:
        try:
            return run(order)
        except (NoReports, NoSuchReport) as error:
            return order.tell(str(error), ok=False)

    return guarded


def _list(order: Order) -> int:
    ring = _ring(order)
    most = int(order.given("limit") or MOST_LISTED)
    ids = ring.ids()
    rows: list[dict[str, Any]] = []
    for report in ring.reports():
        if len(rows) == most:
            break
        rows.append(harakiri_report.summary(report))
    if order.as_json:
        print(json.dumps({"directory": ring.directory, "total": len(ids), "reports": rows}))
    elif sys.stdout.isatty():
        print(harakiri_report.table(rows, ids, ring.directory))
    else:
        print(harakiri_report.plain(rows), end="")
    return 0


def _show(order: Order) -> int:
    report = _report(order)
    if order.as_json:
        print(json.dumps(report))
    else:
        print(human.text(report))
    return 0


def _replay(order: Order) -> int:
    command = replay.curl_command(_report(order), str(order.given("to") or ""))
    if order.as_json:
        print(json.dumps({"command": command}))
    else:
        print(command)
    return 0


def _report(order: Order) -> dict[str, Any]:
    """The report that is meant."""
    ring = _ring(order)
    wanted = str(order.given("id") or "").strip().lower()
    ids = ring.ids()
    if not ids:
        raise NoReports(f"there are no reports in {ring.directory}")
    if not wanted:
        return ring.read(ids[0])
    matching = [known for known in ids if known.startswith(wanted)]
    if len(matching) == 1:
        return ring.read(matching[0])
    if matching:
        shown = ", ".join(matching[:MOST_CANDIDATES]) + (", ..." if len(matching) > MOST_CANDIDATES else "")
        raise NoReports(f"{len(matching)} reports begin with '{wanted}': {shown}")
    near = difflib.get_close_matches(wanted, ids, 1, 0.0) or ids
    raise NoReports(
        f"there is no report '{wanted}' in {ring.directory}; the nearest is {near[0]} (all: uwsgi-deploy harakiri list)"
    )


# --- where they are ---------------------------------------------------------------------------------------------------


def _ring(order: Order) -> Ring:
    given = order.given("dir")
    if given:
        if not os.path.isdir(given):
            raise NoReports(f"there is no directory {given}")
        return _in(str(given))
    try:
        server = find(order.place, os.environ, guess=True)
        data = server.ask(Command.STATUS)["data"]
    except NoServer as error:
        return _without_server(order, error)
    if not data.get("reports"):
        raise NoReports(f"the server (pid {server.pid}) keeps no reports: harakiri-dir or harakiri-sinks says so")
    return _in(str(data["reports"]))


def _without_server(order: Order, error: NoServer) -> Ring:
    """Where the settings say, or among the directories of this user's servers."""
    place = order.place
    if place.reports and os.path.isdir(place.reports):
        return _in(place.reports)
    if not error.is_gone or (place.certain and place.reports):
        where = f" in {place.reports}" if place.reports else ""
        raise NoReports(f"{error}; there are no reports{where} (name another directory with --dir)")
    found = [path for path in _directories() if Ring(path, _KEEP_ALL).ids()]
    if len(found) == 1:
        return _in(found[0])
    if found:
        raise NoReports(f"no server runs, and several have left reports; say which with --dir: {', '.join(found)}")
    raise NoReports("no server runs, and none has left reports where they are kept by default (name one with --dir)")


def _directories() -> Iterator[str]:
    for place in runtime_dir.all_places(os.environ, os.geteuid()):
        parent = os.path.join(place, NAME)
        try:
            yield from (os.path.join(parent, name) for name in sorted(os.listdir(parent)))
        except OSError:
            continue


def _in(directory: str) -> Ring:
    try:
        os.listdir(directory)
    except FileNotFoundError:
        pass  # it is made with the first report
    except OSError as error:
        raise NoReports(f"the reports in {directory} cannot be read: {error.strerror}") from None
    return Ring(directory, _KEEP_ALL)


HARAKIRI = (
    Verb(
        ("harakiri", "list"),
        "List the reports of late requests, the newest first.",
        _told(_list),
        (DIRECTORY, Argument("limit", Takes.NUMBER, f"Show so many at most ({MOST_LISTED}).")),
        LIST_HELP,
    ),
    Verb(("harakiri", "show"), "Show the report of a late request.", _told(_show), (ID, DIRECTORY), SHOW_HELP),
    Verb(
        ("harakiri", "replay"),
        "Print a curl command that makes the same request again, without its secrets.",
        _told(_replay),
        (ID, DIRECTORY, Argument("to", Takes.TEXT, "Send it there instead: http://127.0.0.1:8000.", metavar="URL")),
        REPLAY_HELP,
    ),
)
