"""Layers, imports and sizes: what CONTRIBUTING asks of every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, REPOSITORY, Module, imported_names, modules

MODULES = list(modules())
MOST_LINES = 500
LATE_IMPORTS_ALLOWED = {
    "uwsgi_deploy",  # what the package exports is loaded when it is used: `import uwsgi_deploy` must stay light
    "uwsgi_deploy.cli",
    "uwsgi_deploy.worker.worker",  # the engine, of which gevent is one
    "flask_integration.cli",  # Flask loads it on every `flask` call
}

ACT_ON_IMPORT = {
    "uwsgi_deploy.__main__",
    "flask_integration.wsgi",  # finds the application, as `flask run` does
    "django_integration.wsgi",
    "django_integration.found_static",
    "django_integration.models",  # Django imports it when its applications are known, and never before
    "django_integration.admin",
}


def by_name(module: Module) -> str:
    return module.name


def test_layers() -> None:
    """The import-linter contracts of pyproject.toml hold."""
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.skip("import-linter is not installed")
    result = subprocess.run([command, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_imports_alone(package: str) -> None:
    """Each module can be the first one that a fresh interpreter imports, and importing prints nothing."""
    names = [module.name for module in MODULES if module.name.split(".")[0] == package]
    script = """
import importlib, os, sys, traceback
failed = []
for name in sys.argv[1:]:
    if os.fork():
        if os.wait()[1]:
            failed.append(name)
        continue
    try:
        importlib.import_module(name)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
sys.exit(" ".join(failed) or 0)
"""
    environment = {"DJANGO_SETTINGS_MODULE": "django.conf.global_settings", "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(
        [sys.executable, "-c", script, *[name for name in names if name not in ACT_ON_IMPORT]],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize("module", MODULES, ids=by_name)
def test_module_has_a_contract(module: Module) -> None:
    """It opens with a docstring, which says what it does."""
    assert ast.get_docstring(module.tree), "no module docstring"


@pytest.mark.parametrize("module", MODULES, ids=by_name)
def test_module_is_of_a_readable_size(module: Module) -> None:
    lines = module.text.count("\n")
    assert lines <= MOST_LINES, f"{lines} lines; look for the noun hiding in it"


@pytest.mark.parametrize("module", MODULES, ids=by_name)
def test_imports_are_at_the_top(module: Module) -> None:
    """Cycles tied off with imports inside functions are still cycles."""
    late = [
        (node.lineno, name)
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        for name in imported_names(node)
        if name.split(".")[0] == module.name.split(".")[0]
    ]
    assert module.name in LATE_IMPORTS_ALLOWED or not late


@pytest.mark.parametrize("package", PACKAGES)
def test_folders_are_packages(package: str) -> None:
    """Every folder with modules has an `__init__.py`, so that it is in the wheel."""
    folders = {path.parent for path in (REPOSITORY / package).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_server_is_light_to_import() -> None:
    """What adapters import at the top loads neither the server nor a framework."""
    script = "import sys, uwsgi_deploy; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"uwsgi_deploy.master", "uwsgi_deploy.worker", "uwsgi_deploy.net", "django", "flask", "gevent", "click"}
    assert not heavy & set(loaded)
