"""Find, import and name the application: `module = pkg.mod[:callable]` or `wsgi-file = app.py`.

Prepares sys.path, the virtual environment and os.environ first, then returns a callable or raises AppLoadError, whose
sentence says which import failed and where, and whose `details` hold the traceback of the application's own frames.
A name that leads nowhere (no such module, no such callable) is a mistake in the settings and ends with exit code 1; an
application that fails while it is imported ends with 22, as in uWSGI. Called in the template, or in each worker with
lazy-apps; never in the master.
"""

from __future__ import annotations

import ast
import glob
import importlib
import importlib.machinery
import importlib.util
import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType, ModuleType, TracebackType
from typing import Any

from uwsgi_deploy.config.settings.application import ApplicationSettings
from uwsgi_deploy.errors import AppLoadError, ConfigError
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.wsgi.closed_directories import closed_ones

Application = Callable[..., Any]

OWN_CODE = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep
MISNAMED = ConfigError.exit_code
NOTHING_NAMED = "no application is named: set module = package.module:callable or wsgi-file = app.py"
MOST_SUGGESTIONS = 5


def load_application(settings: ApplicationSettings) -> Application:
    """The application that the settings name, imported and checked to be callable."""
    prepare_environment(settings)
    return import_application(settings)


def import_application(settings: ApplicationSettings) -> Application:
    """`load_application` where the environment was prepared before."""
    if settings.module:
        if settings.wsgi_file:
            log(f"*** WARNING: wsgi-file {settings.wsgi_file} is ignored: module {settings.module} is served ***")
        return _load_module(settings)
    if settings.wsgi_file:
        return _load_file(settings)
    raise AppLoadError(NOTHING_NAMED)


