"""The verbs that look into a running server and change nothing: `inflight` and `dump`."""

from __future__ import annotations

import json
import os
import sys

from uwsgi_deploy.cli import on_demand_report
from uwsgi_deploy.cli.client import find
from uwsgi_deploy.cli.order import Argument, Order, Takes, Verb
from uwsgi_deploy.master.commands import Command

INFLIGHT_HELP = """\
One row for each request, the oldest first:
AGE    how long the application has had it
LEFT   until its deadline (harakiri); "over" when that has passed, - when it has none
PHASE  application: nothing was sent yet; responding: a part was; closing: all was;
       answered: the server answered 504 in the application's place
ROUTE  what the framework calls it, where a middleware says it

uwsgi-deploy inflight --older-than 5      what has run for more than five seconds
watch -n1 uwsgi-deploy inflight           look again every second
uwsgi-deploy inflight --json | jq .requests[0]

Exit codes: 0 shown (also when nothing runs), 1 not possible, 7 no server runs."""

DUMP_HELP = """\
Each core is named with the request that it runs; the most recent call comes first. It works while C code holds the
interpreter. Nothing is killed, no request notices. A worker that is suspended, or waits in the kernel, is said to be so
after about a second. Idle cores are counted and not shown, the server's own threads neither, unless you ask with --all.

uwsgi-deploy dump                         every worker
uwsgi-deploy dump --worker 2              only worker 2 (see: uwsgi-deploy status)
uwsgi-deploy dump --json                  all threads with their frames

Exit codes: 0 every worker showed its stacks, 1 one did not (the reason is in the output), 7 no server runs."""


def _inflight(order: Order) -> int:
    server = find(order.place, os.environ, guess=True)
    arguments = [str(order.given("older_than") or 0.0)]
    if order.given("limit"):
        arguments.append(str(order.given("limit")))
    reply = server.ask(Command.INFLIGHT, *arguments)
    if not reply["ok"]:
        return order.pass_on(reply)
    if order.as_json:
        print(json.dumps(reply["data"]))
    elif sys.stdout.isatty():
        print(on_demand_report.table(reply["data"]))
    else:
        print(on_demand_report.plain(reply["data"]), end="")
    return 0


def _dump(order: Order) -> int:
    server = find(order.place, os.environ, guess=True)
    worker = order.given("worker")
    reply = server.ask(Command.DUMP, *([str(worker)] if worker else []))
    if not reply["ok"]:
        return order.pass_on(reply)
    workers = reply["data"]["workers"]
    if order.as_json:
        print(json.dumps(reply["data"]))
    else:
        print(on_demand_report.stacks(workers, with_idle=bool(order.given("all"))))
    return 0 if all(worker["shown"] == "stacks" for worker in workers) else 1


ON_DEMAND = (
    Verb(
        ("inflight",),
        "Show the requests that run now, the oldest first.",
        _inflight,
        (
            Argument("older-than", Takes.SECONDS, "Only requests that have run for so many seconds."),
            Argument("limit", Takes.NUMBER, "Show so many at most (1000)."),
        ),
        INFLIGHT_HELP,
    ),
    Verb(
        ("dump",),
        "Show the stacks of all threads, with their requests, without ending anything.",
        _dump,
        (
            Argument("worker", Takes.NUMBER, "Only this worker."),
            Argument("all", Takes.NOTHING, "Show idle cores, too."),
        ),
        DUMP_HELP,
    ),
)
