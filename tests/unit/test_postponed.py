"""A postponed import costs nothing until it is used, and is the real module then."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(script: str) -> None:
    """In a fresh interpreter: in this one everything is loaded."""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_first_look_loads_the_module() -> None:
    run("""
import sys
from uwsgi_deploy.postponed import postponed
sys.modules.pop("wave", None)
with postponed("wave"):
    import wave as early
assert "wave" not in sys.modules
assert callable(early.open)
import wave
assert early.open is wave.open and type(wave).__name__ == "module" and wave is not early
""")


def test_a_look_inside_the_block_loads_it_for_everybody() -> None:
    run("""
import sys
from uwsgi_deploy.postponed import postponed
sys.modules.pop("wave", None)
with postponed("wave"):
    import wave as early
    early.open
    assert type(sys.modules["wave"]).__name__ == "module"
assert sys.modules["wave"].open is early.open
""")


def test_what_is_loaded_stays() -> None:
    run("""
import sys, wave
from uwsgi_deploy.postponed import postponed
with postponed("wave"):
    assert sys.modules["wave"] is wave
assert sys.modules["wave"] is wave
""")


def test_an_attribute_that_is_not_there_is_missed_as_usual() -> None:
    run("""
from uwsgi_deploy.postponed import postponed
with postponed("wave"):
    import wave
try:
    wave.nothing
except AttributeError as error:
    assert "wave" in str(error)
else:
    raise SystemExit("found")
""")


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="there dataclasses uses inspect for every class")
def test_the_server_does_without_inspect() -> None:
    """And dataclasses of an application, docstring or not, are as ever."""
    run("""
import sys
if "inspect" in sys.modules:
    raise SystemExit(0)  # this installation's site packages load it at every start
import uwsgi_deploy.server
assert "inspect" not in sys.modules and "ast" not in sys.modules
from dataclasses import dataclass
@dataclass
class Point:
    x: int
assert Point.__doc__ == "Point(x: int)", Point.__doc__
import inspect
assert inspect.signature(Point).parameters["x"].annotation is int
""")
