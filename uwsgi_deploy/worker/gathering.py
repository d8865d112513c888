"""Bring together in memory what workers run, before they are forked: a call writes into its function and its code.

A call counts references to the function and to its code object, and so copies the pages of both in every worker. What
a worker runs is one function in twenty of what was imported, and lies scattered: nearly each of them made a page of
4 KB a worker's own. Copied one after the other they share a few pages. Called by the server's process for what it has
imported, before the first fork, and by each template for the application's libraries.

A function of the server is replaced where it is defined and where these modules import it; who keeps the old one
elsewhere (a table, a bound method) runs the same code. Functions of libraries stay who they are, only their code moves.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

_OWN = "uwsgi_deploy."
_gathered: set[str] = set()


def gather(places: Iterable[str]) -> list[object]:
    """Copy the functions at these places (`module:qualified.name`) whose modules are loaded, each once in a process.

    Returns the originals, to be kept: in the holes that they would leave, everything that is made later would be
    scattered. Places that do not exist are left out, since frameworks change from version to version.
    """
    new = [place for place in places if place not in _gathered and place.partition(":")[0] in sys.modules]
    _gathered.update(new)
    found = list(_found(new))
    originals = [function.__code__ for _, _, function in found]
    copies = [_copy_of_code(code) for code in originals]
    for (_, _, function), code in zip(found, copies, strict=True):
        function.__code__ = code
    own = [each for each in found if each[2].__module__.startswith(_OWN) and _is_plain(each[2])]
    moved = [(owner, name, function, _copy_of(function)) for owner, name, function in own]
    modules = [sys.modules[name] for name in dict.fromkeys(function.__module__ for _, _, function in own)]
    for owner, name, function, copy in moved:
        _put(owner, name, copy)
        for module in modules if isinstance(owner, ModuleType) else ():
            if vars(module).get(name) is function:  # imported from where it is defined
                setattr(module, name, copy)
    return [*originals, *(function for _, _, function in own)]


def _found(places: Iterable[str]) -> Iterator[tuple[Any, str, FunctionType]]:
    """Each function with the module or class that has it, and its name there."""
    for place in places:
        module, _, path = place.partition(":")
        *steps, name = path.split(".")
        owner: Any = sys.modules.get(module)
        for step in steps:
            owner = vars(owner).get(step) if isinstance(owner, (ModuleType, type)) else None
        if isinstance(owner, (ModuleType, type)):
            function = _unwrapped(vars(owner).get(name))
            if type(function) is FunctionType:
                yield owner, name, function


def _unwrapped(value: Any) -> Any:
    if isinstance(value, property):
        return value.fget
    return value.__func__ if isinstance(value, (staticmethod, classmethod)) else value


def _is_plain(function: FunctionType) -> bool:
    """Whether it is as its `def` made it, and not some decorator's."""
    return function.__code__.co_qualname == function.__qualname__


def _put(owner: Any, name: str, copy: FunctionType) -> None:
    before: Any = vars(owner)[name]
    after: Any = copy
    if isinstance(before, property):
        after = property(copy, before.fset, before.fdel, before.__doc__)
    elif isinstance(before, (staticmethod, classmethod)):
        after = type(before)(copy)
    setattr(owner, name, after)


def _copy_of_code(code: CodeType) -> CodeType:
    """An equal code object with equal ones for the functions that are made in it."""
    constants = tuple(_copy_of_code(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_consts=constants)


def _copy_of(function: FunctionType) -> FunctionType:
    """Without annotations, which the interpreter would have to make first; `uwsgi_deploy.api` is not gathered."""
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
