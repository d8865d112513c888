"""Functions that are gathered lie together, and do what they did."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from types import FunctionType, ModuleType

import pytest

from uwsgi_deploy.worker.gathering import gather
from uwsgi_deploy.worker.often_run import places

SOURCE = '''
from functools import wraps

def decorated(function):
    @wraps(function)
    def inner(*arguments):
        return function(*arguments) + 1
    return inner

def plain(first, second=2, *, third=3):
    """Add."""
    return first + second + third

@decorated
def more(value):
    return value

class Base:
    def who(self):
        return "base"

class Kind(Base):
    def who(self):
        return "kind of " + super().who()

    @staticmethod
    def fixed():
        return "fixed"

    @classmethod
    def named(cls):
        return cls.__name__

    @property
    def size(self):
        return self._size

    @size.setter
    def size(self, value):
        self._size = value

def counting():
    return [number for number in range(3)]
'''
NAMES = (
    "plain",
    "more",
    "Base.who",
    "Kind.who",
    "Kind.fixed",
    "Kind.named",
    "Kind.size",
    "counting",
    "gone",
    "Kind.gone",
)


@pytest.fixture(params=["uwsgi_deploy.made_for_a_test", "library_made_for_a_test"])
def module(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """A module of the server's, and one of somebody else's."""
    module = ModuleType(request.param)
    exec(compile(SOURCE, "made_for_a_test.py", "exec"), vars(module))
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def behaviour(module: ModuleType) -> tuple[object, ...]:
    kind = module.Kind()
    kind.size = 7
    return (
        *(module.plain(1), module.plain(1, 1, third=1), module.plain.__doc__, module.plain.__qualname__),
        *(module.more(1), module.Base().who(), kind.who(), kind.fixed(), kind.named(), kind.size, module.counting()),
    )


def test_gathered_functions_do_what_they_did(module: ModuleType) -> None:
    before, old = behaviour(module), module.plain
    codes = {name: vars(module)[name].__code__ for name in ("plain", "more", "counting")}
    originals = gather(f"{module.__name__}:{name}" for name in NAMES)
    assert behaviour(module) == before
    for name, code in codes.items():
        assert vars(module)[name].__code__ is not code
        assert code in originals
    assert (module.plain is old) is (module.__name__ == "library_made_for_a_test")
    assert old.__code__ is module.plain.__code__


def test_who_imported_a_function_has_the_same_one() -> None:
    definer, user = ModuleType("uwsgi_deploy.definer"), ModuleType("uwsgi_deploy.user")
    exec("def shared(): return 1", vars(definer))
    exec("def using(): return shared()", vars(user))
    user.shared = definer.shared  # type: ignore[attr-defined]
    sys.modules |= {"uwsgi_deploy.definer": definer, "uwsgi_deploy.user": user}
    try:
        gather(["uwsgi_deploy.definer:shared", "uwsgi_deploy.user:using"])
        assert user.shared is definer.shared
        assert user.using() == 1
    finally:
        del sys.modules["uwsgi_deploy.definer"], sys.modules["uwsgi_deploy.user"]


def test_nothing_is_gathered_twice(module: ModuleType) -> None:
    place = f"{module.__name__}:counting.twice"
    gather([place])
    module.counting = type("Owner", (), {"twice": lambda self: 1})
    assert gather([place]) == []


def test_places_of_the_server_exist() -> None:
    """Nearly all: after much renaming they are to be found anew, by `benchmarks/often_used.py`."""
    own = [place for place in places() if place.startswith("uwsgi_deploy.")]
    missing = [place for place in own if not exists(place)]
    assert len(own) > 100
    assert len(missing) < len(own) / 10, missing


def exists(place: str) -> bool:
    module, _, path = place.partition(":")
    owner: object = import_module(module)
    for step in path.split("."):
        owner = vars(owner).get(step)
        if owner is None:
            return False
    if isinstance(owner, property):
        owner = owner.fget
    return isinstance(getattr(owner, "__func__", owner), FunctionType)


SCRIPT = """
import uwsgi_deploy.server
from uwsgi_deploy.often_used import NAMES
from uwsgi_deploy.worker import gathering, worker
from uwsgi_deploy.worker.often_run import places

def pages(objects):
    return len({id(each) >> 12 for each in objects})

OWN = [place for place in places() if place.startswith("uwsgi_deploy.")]

def functions():
    return [function for _, _, function in gathering._found(OWN)]

before = pages(function.__code__ for function in functions()), pages(functions())
originals = gathering.gather(places())
after = pages(function.__code__ for function in functions()), pages(functions())
words = worker.Worker.__init__.__code__.co_names + worker.Worker.serve.__code__.co_names
print(*before, *after, len(words), pages(words), pages(NAMES), len(NAMES))
"""


def test_what_workers_use_lies_together() -> None:
    """In a server's process; pages of 4 KB."""
    command = [sys.executable, "-P", "-c", SCRIPT]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    codes, functions, new_codes, new_functions, words, word_pages, pages, names = map(int, result.stdout.split())
    assert new_codes < codes * 0.85
    assert new_functions < functions / 3
    assert names > 1000
    assert (
        pages < names / 6
    )  # about sixty fit into a page; others were there before, with what an editable package needs
    assert word_pages < words / 2
