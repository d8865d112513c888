"""What UWSGI_* variables of an allowed peer's packets do (`uwsgi-allow-from`, `dynamic-apps`).

A WSGI application around the server's own. The codec has dropped the variables of everybody else, so that those in an
environ are to be obeyed. A request without any costs one look. Loaded only when somebody is allowed.

    UWSGI_APPID           the application, in the place of SCRIPT_NAME
    UWSGI_POSTFILE        the request body is in this file
    with dynamic-apps:
    UWSGI_FILE, UWSGI_SCRIPT, UWSGI_MODULE with UWSGI_CALLABLE
                          load this application, if none is known by UWSGI_APPID or SCRIPT_NAME
    UWSGI_CHDIR           its directory, entered for loading it and for each of its requests
    UWSGI_PYHOME, _HOME   a virtual environment for it
    UWSGI_TOUCH_RELOAD    replace the worker when this file has changed since it was loaded
    UWSGI_SETENV          NAME=value for the process's environment, with every request that has it
"""

from __future__ import annotations

import io
import os
import site
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from time import monotonic
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import AppLoadError, HarakiriTimeout, ServerError
from uwsgi_deploy.logs.banner import application_ready
from uwsgi_deploy.logs.record import APPLICATION_NUMBER
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.protocol.obeyed import BODY_FILE, SEPARATOR, SET_ENVIRONMENT
from uwsgi_deploy.protocol.responses import reason_phrase
from uwsgi_deploy.wsgi.apps import Mounts
from uwsgi_deploy.wsgi.loader import Application, import_application, refuse_everything, site_packages

LOADING = ("UWSGI_FILE", "UWSGI_SCRIPT", "UWSGI_MODULE")
_ASKING = frozenset({*LOADING, "UWSGI_APPID", BODY_FILE, SET_ENVIRONMENT})
# Each stays in the memory of its worker.
MOST_APPLICATIONS = 64

_condemn: Callable[[str], None] = log


def replace_worker_with(condemn: Callable[[str], None]) -> None:
    """What is to be called, with a reason, when this worker's code is outdated."""
    global _condemn
    _condemn = condemn


