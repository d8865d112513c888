"""The verbs that steer a running server: `status`, `reload`, `stop` … Each is one row of `VERBS` and one function.

`uwsgi-deploy VERB`, `python manage.py uwsgi VERB` and `flask uwsgi VERB` are made from the same rows: by `click_group`
here, and by `argparse_verbs` for Django. `perform` runs one and returns its exit code:

- status: 0 running, 1 dead and a pid file is left, 3 not running, 4 unknown (Linux Standard Base).
- all others: 0 done, 1 not done (the reason is on standard error), 7 not running; stopping what does not run is done.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from uwsgi_deploy.cli import status_report
from uwsgi_deploy.cli.client import UNKNOWN, NoServer, Place, Server, Watch, find
from uwsgi_deploy.cli.harakiri import HARAKIRI
from uwsgi_deploy.cli.on_demand import ON_DEMAND
from uwsgi_deploy.cli.order import FAILED, PLACE_ARGUMENTS, Argument, Order, Takes, Verb
from uwsgi_deploy.master.commands import Command

NO_SERVER = 7
POLL = 0.1
# How long a master that executes itself anew may be out of reach.
EXEC_GRACE = 30.0

WAIT = Argument("wait", Takes.NOTHING, "Wait for the end; the exit code tells how it went.")
NO_WAIT = Argument("no-wait", Takes.NOTHING, "Do not wait for the end.")
TIMEOUT = Argument("timeout", Takes.SECONDS, "Wait so many seconds at most; without it, as long as it takes.")


def perform(verb: Verb, order: Order) -> int:
    """Run a verb and return the exit code. Failures are told on standard error (or as JSON), never raised."""
    try:
        return verb.run(order)
    except NoServer as error:
        order.tell(str(error), ok=False)
        if verb.words == ("status",):
            return error.status
        if error.is_gone:
            return 0 if verb.words == ("stop",) else NO_SERVER
        return FAILED


def tell_pidfile(pidfile: str, command: Command) -> int:
    """uWSGI's `--stop FILE` and its kin: tell and do not wait; exit code 1 when there is nobody to tell."""
    order = Order(Place(pidfiles=(pidfile,)), {}, as_json=False)
    try:
        return order.pass_on(_find(order).ask(command))
    except NoServer as error:
        return order.tell(str(error), ok=False)


def _find(order: Order) -> Server:
    return find(order.place, os.environ)


def _simply(command: Command) -> Callable[[Order], int]:
    """A verb that asks and prints the answer."""

    def run(order: Order) -> int:
        values = [order.given(name) for name in ("number", "ids")]
        arguments = [
            str(item) for value in values if value for item in (value if isinstance(value, tuple) else (value,))
        ]
        return order.pass_on(_find(order).ask(command, *arguments))

    return run


def _status(order: Order) -> int:
    server = find(order.place, os.environ, guess=True)
    if not server.control:
        return order.tell(f"running (pid {server.pid}); its control socket cannot be reached, so no more is known")
    try:
        data = server.ask(Command.STATUS)["data"]
    except NoServer:
        # A master that executes itself anew cuts off who is connected, and takes the next one.
        data = find(order.place, os.environ, guess=True).ask(Command.STATUS)["data"]
    if order.as_json:
        print(json.dumps(data))
    elif sys.stdout.isatty():
        print(status_report.table(data, now=time.time()))
    else:
        print(status_report.plain(data))
    return 0


# --- reload -----------------------------------------------------------------------------------------------------------


RELOADS = {
    (False, False, False): Command.RELOAD,
    (True, False, False): Command.BRUTAL_RELOAD,
    (False, True, False): Command.CHAIN_RELOAD,
    (False, False, True): Command.WORKERS_RELOAD,
    (True, False, True): Command.BRUTAL_WORKERS_RELOAD,
}
"""(brutal, chain, workers) to what they mean together."""


def _reload(order: Order) -> int:
    kind = (bool(order.given("brutal")), bool(order.given("chain")), bool(order.given("workers")))
    if kind not in RELOADS:
        return order.tell("--chain cannot be combined with --brutal or --workers", ok=False)
    server = _find(order)
    reply = server.ask(RELOADS[kind])
    if not (order.given("wait") and reply["ok"]):
        return order.pass_on(reply)
    if reply["data"] is None and server.control:
        return order.pass_on(reply)  # the server ends (exit-on-reload), or has never served (broken code, autoreload)
    if reply["data"] is None:
        return order.tell("how the reload ends cannot be known without the control socket", ok=False)
    return _await_reload(order, server, str(reply["data"]["reload"]))


def _await_reload(order: Order, server: Server, number: str) -> int:
    """Ask until the reload is over. The master executes itself anew meanwhile: it may be out of reach for a moment."""
    deadline = time.monotonic() + order.patience
    reached = time.monotonic()
    while time.monotonic() < deadline:
        try:
            reply = server.ask(Command.RELOAD_STATUS, number)
        except NoServer:
            if time.monotonic() - reached > EXEC_GRACE or not os.path.exists(f"/proc/{server.pid}"):
                raise
            time.sleep(POLL)
            server = _found_again(server)
            continue
        reached = time.monotonic()
        data = reply["data"] or {}
        if not reply["ok"]:
            return order.pass_on(reply)
        if data.get("state") == "complete":
            return order.tell(reply["message"], data=data)
        if data.get("state") == "failed":
            return order.tell(data.get("reason") or reply["message"], ok=False, data=data)
        time.sleep(POLL)
    return order.tell(f"not over after {order.patience:g} s; it goes on", ok=False)


