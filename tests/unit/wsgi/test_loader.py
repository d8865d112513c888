"""Finding the application, and what is said when it cannot be found."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from uwsgi_deploy.config.settings import ApplicationSettings
from uwsgi_deploy.errors import AppLoadError, ConfigError
from uwsgi_deploy.wsgi.loader import check_application, load_application, refuse_everything

Write = Callable[..., None]


@pytest.fixture(autouse=True)
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules into the working directory; the interpreter is as before afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["x"])
    monkeypatch.setattr(sys, "prefix", sys.prefix)
    monkeypatch.setattr(sys, "exec_prefix", sys.exec_prefix)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    modules, environment = set(sys.modules), dict(os.environ)

    def write(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)

    yield write
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(environment)


def load(module: str = "", **settings: Any) -> Any:
    """Load with these settings."""
    return load_application(ApplicationSettings(module=module, **settings))


def failure(module: str = "", **settings: Any) -> AppLoadError:
    """The error of a load that fails."""
    with pytest.raises(AppLoadError) as caught:
        load(module, **settings)
    return caught.value


APP = """
class Box: pass
def application(environ, start_response): return [b"application"]
def other(environ, start_response): return [b"other"]
def factory(*names, **options): return lambda environ, start_response: [repr((names, options)).encode()]
def broken(): raise RuntimeError("no database")
box = Box(); box.inner = Box(); box.inner.app = other; box.make = factory
nothing = None
"""


@pytest.mark.parametrize(
    ("module", "answer"),
    [
        ("app", b"application"),
        ("app:other", b"other"),
        ("app:box.inner.app", b"other"),
        ("app:factory()", b"((), {})"),
        ("app:factory('production', 2, debug=True)", b"(('production', 2), {'debug': True})"),
        ("app:factory(['a'], x={'k': None})", b"((['a'],), {'x': {'k': None}})"),
        ("app:box.make()", b"((), {})"),
    ],
)
def test_targets(write: Write, module: str, answer: bytes) -> None:
    """A name, a dotted name, a factory, a factory with literal arguments."""
    write(app=APP)
    assert load(module)({}, None) == [answer]


def test_callable_option(write: Write) -> None:
    """`callable` is the name where the module gives none, for files too, and may be a factory."""
    write(app=APP)
    assert load("app", callable="other")({}, None) == [b"other"]
    assert load("app:application", callable="other")({}, None) == [b"application"]
    assert load(wsgi_file="app.py", callable="factory(1)")({}, None) == [b"((1,), {})"]


def test_package(write: Write) -> None:
    """Modules in packages are found below the working directory."""
    Path("shop").mkdir()
    Path("shop/__init__.py").write_text("")
    Path("shop/wsgi.py").write_text(APP)
    assert load("shop.wsgi")({}, None) == [b"application"]


def test_wsgi_file(write: Write) -> None:
    """A file runs under uWSGI's module name, which pickle finds again."""
    write(app="NAME = __name__\nFILE = __file__\ndef application(environ, start_response): return [NAME.encode()]\n")
    assert load(wsgi_file="./app.py")({}, None) == [b"uwsgi_file___app_py"]
    assert str(Path("app.py").absolute()) == sys.modules["uwsgi_file___app_py"].FILE


def test_module_wins_over_wsgi_file(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    """Both together: the module is served and the file named in a warning."""
    write(app=APP, second="raise SystemExit")
    assert load("app", wsgi_file="second.py")({}, None) == [b"application"]
    assert "wsgi-file second.py is ignored" in capfd.readouterr().err


def test_surroundings(write: Write, tmp_path: Path) -> None:
    """sys.path has pythonpath (last entry first), then the working directory; env is set; argv is uWSGI's."""
    for name in ("lib1", "lib2", "other"):
        (tmp_path / name).mkdir()
    write(app="import os, sys\ndef application(*_): return list(sys.path), os.environ['COLOUR'], list(sys.argv)\n")
    path, colour, argv = load("app", pythonpath=("lib*", "other"), env=("COLOUR=a=b",))({}, None)
    assert path[:4] == [str(tmp_path / name) for name in ("other", "lib2", "lib1")] + [str(tmp_path)]
    assert (colour, argv) == ("a=b", ["uwsgi"])


def make_environment(root: Path, version: str = f"python{sys.version_info.major}.{sys.version_info.minor}") -> Path:
    """A virtual environment with one package and one .pth file."""
    packages = root / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "only_there.py").write_text("WHERE = __file__\n")
    (root / "src").mkdir()
    (root / "src" / "by_pth.py").write_text("")
    (packages / "x.pth").write_text(str(root / "src") + "\n")
    return packages