class Refused(ServerError):
    """A request asks for what is not done: it is answered with `status`, and the sentence is logged."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Loaded:
    """An application that a request has asked for. directory: its working directory; "" is the server's.

    watched: the file of UWSGI_TOUCH_RELOAD, if any, and its modification time (ns) when the application was loaded.
    """

    number: int
    application: Application
    directory: str
    watched: str
    modified: int


class BodyFile(io.FileIO):
    """A request body in a file; ends with its last user, who need not know that it is to be closed."""

    def __del__(self) -> None:
        self.close()


class PacketVariables:
    """See the module."""

    def __init__(self, settings: Settings, application: Application) -> None:
        self._application = application
        self._mounts = application if isinstance(application, Mounts) else None
        self._loads, self._shares = settings.packets.dynamic_apps, settings.cores > 1
        self._largest_body = settings.http.limit_post
        self._template = replace(settings.application, module="", wsgi_file="", mount=(), callable="application")
        self._loaded: dict[str, Loaded] = {}
        self._locks: list[Any] = []
        self._home = self._directory = ""

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Any:
        """Serve a request as its variables say."""
        if environ.keys().isdisjoint(_ASKING):
            application = self._application
            environ[APPLICATION_NUMBER] = 0  # which several applications then say better
            if self._directory:
                self._enter("")
        else:
            try:
                application = self._chosen(environ)
            except Refused as refusal:
                log(f"{refusal}: {environ['REQUEST_METHOD']} {environ.get('REQUEST_URI', '')!r} ({refusal.status})")
                return _answer(refusal.status, start_response)
        return application(environ, start_response)

    def _chosen(self, environ: Environ) -> Application:
        if path := environ.get(BODY_FILE):
            self._take_body(environ, path)
        if entries := environ.get(SET_ENVIRONMENT):
            self._set_environment(entries)
        name: str | None = environ.get("UWSGI_APPID")
        key = environ["SCRIPT_NAME"] if name is None else name
        asked = [one for one in LOADING if environ.get(one)]
        number, application = self._mounted(environ, name)
        if application is None:
            loaded = self._loaded.get(key)
            if loaded is None and asked:
                loaded = self._load(environ, key, asked)
            if loaded is not None:
                self._enter(loaded.directory)
                self._look_at(loaded)
                environ[APPLICATION_NUMBER] = loaded.number
                return loaded.application
            number, application = 0, self._application
        environ[APPLICATION_NUMBER] = number
        if self._directory:
            self._enter("")
        return application

    def _mounted(self, environ: Environ, name: str | None) -> tuple[int, Application | None]:
        """The configured application that a request is for, and its number."""
        if self._mounts is None:
            is_main = not (environ["SCRIPT_NAME"] if name is None else name)
            return 0, self._application if is_main and self._application is not refuse_everything else None
        if name is not None:
            one = self._mounts.by_name.get(name)
            return (0, None) if one is None else (one.number, one.application)
        return 0, self._mounts if self._mounts.has(environ) else None

    # -- loading -------------------------------------------------------------------------------------------------------

    def _load(self, environ: Environ, key: str, asked: list[str]) -> Loaded:
        """Load what `asked` names, once in this worker. Raises Refused."""
        what, where = asked[0], environ[asked[0]]
        if not self._loads:
            raise Refused(403, f"{what} asks for code to be loaded, which needs dynamic-apps")
        if len(asked) > 1:
            raise Refused(400, f"{what} and {asked[1]} both name an application")
        if "://" in where:
            raise Refused(403, f"{what} has a URL, {where!r}: code is loaded from files only")
        with self._lock():
            if key in self._loaded:
                return self._loaded[key]
            if len(self._loaded) >= MOST_APPLICATIONS:
                raise Refused(503, f"{what}: this worker has loaded {MOST_APPLICATIONS} applications already")
            loaded = self._loaded[key] = self._load_now(environ, key, what, where)
        return loaded

    def _lock(self) -> Any:
        """Made with the first load: gevent may have put its own locks in place since this object was made."""
        if not self._locks:
            self._locks.append(threading.Lock())  # of two that come at once both take the first
        return self._locks[0]

    def _load_now(self, environ: Environ, key: str, what: str, where: str) -> Loaded:
        directory = environ.get("UWSGI_CHDIR", "")
        if directory and self._shares:
            raise Refused(403, "UWSGI_CHDIR needs workers with one core: the working directory is the whole process's")
        started = monotonic()
        self._enter(directory)
        name = environ.get("UWSGI_CALLABLE") or self._template.callable
        if what == "UWSGI_FILE":
            wanted = replace(self._template, wsgi_file=where, callable=name)
        else:
            wanted = replace(self._template, module=where, callable=name)
        if directory:
            _prefer(directory, "" if wanted.wsgi_file else where)
        try:
            if home := environ.get("UWSGI_PYHOME") or environ.get("UWSGI_HOME"):
                site.addsitedir(site_packages(home))
            application = import_application(wanted)
        except ServerError as error:
            if isinstance(error.__cause__, HarakiriTimeout):
                raise error.__cause__ from None
            details = error.details if isinstance(error, AppLoadError) else ""
            raise Refused(500, "\n".join(text for text in (details, str(error)) if text)) from None
        number = (1 if self._mounts is None else len(self._mounts.applications)) + len(self._loaded)
        log(application_ready(monotonic() - started, os.getpid(), number=number, point=key, is_default=False))
        watched = environ.get("UWSGI_TOUCH_RELOAD", "")
        return Loaded(number, application, directory, watched, _modified(watched))

    def _look_at(self, loaded: Loaded) -> None:
        if loaded.watched and _modified(loaded.watched) != loaded.modified:
            _condemn(f"{loaded.watched} was touched (UWSGI_TOUCH_RELOAD)")

    # -- what belongs to the process -----------------------------------------------------------------------------------

    def _enter(self, directory: str) -> None:
        """Make this the working directory; "" is the one that the server was started in."""
        if directory == self._directory:
            return
        if not self._home:
            self._home = os.getcwd()
        try:
            os.chdir(directory or self._home)
        except OSError as error:
            raise Refused(500, f"UWSGI_CHDIR {directory or self._home}: {error.strerror}") from None
        self._directory = directory

    def _set_environment(self, entries: str) -> None:
        if not self._loads:
            raise Refused(403, f"{SET_ENVIRONMENT} changes what code does, which needs dynamic-apps")
        for entry in entries.split(SEPARATOR):
            name, equals, value = entry.partition("=")
            if not (name and equals):
                raise Refused(400, f"{SET_ENVIRONMENT} needs NAME=value, not {entry!r}")
            os.environ[name] = value

    def _take_body(self, environ: Environ, path: str) -> None:
        """What the web server has stored (nginx's client_body_in_file_only) is not sent a second time."""
        try:
            # Not to wait for whoever has the other end of a named pipe.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            raise Refused(500, f"{BODY_FILE} {path}: {getattr(error, 'strerror', error)}") from None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise Refused(403, f"{BODY_FILE} {path} is no regular file")
        if self._largest_body and status.st_size > self._largest_body:
            os.close(fd)
            raise Refused(413, f"the request body is larger than {self._largest_body} bytes (limit-post)")
        environ["wsgi.input"] = io.BufferedReader(BodyFile(fd))
        environ["CONTENT_LENGTH"] = str(status.st_size)
        environ.pop("HTTP_TRANSFER_ENCODING", None)


def obey(settings: Settings, application: Application) -> Application:
    """The application that obeys the variables of packets."""
    return PacketVariables(settings, application)


def _prefer(directory: str, module: str) -> None:
    """Let modules be found in a directory; Refused when another one's module has the name already.

    uWSGI has an interpreter for each application. Here there is one, with one module of a name.
    """
    top = module.partition(":")[0].partition(".")[0].strip()
    known = getattr(sys.modules.get(top), "__spec__", None)
    found = PathFinder.find_spec(top, [directory]) if top else None
    if known is not None and found is not None and known.origin != found.origin:
        raise Refused(500, f"module {top} is {known.origin} already, not {found.origin}: give one of them another name")
    if directory not in sys.path:
        sys.path.insert(0, directory)


def _modified(path: str) -> int:
    """The modification time of a file in nanoseconds; 0 without it."""
    try:
        return os.stat(path).st_mtime_ns if path else 0
    except OSError:
        return 0


def _answer(status: int, start_response: Callable[..., Any]) -> Iterable[bytes]:
    reason = reason_phrase(status)
    body = reason.encode()
    start_response(f"{status} {reason}", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