def _found_again(server: Server) -> Server:
    """The same server, whose control socket may have gone elsewhere with its new configuration."""
    try:
        return find(Place(pid=server.pid), os.environ)
    except NoServer:
        return server


def _restart(order: Order) -> int:
    server = _find(order)
    reply = server.ask(Command.RESTART)
    if order.given("no_wait") or not reply["ok"] or reply["data"] is None:
        return order.pass_on(reply)
    return _await_reload(order, server, str(reply["data"]["reload"]))


# --- the end ----------------------------------------------------------------------------------------------------------


def _stop(order: Order) -> int:
    server = _find(order)
    watch = Watch(server.pid)
    try:
        reply = server.ask(Command.STOP_NOW if order.given("now") else Command.STOP)
        if order.given("no_wait") or not reply["ok"]:
            return order.pass_on(reply)
        if watch.ended(min(order.patience, 1e6)):
            return order.tell(f"stopped (pid {server.pid})")
        return order.tell(f"the server (pid {server.pid}) still runs after {order.patience:g} s", ok=False)
    finally:
        watch.close()


def _drain(order: Order) -> int:
    server = _find(order)
    reply = server.ask(Command.DRAIN)
    if not (order.given("wait") and reply["ok"]):
        return order.pass_on(reply)
    deadline = time.monotonic() + order.patience
    while time.monotonic() < deadline:
        reply = server.ask(Command.STATUS)
        if reply["data"]["state"] == "drained":
            return order.tell("drained: all workers have left, the master waits to be stopped")
        time.sleep(POLL)
    return order.tell(f"the server is not drained after {order.patience:g} s; it goes on", ok=False)


HOW_MANY = Argument("number", Takes.NUMBER, "[N]", positional=True)

VERBS = (
    Verb(("status",), "Show what the server and its workers are doing.", _status),
    Verb(
        ("reload",),
        "Load configuration, server and application anew, and replace the workers without losing a request.",
        _reload,
        (
            WAIT,
            TIMEOUT,
            Argument("brutal", Takes.NOTHING, "Old workers leave at once when the new application is loaded."),
            Argument("chain", Takes.NOTHING, "Only the workers, one after the other."),
            Argument("workers", Takes.NOTHING, "Only the workers, not the master."),
        ),
    ),
    Verb(
        ("stop",),
        "Stop the server when its requests are done, and wait for that.",
        _stop,
        (Argument("now", Takes.NOTHING, "At once, whatever is running."), NO_WAIT, TIMEOUT),
    ),
    Verb(
        ("restart",),
        "Let all workers leave when their requests are done, then load everything anew; clients wait meanwhile.",
        _restart,
        (NO_WAIT, TIMEOUT),
    ),
    Verb(
        ("drain",),
        "Let nobody new in, let the workers leave when their requests are done; the master stays until it is stopped.",
        _drain,
        (WAIT, TIMEOUT),
    ),
    Verb(("pause",), "Serve nobody: requests wait until the server is told to resume.", _simply(Command.PAUSE)),
    Verb(("resume",), "Serve again after a pause.", _simply(Command.RESUME)),
    Verb(("workers", "add"), "Run more workers.", _simply(Command.MORE_WORKERS), (HOW_MANY,)),
    Verb(("workers", "remove"), "Run fewer workers.", _simply(Command.FEWER_WORKERS), (HOW_MANY,)),
    Verb(
        ("workers", "recycle"),
        "Replace these workers, or all; each one leaves when its successor serves.",
        _simply(Command.RECYCLE_WORKERS),
        (Argument("ids", Takes.NUMBER, "[ID]...", positional=True, many=True),),
    ),
    Verb(("log", "reopen"), "Open the log file again by its name, after it was moved.", _simply(Command.REOPEN_LOG)),
    Verb(("log", "rotate"), "Move the log file away and open a new one.", _simply(Command.ROTATE_LOG)),
    *ON_DEMAND,
    *HARAKIRI,
)


def verb_of(*words: str) -> Verb:
    """The verb with these words."""
    return next(verb for verb in VERBS if verb.words == words)


def place_of(values: Mapping[str, Any], known: Place) -> Place:
    """Where to look: what was said on the command line replaces everything that is known otherwise."""
    given = Place(
        control_socket=values.get("control_socket") or "",
        pidfiles=(values["pidfile"],) if values.get("pidfile") else (),
        pid=values.get("pid") or 0,
        directory=known.directory,
    )
    return given if given.control_socket or given.pidfiles or given.pid else known


__all__ = [
    "PLACE_ARGUMENTS",
    "UNKNOWN",
    "VERBS",
    "Argument",
    "Order",
    "Takes",
    "Verb",
    "perform",
    "place_of",
    "verb_of",
]
