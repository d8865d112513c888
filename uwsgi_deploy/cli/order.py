"""What a verb is: its words, its arguments, and the order that somebody gave with them. The rows are in `cli.verbs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from uwsgi_deploy.cli.client import Place

FAILED = 1


class Takes(Enum):
    """What stands for the value of an argument."""

    NOTHING = "flag"
    TEXT = "text"
    NUMBER = "number"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class Argument:
    """An option of a verb; with `positional` an argument, which may be left out. many: any number of values.

    metavar: what stands for the value in the help, where the kind of value does not say it.
    """

    name: str
    takes: Takes
    help: str = ""
    positional: bool = False
    many: bool = False
    metavar: str = ""

    @property
    def key(self) -> str:
        """The name among the parsed values."""
        return self.name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Order:
    """A verb as it was given: to whom, with what, and how to answer."""

    place: Place
    values: Mapping[str, Any]
    as_json: bool

    def given(self, name: str) -> Any:
        """The value of an argument, None or False when it was not given."""
        return self.values.get(name)

    @property
    def patience(self) -> float:
        """Seconds to wait for the end of what was asked for."""
        timeout = self.given("timeout")
        return float("inf") if timeout is None else float(timeout)

    def tell(self, message: str, *, ok: bool = True, data: Any = None) -> int:
        """Print an outcome and return its exit code."""
        if self.as_json:
            print(json.dumps({"ok": ok, "message": message, "data": data}), flush=True)
        else:
            print(message, file=sys.stdout if ok else sys.stderr, flush=True)
        return 0 if ok else FAILED

    def pass_on(self, reply: Mapping[str, Any]) -> int:
        """Print the server's answer."""
        return self.tell(reply["message"], ok=reply["ok"], data=reply["data"])


@dataclass(frozen=True, slots=True)
class Verb:
    """`words` are what is typed: `("workers", "add")`. details: what `--help` says below the options' sentence, line by
    line: how the output reads, examples, exit codes."""

    words: tuple[str, ...]
    help: str
    run: Callable[[Order], int]
    arguments: tuple[Argument, ...] = ()
    details: str = ""


PLACE_ARGUMENTS = (
    Argument("pidfile", Takes.TEXT, "The server that wrote this pid file."),
    Argument("control-socket", Takes.TEXT, "The server behind this control socket."),
    Argument("pid", Takes.NUMBER, "The server whose master has this pid."),
    Argument("json", Takes.NOTHING, "Answer with one line of JSON."),
)
