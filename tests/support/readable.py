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

import click
import setproctitle

from tests.support.server import APPS, LAUNCHER, REPOSITORY

NOT_NEEDED = shutil.ignore_patterns(
    "site-packages", "dist-packages", "test", "tests", "idlelib", "ensurepip", "lib2to3", "tkinter", "config-*"
)


def is_open(path: Path) -> bool:
    """Whether everybody can enter a directory and all those above it."""
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


@functools.cache
def readable_launcher() -> tuple[str, ...]:
    """The usual launcher where everybody can read everything, else one of a twin."""
    packages = [Path(package.__file__).parent for package in (click, setproctitle)]
    needed = (Path(sys.base_prefix), Path(sys.prefix), REPOSITORY, APPS, *packages)
    if os.geteuid() != 0 or all(is_open(path.resolve()) for path in needed):
        return LAUNCHER
    twin = Path(tempfile.mkdtemp(prefix="uwsgi-deploy-twin-"))
    atexit.register(shutil.rmtree, twin, ignore_errors=True)
    twin.chmod(0o755)
    shutil.copytree(REPOSITORY / "uwsgi_deploy", twin / "packages" / "uwsgi_deploy")
    shutil.copytree(APPS, twin / "packages", dirs_exist_ok=True)
    for package in packages:
        shutil.copytree(package, twin / "packages" / package.name)
    interpreter = Path(sys.executable).resolve()
    libraries: tuple[str, ...] = ()
    if not is_open(Path(sys.base_prefix).resolve()):
        interpreter = _twin_of_interpreter(interpreter, twin)
        libraries = (f"LD_LIBRARY_PATH={twin / 'lib'}",)
    return ("env", "-u", "VIRTUAL_ENV", f"PYTHONPATH={twin / 'packages'}", *libraries, str(interpreter), *LAUNCHER[1:])


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
