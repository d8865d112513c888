"""A launcher whose processes can be read by any user, wherever the interpreter and this checkout are.

Tests that give up root run the server as somebody else, who cannot enter a home directory or a closed place where a
checkout may be. Such tests get a twin of what is needed in a directory that is open to everybody.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType

import click
import setproctitle

from tests.support.server import APPS, LAUNCHER, REPOSITORY

PACKAGES = (click, setproctitle)
NOT_NEEDED = shutil.ignore_patterns(
    "site-packages", "dist-packages", "test", "tests", "idlelib", "ensurepip", "lib2to3", "tkinter", "config-*"
)


def is_open(path: Path) -> bool:
    """Whether everybody can enter a directory and all those above it."""
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


@functools.cache
def readable_launcher() -> tuple[str, ...]:
    """The usual launcher where everybody can read everything, else one of a twin."""
    needed = (Path(sys.base_prefix), Path(sys.prefix), REPOSITORY, APPS, *map(_directory_of, PACKAGES))
    if os.geteuid() != 0 or all(is_open(path.resolve()) for path in needed):
        return LAUNCHER
    directory = Path(tempfile.mkdtemp(prefix="uwsgi-deploy-twin-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    directory.chmod(0o755)
    return twin_in(directory, interpreter=not is_open(Path(sys.base_prefix).resolve()))


def twin_in(directory: Path, *, interpreter: bool) -> tuple[str, ...]:
    """A launcher of copies: of this package and what it needs, and of the interpreter with its library if wanted."""
    packages = directory / "packages"
    shutil.copytree(REPOSITORY / "uwsgi_deploy", packages / "uwsgi_deploy")
    shutil.copytree(APPS, packages, dirs_exist_ok=True)
    for package in map(_directory_of, PACKAGES):
        shutil.copytree(package, packages / package.name)
    program = Path(sys.executable).resolve()
    libraries: tuple[str, ...] = ()
    if interpreter:
        program = _twin_of_interpreter(program, directory)
        libraries = (f"LD_LIBRARY_PATH={directory / 'lib'}",)
    return ("env", "-u", "VIRTUAL_ENV", f"PYTHONPATH={packages}", *libraries, str(program), *LAUNCHER[1:])


def _directory_of(package: ModuleType) -> Path:
    return Path(package.__file__ or "").parent


def _twin_of_interpreter(interpreter: Path, twin: Path) -> Path:
    """The interpreter and its library; it finds the latter beside itself."""
    (twin / "bin").mkdir()
    standard_library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        standard_library,
        twin / "lib" / standard_library.name,
        ignore=NOT_NEEDED,
        symlinks=True,
        copy_function=_link_or_copy,
    )
    for shared in (Path(sys.base_prefix) / "lib").glob("libpython*.so*"):
        shutil.copy2(shared, twin / "lib")
    return Path(shutil.copy2(interpreter, twin / "bin" / interpreter.name))


def _link_or_copy(source: str, target: str) -> None:
    """A second name costs no time; the modes of the files are those of an installation."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