def refuse_everything(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application of a server that has none and may run so (need-app = false), as uWSGI answers."""
    log("--- no python application found, check your startup logs for errors ---")
    body = b"Internal Server Error"
    start_response("500 Internal Server Error", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


# --- surroundings -----------------------------------------------------------------------------------------------------


def check_application(settings: ApplicationSettings) -> None:
    """Raise for what is missing before anything is opened: an application's name, its virtual environment."""
    if settings.need_app and not (settings.module or settings.wsgi_file or settings.mount):
        raise AppLoadError(NOTHING_NAMED)
    if settings.home:
        site_packages(settings.home)


def prepare_environment(settings: ApplicationSettings) -> None:
    """Set environment variables, take packages from `home`, and put the working directory and pythonpath in front."""
    for entry in settings.env:
        name, _, value = entry.partition("=")
        os.environ[name] = value
    sys.argv[:] = ["uwsgi"]  # as in uWSGI: our options are not the application's
    if settings.home:
        _activate(settings.home)
    # uWSGI's order: the working directory first of all, then each pythonpath entry in front of what is there.
    _put_first(os.getcwd())
    for pattern in settings.pythonpath:
        for directory in sorted(glob.glob(pattern)) or [pattern]:
            _put_first(os.path.abspath(directory))
            log(f"added {directory}{os.sep if not directory.endswith(os.sep) else ''} to pythonpath.")
            if not os.path.exists(directory):
                log(f"*** WARNING: pythonpath {directory} does not exist ***")


def _put_first(directory: str) -> None:
    if directory in sys.path:
        sys.path.remove(directory)
    sys.path.insert(0, directory)


def _activate(home: str) -> None:
    packages = site_packages(home)
    before = set(sys.path)
    site.addsitedir(str(packages))  # also runs its .pth files, as an interpreter in that environment does
    added = [entry for entry in sys.path if entry not in before]
    sys.path[:] = added + [entry for entry in sys.path if entry in before]
    if str(packages) in before:
        _put_first(str(packages))
    root = os.path.abspath(home)
    sys.prefix = sys.exec_prefix = root
    os.environ["VIRTUAL_ENV"] = root
    log(f"Set PythonHome to {home}")


def site_packages(home: str) -> str:
    """The packages directory of a virtual environment; one of another Python version is taken with a warning."""
    root = os.path.abspath(home)
    if not os.path.isdir(root):
        raise ConfigError("home", f"the virtual environment {root} does not exist")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = os.path.join(root, "lib", version, "site-packages")
    if os.path.isdir(packages):
        return packages
    others = sorted(glob.glob("lib/python*/site-packages", root_dir=root))
    if not others:
        raise ConfigError("home", f"{root} is no virtual environment: it has no lib/{version}/site-packages")
    log(f"*** WARNING: the virtual environment {root} is for {others[-1].split(os.sep)[1]}, this is {version} ***")
    return os.path.join(root, others[-1])


# --- module and file --------------------------------------------------------------------------------------------------


def _load_module(settings: ApplicationSettings) -> Application:
    name, colon, expression = settings.module.partition(":")
    target = _parse_target(expression if colon else settings.callable, settings.module)
    module = _import(name.strip(), settings.module)
    return _callable_of(module, target, f"module {module.__name__}", explicit=bool(colon))


def _load_file(settings: ApplicationSettings) -> Application:
    path = settings.wsgi_file
    target = _parse_target(settings.callable, settings.callable)
    if not os.path.isfile(path):
        closed = "".join(f"; {clause}" for clause in closed_ones([os.path.dirname(path)]))
        raise _misnamed(f"there is no file {os.path.abspath(path)} (wsgi-file){closed}")
    module = _execute(path)
    return _callable_of(module, target, f"file {path}", explicit=True)


def _import(name: str, given: str) -> ModuleType:
    if "/" in name or name.endswith(".py"):
        raise _misnamed(f"module {given!r} looks like a file: write wsgi-file = {name}, or the module's dotted name")
    if not all(part.isidentifier() for part in name.split(".")):
        raise _misnamed(f"module {given!r} is not written as package.module:callable")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if _is_missing_itself(name, error):
            raise _misnamed(_missing_module(name, error.name or name)) from None
        raise _failed_import(f"module {name}", error) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _failed_import(f"module {name}", error) from error


def _execute(path: str) -> ModuleType:
    # uWSGI's name for it: scripts find their module under it in sys.modules.
    name = "uwsgi_file_" + path.replace(".", "_").replace("/", "_")
    where = os.path.abspath(path)
    spec = importlib.util.spec_from_file_location(name, where, loader=importlib.machinery.SourceFileLoader(name, where))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        sys.modules.pop(name, None)
        raise _failed_import(f"file {path}", error) from error
    return module


def _is_missing_itself(name: str, error: ModuleNotFoundError) -> bool:
    """Whether the module that was asked for is missing, and not one that it imports."""
    missing = error.name or ""
    if name != missing and not name.startswith(missing + "."):
        return False
    return not any(_is_application_frame(frame) for frame, _ in _frames(error.__traceback__))


def _missing_module(name: str, missing: str) -> str:
    near = _close_matches(missing.rpartition(".")[2], _modules_beside(missing), MOST_SUGGESTIONS)
    closed = closed_ones(sys.path)
    if near:
        hint = f"; did you mean {' or '.join(near)}?"
    elif closed:
        hint = f" where this process may look: {', '.join(closed)}"
    else:
        hint = f"; looked in {os.getcwd()} first, then along sys.path"
    what = f"there is no module {missing!r}"
    return what + (f" (for module = {name})" if missing != name else "") + hint


def _modules_beside(missing: str) -> list[str]:
    """Names of modules where the missing one was looked for: in its package, or along sys.path without libraries."""
    package = sys.modules.get(missing.rpartition(".")[0])
    libraries = (sys.base_prefix, sys.prefix, sysconfig.get_path("purelib"))
    own = [entry for entry in sys.path if not entry.startswith(libraries)]
    directories = list(getattr(package, "__path__", ())) if package is not None else own
    names = []
    for directory in directories:
        try:
            entries = os.listdir(directory)
        except OSError:
            continue
        names += [entry.removesuffix(".py") for entry in entries if not entry.startswith(("_", "."))]
    return [name for name in names if name.isidentifier()]


# --- the callable -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """What to take from the module: attributes from left to right, then perhaps a call of the last."""

    attributes: tuple[str, ...]
    is_factory: bool = False
    arguments: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return ".".join(self.attributes)


def _parse_target(text: str, given: str) -> Target:
    """Read `name`, `name.attribute`, `factory()` or `factory('literal', key=1)`."""
    text = text.strip()
    names = text.split(".")
    if all(name.isidentifier() for name in names):  # nearly always: saves the memory of a parser
        return Target(tuple(names))
    mistake = (
        f"{text!r} in {given!r} is neither a name nor a call with literal arguments, as in create_app('production')"
    )
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        raise _misnamed(mistake) from None
    if not isinstance(node, ast.Call):
        return Target(_attributes(node, mistake))
    try:
        arguments = tuple(ast.literal_eval(argument) for argument in node.args)
        keywords = tuple((keyword.arg or "", ast.literal_eval(keyword.value)) for keyword in node.keywords)
    except ValueError:
        raise _misnamed(mistake) from None
    if any(not name for name, _ in keywords):
        raise _misnamed(mistake)
    return Target(_attributes(node.func, mistake), True, arguments, keywords)


def _attributes(node: ast.expr, mistake: str) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        return (*_attributes(node.value, mistake), node.attr)
    raise _misnamed(mistake)


def _callable_of(module: ModuleType, target: Target, where: str, *, explicit: bool) -> Application:
    found: Any = module
    for attribute in target.attributes:
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise _misnamed(_missing_callable(module, found, attribute, target, where, explicit=explicit)) from None
    if target.is_factory:
        found = _call_factory(found, target, where)
    if not callable(found):
        result = "returned" if target.is_factory else "is"
        raise _misnamed(f"{str(target)!r} in {where} {result} a {type(found).__name__}, which is no WSGI application")
    application: Application = found
    return application


def _call_factory(factory: Any, target: Target, where: str) -> Any:
    if not callable(factory):
        raise _misnamed(f"{str(target)!r} in {where} is a {type(factory).__name__} and cannot be called")
    try:
        return factory(*target.arguments, **dict(target.keywords))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _failed_import(f"{target}() in {where}", error) from error


def _missing_callable(
    module: ModuleType, owner: Any, attribute: str, target: Target, where: str, *, explicit: bool
) -> str:
    if owner is not module:
        near = _close_matches(attribute, dir(owner), MOST_SUGGESTIONS)
        return f"{str(target)!r} is not in {where}: there is no {attribute!r}" + _did_you_mean(near)
    candidates = _callables(module)
    near = _close_matches(attribute, candidates, MOST_SUGGESTIONS)
    sentence = f'unable to find "{attribute}" callable in {where}'
    if near and explicit:
        return sentence + _did_you_mean(near)
    if not candidates:
        return f"{sentence}; it defines nothing that can be called"
    shown = ", ".join(candidates[:MOST_SUGGESTIONS])
    name = candidates[0]
    return f"{sentence}; it has {shown}: name one, as in module = {module.__name__}:{name}, or callable = {name}"


def _did_you_mean(names: list[str]) -> str:
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _callables(module: ModuleType) -> list[str]:
    """Names in a module that could be applications: what frameworks make first, then functions defined there."""
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and not isinstance(value, type)
    ]
    own = [name for name in names if getattr(vars(module)[name], "__module__", None) == module.__name__]
    made = [name for name in names if hasattr(vars(module)[name], "wsgi_app") or name in ("app", "application")]
    return list(dict.fromkeys(made + own + names))


