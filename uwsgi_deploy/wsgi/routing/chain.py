"""A chain of rules, run for a request: tests from the top, and what the actions decide.

Tests and actions were made into functions at the start, so that a request that no rule fits costs one look-up and one
search for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from uwsgi_deploy.protocol.messages import Environ

Answer: TypeAlias = Callable[..., Iterable[bytes]]
"""What answers a request in place of the application: a WSGI application itself."""
Verdict: TypeAlias = Answer | int | None
"""What an action decides: nothing (on to the next rule), an answer, the number of the rule to go on with, or LEAVE."""
LEAVE = -1

CHANGES = "uwsgi_deploy.changes"
"""In the environ: what rules about the request change in its response."""


class Visit:
    """A request in a chain, from the first rule that fits on. status: of the response, 0 before there is one.

    match: what the rule's regular expression has found. sent: the body that `send` has written so far.
    """

    __slots__ = ("changes", "environ", "match", "sent", "status")

    def __init__(self, environ: Environ, status: int = 0, changes: Changes | None = None) -> None:
        self.environ, self.status, self.changes = environ, status, changes
        self.match: Any = None
        self.sent: list[str] = []

    def to_change(self) -> Changes:
        """The changes of the response, which are made with the first."""
        changes = self.changes
        if changes is None:
            changes = self.changes = self.environ.setdefault(CHANGES, Changes())
        return changes


Test: TypeAlias = Callable[[Visit], Any]
Act: TypeAlias = Callable[[Visit], Verdict]


@dataclass(slots=True)
class Changes:
    """What is done to the head of a response. cleared: the application's headers are left out; status: another one."""

    added: list[tuple[str, str]] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    cleared: bool = False
    status: str = ""

    def copy(self) -> Changes:
        """The same, to be changed further."""
        return Changes(self.added[:], self.removed.copy(), self.cleared, self.status)

    def apply(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The headers that are sent instead of the application's. What is removed is the application's."""
        if self.cleared:
            return self.added[:]
        if self.removed:
            removed = self.removed
            headers = [pair for pair in headers if pair[0].lower() not in removed]
        return [*headers, *self.added]


@dataclass(frozen=True, slots=True)
class Step:
    """A rule as functions. variable, search: where a regular expression is looked for; else `test` is asked."""

    variable: str
    search: Callable[[str], Any] | None
    test: Test | None
    act: Act


class Chain:
    """See the module.

    A request whose time is over may be interrupted in `run` itself: that is where a catastrophic regular expression is.
    """

    __slots__ = ("_answer_sent", "_steps")

    def __init__(self, steps: Sequence[Step], answer_sent: Callable[[Visit, str], Answer]) -> None:
        """answer_sent: makes the answer of a request for which `send` has written; a status, "" for the usual one."""
        self._steps = [(step.variable, step.search, step.test, step.act) for step in steps]
        self._answer_sent = answer_sent

    def run(self, environ: Environ, status: int = 0, changes: Changes | None = None) -> Answer | None:
        """The answer to a request or an error, None to leave it to whoever answers otherwise."""
        visit: Visit | None = None
        steps = self._steps
        at, end = 0, len(steps)
        while at < end:
            variable, search, test, act = steps[at]
            at += 1
            match: Any
            if search is not None:  # most rules; to remember what was looked up would cost more than to look again
                match = search(environ.get(variable) or "")
                if match is None:
                    continue
                if visit is None:
                    visit = Visit(environ, status, changes)
            else:
                if visit is None:
                    visit = Visit(environ, status, changes)
                match = test is None or test(visit)
                if not match:
                    continue
            visit.match = match
            verdict = act(visit)
            if verdict is None:
                continue
            if type(verdict) is not int:
                return verdict  # type: ignore[return-value]
            if verdict == LEAVE:
                break
            at = verdict
        return self._answer_sent(visit, "") if visit is not None and visit.sent else None


def find(search: Callable[[str], Any], text: str) -> Any:
    """Search, where a condition has to. As `Chain.run`, this may be interrupted."""
    return search(text)
