"""Rows of the fleet about no worker: templates, the child that tries a configuration, the end of the server."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from uwsgi_deploy.errors import ServerError


@dataclass(slots=True)
class Template:
    """A template process. It is asked for workers once it is ready; `deadline` is when it is killed. processes: the
    highest worker number that it knows."""

    generation: int
    pid: int
    ready: bool = False
    stopping: bool = False
    failed: bool = False
    deadline: float | None = None
    processes: int = sys.maxsize


@dataclass(slots=True)
class Checker:
    """The child that tries whether the next image of the master can be started, until `deadline`."""

    pid: int
    deadline: float | None


@dataclass(slots=True)
class Stop:
    """The server is ending, because of `error` if there is one. stays: all but the master, until it is told to stop."""

    since: float
    immediate: bool = False
    error: ServerError | None = None
    stays: bool = False
    last_words: str = ""