# --- errors -----------------------------------------------------------------------------------------------------------


def _misnamed(message: str) -> AppLoadError:
    """The settings name something that is not there: as other mistakes in settings, one sentence and exit code 1."""
    error = AppLoadError(message)
    error.exit_code = MISNAMED
    return error


def _failed_import(what: str, error: BaseException) -> AppLoadError:
    return AppLoadError(_sentence(what, error), details=application_traceback(error))


def _sentence(what: str, error: BaseException) -> str:
    where = _location(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        closed = closed_ones(sys.path)
        missing = f"not found: {', '.join(closed)}" if closed else "not installed"
        return f"cannot load {what}: it imports {error.name!r}, which is {missing}{where}"
    if isinstance(error, SystemExit):
        return f"cannot load {what}: it ended the program with exit code {error.code}{where}"
    last_line = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    return f"cannot load {what}: {last_line}{where}"


def _location(error: BaseException) -> str:
    """` (file.py:12)`: where the application's own code was, or the line that is no Python."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    own = [(frame, line) for frame, line in _frames(error.__traceback__) if _is_application_frame(frame)]
    if not own:
        return ""
    frame, line = own[-1]
    return f" ({frame.f_code.co_filename}:{line})"


def application_traceback(error: BaseException) -> str:
    """The traceback without the frames of this server and of the import machinery, causes included."""
    report = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    pending: list[traceback.TracebackException | None] = [report]
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        part.stack = traceback.StackSummary.from_list([entry for entry in part.stack if not _is_ours(entry.filename)])
        pending += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
    return "".join(report.format()).rstrip("\n")


def _frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    return traceback.walk_tb(trace)


def _is_application_frame(frame: FrameType) -> bool:
    return not _is_ours(frame.f_code.co_filename)


def _is_ours(filename: str) -> bool:
    return filename.startswith((OWN_CODE, "<frozen importlib")) or filename == importlib.__file__


def _close_matches(name: str, candidates: Iterable[str], most: int) -> list[str]:
    # Not at the top: needed once, for an error, and every worker would carry it.
    import difflib

    return difflib.get_close_matches(name, list(candidates), most)
