"""How the command line becomes the server: settings, checked and converted, travel over an exec in an unnamed file.

The parsers, the help texts and click would otherwise stay in the master for its whole life, and every page of memory
counts once per process. `uwsgi_deploy.server` is what the new process runs.
"""

from __future__ import annotations

import dataclasses
import marshal
import os
import sys
from collections.abc import Sequence
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.interpreter import interpreter_options

VARIABLE = "_UWSGI_DEPLOY_SETTINGS"


def replace_by_server(settings: Settings, notices: Sequence[str]) -> None:
    """Become the server process. Returns only where that cannot be: a package that is found through the working
    directory alone is not found by an interpreter that, as it must, leaves the project's directory out of its path."""
    if os.path.dirname(os.path.dirname(os.path.abspath(__file__))) == os.getcwd():
        return
    image = os.memfd_create("uwsgi-deploy-settings", 0)
    with open(image, "wb", closefd=False) as file:
        file.write(encode(settings, notices))
    sys.stdout.flush()
    sys.stderr.flush()
    # -P: a module of the project must not take the place of one of ours or of the standard library's.
    options = [option for option in interpreter_options() if option != "-P"]
    command = [sys.executable, *options, "-P", "-m", "uwsgi_deploy.server"]
    os.execve(sys.executable, command, {**os.environ, VARIABLE: str(image)})


def settings_of_this_process() -> tuple[Settings, list[str]]:
    """What `replace_by_server` left for this process; taken out of the environment, so that no child inherits it."""
    with open(int(os.environ.pop(VARIABLE)), "rb") as file:
        file.seek(0)
        return decode(file.read())


def encode(settings: Settings, notices: Sequence[str]) -> bytes:
    """Settings and notices as bytes; every field is a plain value."""
    return marshal.dumps((dataclasses.asdict(settings), list(notices)))


def decode(data: bytes) -> tuple[Settings, list[str]]:
    """What `encode` made."""
    sections, notices = marshal.loads(data)
    made: dict[str, Any] = {}
    for field in dataclasses.fields(Settings):
        section_class = field.default_factory
        assert callable(section_class)
        made[field.name] = section_class(**sections[field.name])
    return Settings(**made), notices
