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

__all__ = ["HarakiriMiddleware", "Uwsgi"]

_HOME_OF = {
    "HarakiriMiddleware": "flask_integration.middleware",
    "Uwsgi": "flask_integration.extension",
}


def __getattr__(name: str) -> object:
    """The public names that live in modules of their own."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
