"""Threads and locks of the operating system, also where gevent has put its own in their place.

A report is made while the greenlets of a worker do not run, and its thread must not be one of them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def native(module: str, name: str) -> Any:
    """What `module` called `name` before gevent patched it, if it did. gevent is not imported for the question."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return getattr(import_module(module), name)
    return monkey.get_original(module, name)


def sockets_are_patched() -> bool:
    """Whether a blocking call of the application's switches to another greenlet."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))