def test_home(write: Write, tmp_path: Path) -> None:
    """Packages come from the virtual environment, its .pth files count, the application's own modules come first."""
    packages = make_environment(tmp_path / "venv")
    (packages / "app.py").write_text("raise RuntimeError")
    write(app="import by_pth, only_there\ndef application(*_): return only_there.WHERE\n")
    assert load("app", home="venv")({}, None) == str(packages / "only_there.py")
    assert sys.prefix == os.environ["VIRTUAL_ENV"] == str(tmp_path / "venv")


def test_home_of_another_python(write: Write, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A virtual environment of another version is used with a warning."""
    make_environment(tmp_path / "venv", "python3.1")
    write(app="import only_there\n" + APP)
    load("app", home="venv")
    assert "is for python3.1, this is python3." in capfd.readouterr().err


@pytest.mark.parametrize(("home", "message"), [("none", "does not exist"), (".", "is no virtual environment")])
def test_wrong_home(home: str, message: str) -> None:
    """A missing virtual environment is found before anything is opened."""
    with pytest.raises(ConfigError, match=f"home: .*{message}"):
        check_application(ApplicationSettings(module="app", home=home))


def test_nothing_named() -> None:
    """A server without an application says what to set; with need-app off that is allowed."""
    with pytest.raises(AppLoadError, match="set module = ") as caught:
        check_application(ApplicationSettings())
    assert caught.value.exit_code == 22
    check_application(ApplicationSettings(need_app=False))
    assert "set module = " in str(failure())


FLASKY = """
class Flask:
    wsgi_app = 1
    def __call__(self, environ, start_response): return []
server = Flask()
"""


# --- wrong names: one sentence, exit code 1 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"module": "nosuch"}, "there is no module 'nosuch'; looked in .* first"),
        ({"module": "apq"}, "there is no module 'apq'; did you mean app\\?"),
        ({"module": "shop.wsgy"}, r"there is no module 'shop.wsgy'; did you mean wsgi\?"),
        ({"module": "nosuch.wsgi"}, r"there is no module 'nosuch' \(for module = nosuch.wsgi\)"),
        ({"module": "app.py"}, "write wsgi-file = app.py"),
        ({"module": "shop/wsgi.py:application"}, "write wsgi-file = shop/wsgi.py"),
        ({"module": "my app"}, "not written as package.module:callable"),
        ({"module": ""}, "no application is named"),
        ({"module": "app:"}, "neither a name nor a call"),
        ({"module": "app:1+1"}, "neither a name nor a call"),
        ({"module": "app:factory(open)"}, "neither a name nor a call"),
        ({"module": "app:factory(**{})"}, "neither a name nor a call"),
        (
            {"module": "app:aplication"},
            'unable to find "aplication" callable in module app; did you mean application\\?',
        ),
        ({"module": "app:box.inner.ap"}, "'box.inner.ap' is not in module app: there is no 'ap'; did you mean app\\?"),
        ({"module": "app:nothing"}, "'nothing' in module app is a NoneType, which is no WSGI application"),
        ({"module": "app:nothing()"}, "'nothing' in module app is a NoneType and cannot be called"),
        ({"module": "app:returns_none()"}, "'returns_none' in module app returned a NoneType"),
        ({"module": "flasky"}, 'unable to find "application" callable in module flasky; it has server: name one'),
        ({"module": "flasky"}, "module = flasky:server, or callable = server"),
        ({"module": "empty"}, "it defines nothing that can be called"),
        ({"wsgi_file": "none.py"}, r"there is no file .*/none.py \(wsgi-file\)"),
        ({"wsgi_file": "empty.py"}, 'unable to find "application" callable in file empty.py'),
    ],
)
def test_wrong_names(write: Write, settings: dict[str, str], message: str) -> None:
    """A name that leads nowhere is said in one sentence with a way out, and is no failure of the application."""
    write(app=APP + "def returns_none(): pass\n", empty="", flasky=FLASKY)
    Path("shop").mkdir()
    Path("shop/__init__.py").write_text("")
    Path("shop/wsgi.py").write_text(APP)
    error = failure(**settings)
    assert re.search(message, str(error)), str(error)
    assert (error.details, "\n" in str(error)) == ("", False)
    assert error.exit_code == (22 if settings == {"module": ""} else 1)


# --- failing applications: traceback, exit code 22 --------------------------------------------------------------------


def test_missing_import_of_the_application(write: Write, tmp_path: Path) -> None:
    """A module that the application imports is told from the application's own: which one, and where."""
    write(app="import models\n", models="import json\nimport no_such_library\n")
    error = failure("app")
    assert str(error) == (
        f"cannot load module app: it imports 'no_such_library', which is not installed ({tmp_path}/models.py:2)"
    )
    assert error.exit_code == 22
    assert [line.split(",")[0] for line in error.details.splitlines() if "File" in line] == [
        f'  File "{tmp_path}/app.py"',
        f'  File "{tmp_path}/models.py"',
    ]
    assert error.details.endswith("ModuleNotFoundError: No module named 'no_such_library'")


def test_same_named_missing_import(write: Write) -> None:
    """A module that fails to import something of its own name did exist."""
    Path("shop").mkdir()
    Path("shop/__init__.py").write_text("import shop.wsgi_missing\n")
    error = failure("shop.wsgi_missing")
    assert error.exit_code == 22


def test_exception_while_importing(write: Write, tmp_path: Path) -> None:
    """The sentence has the exception and the last line of the application's own code, also below libraries."""
    write(app="import helpers\n", helpers="import json\ndef read():\n    return json.loads('{')\nread()\n")
    error = failure("app")
    assert str(error).startswith("cannot load module app: json.decoder.JSONDecodeError: ")
    assert "uwsgi_deploy" not in error.details
    assert "importlib" not in error.details
    assert "helpers.py" in error.details


def test_cause_is_in_the_traceback(write: Write) -> None:
    """Chained exceptions are all shown, without our frames."""
    write(app="try:\n    1/0\nexcept ZeroDivisionError as error:\n    raise ValueError('bad\\nsettings') from error\n")
    error = failure("app")
    assert "ZeroDivisionError" in error.details
    assert "The above exception was the direct cause" in error.details
    assert "\n" not in str(error)


def test_syntax_error(write: Write, tmp_path: Path) -> None:
    """The line that is no Python is named."""
    write(app="x = 1\ndef f(:\n")
    error = failure("app")
    assert str(error) == f"cannot load module app: SyntaxError: invalid syntax ({tmp_path}/app.py:2)"


def test_exit_while_importing(write: Write) -> None:
    """An application that ends the program while it is imported does not end the server silently."""
    write(app="import sys\nsys.exit('no SECRET_KEY')\n")
    assert "it ended the program with exit code no SECRET_KEY" in str(failure("app"))


def test_interrupt_is_not_swallowed(write: Write) -> None:
    """A person's Ctrl-C during the import is no failure of the application."""
    write(app="raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load("app")


def test_factory_that_fails(write: Write, tmp_path: Path) -> None:
    """A factory's exception has its place, and wrong arguments are an exception of the call."""
    write(app=APP)
    error = failure("app:broken()")
    assert str(error).startswith("cannot load broken() in module app: RuntimeError: no database (")
    assert error.exit_code == 22
    assert "missing" in str(failure("app:other()"))


def test_file_that_fails(write: Write) -> None:
    """A file's failure leaves no half-made module."""
    write(app="import no_such_library\n")
    error = failure(wsgi_file="app.py")
    assert str(error).startswith("cannot load file app.py: it imports 'no_such_library', which is not installed (")
    assert "uwsgi_file_app_py" not in sys.modules


def test_refuse_everything(capfd: pytest.CaptureFixture[str]) -> None:
    """Without an application each request is a 500 with uWSGI's body and a line in the log."""
    answers: list[tuple[str, list[tuple[str, str]]]] = []
    body = b"".join(refuse_everything({}, lambda status, headers: answers.append((status, headers))))
    assert body == b"Internal Server Error"
    assert answers[0][0] == "500 Internal Server Error"
    assert ("Content-Length", "21") in answers[0][1]
    assert "--- no python application found" in capfd.readouterr().err
