"""Imports that wait until they are used, for large modules that others import but hardly ever use.

`dataclasses` imports `inspect`, and that `ast` and a disassembler, for the docstrings of classes that have none; the
loader parses an application's name only when it is a call. Together they are 1.2 MB of every server's master. Used by
`uwsgi_deploy.server` alone, around the imports of the server's own modules; the application's imports are untouched.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType


@contextmanager
def postponed(name: str) -> Iterator[None]:
    """Inside, whoever imports module `name` gets a stand-in that loads it with the first look into it.

    Afterwards `import` means the module itself again; who imported it inside keeps the stand-in. No effect when the
    module is loaded already.
    """
    if name in sys.modules:
        yield
        return
    stand_in = _Postponed(name)
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]


class _Postponed(ModuleType):
    def __getattr__(self, attribute: str) -> object:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), attribute)
