"""Rows about overdue requests (harakiri), in the master's table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class CaseStage(Enum):
    """Where the case of an overdue request is."""

    STACKS_ASKED = "stacks asked"
    WARNED = "warned"  # with harakiri-graceful-signal, at the deadline
    ISOLATED = "isolated"  # it has its answer; the worker takes no new ones, its siblings may finish
    KILLED = "killed"


@dataclass(slots=True)
class HarakiriCase:
    """A request of a worker is overdue: the one that `core` runs since `started`. Monotonic seconds.

    until: when the present stage is over. attempt: from 1. has_stacks: whether the worker has shown them. warns: the
    stacks are for the graceful signal, and nobody is killed yet.
    """

    core: int
    started: float
    deadline: float
    by_user: bool
    until: float
    attempt: int = 1
    stage: CaseStage = CaseStage.STACKS_ASKED
    has_stacks: bool = False
    warns: bool = False
