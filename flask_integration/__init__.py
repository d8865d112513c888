"""The Flask adapter: `flask uwsgi …` for applications that change nothing, and an extension for those that do.

    from flask_integration import Uwsgi
    Uwsgi(app)  # or Uwsgi().init_app(app)

Flask imports this package with every `flask` command: what it offers is imported when it is used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask_integration.extension import Uwsgi
    from flask_integration.middleware import HarakiriMiddleware
    from flask_integration.signals import request_is_slow, request_timed_out

__all__ = ["HarakiriMiddleware", "Uwsgi", "request_is_slow", "request_timed_out"]

_HOME_OF = {
    "HarakiriMiddleware": "flask_integration.middleware",
    "Uwsgi": "flask_integration.extension",
    "request_is_slow": "flask_integration.signals",
    "request_timed_out": "flask_integration.signals",
}


def __getattr__(name: str) -> object:
    """The public names that live in modules of their own."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
