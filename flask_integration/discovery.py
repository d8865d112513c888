"""Which application a `flask` command line means, in words that another process understands. Loads nothing.

Flask keeps it in a ScriptInfo; the server's process makes a new one from FLASK_APP (see flask_integration/wsgi.py).
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable

from flask.cli import ScriptInfo

from uwsgi_deploy import ConfigError

APPLICATION = "flask_integration.wsgi:application"

# As Flask splits `module:name`; a colon before a slash or backslash belongs to the path.
_PATH_AND_NAME = re.compile(r"(?P<path>.*?)(?P<name>:(?![\\/]).*)?", re.DOTALL)


def environment(info: ScriptInfo) -> dict[str, str]:
    """Variables with which `ScriptInfo` finds the same application again, whatever the working directory is by then."""
    variables = {"FLASK_RUN_FROM_CLI": "true"}  # app.run() in a module that is imported must do nothing
    import_path = _import_path(info)
    return variables | {"FLASK_APP": import_path} if import_path else variables


def _import_path(info: ScriptInfo) -> str | None:
    """FLASK_APP for this application, absolute; None where Flask looks for wsgi.py and app.py."""
    given = info.app_import_path if info.create_app is None else _path_of_factory(info.create_app)
    match = _PATH_AND_NAME.fullmatch(given or "")
    if not given or match is None:
        return None
    return os.path.realpath(match["path"]) + (match["name"] or "")


def _path_of_factory(factory: Callable[..., object]) -> str:
    """`module:factory` for a command line that a project made itself, with FlaskGroup(create_app=…)."""
    module, name = getattr(factory, "__module__", ""), getattr(factory, "__qualname__", "")
    importable = module != "__main__" and getattr(sys.modules.get(module), name, None) is factory
    if not importable or not inspect.isfunction(factory):
        raise ConfigError(
            "FlaskGroup(create_app=…)",
            f"the server cannot import {name or factory!r} from module {module!r}",
            hint="make it a function of a module, or name the application with --module",
        )
    return f"{module}:{name}"
