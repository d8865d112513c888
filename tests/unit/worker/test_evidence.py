"""Stacks as evidence: the request's own part, without what looks at it."""

from __future__ import annotations

import sys

from uwsgi_deploy.worker.evidence import frames_of

HANDLER = """
class Deadlines:
    def on_signal(self, look):
        return self.may_interrupt(look)

    def may_interrupt(self, look):
        return look()
"""


def test_the_handler_that_interrupts_is_not_in_the_stack() -> None:
    """A thread that is just about to interrupt itself still waits for what it waited for."""
    handler: dict[str, object] = {"__name__": "uwsgi_deploy.worker.deadlines"}
    exec(HANDLER, handler)
    deadlines = handler["Deadlines"]()  # type: ignore[operator]

    stacks: list[list[str]] = []

    def look() -> None:
        stacks.append([frame.function.rpartition(".")[2] for frame in frames_of(sys._getframe())])

    def application() -> None:
        deadlines.on_signal(look)

    application()
    assert stacks[0][:2] == ["application", "test_the_handler_that_interrupts_is_not_in_the_stack"]
