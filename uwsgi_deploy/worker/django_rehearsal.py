"""Run Django's own part of a request a few times in the template, for the same reason as `worker.rehearsal`.

The request is answered by a view of ours, in a URL configuration of ours, behind those of the project's middlewares
that are Django's and known to do nothing with an anonymous GET. Nothing of the project's is called: no view, no
middleware, no receiver of a signal; no database, cache or session is asked. Where anything that is no part of Django
has put itself into it (what monitors requests), or listens to its signals, nothing is rehearsed. Loaded where Django is
used only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    WrapperDescriptorType,
)
from typing import Any
from weakref import ref

# CPython 3.11 specialises code after eight runs, and each instruction after some more.
_ROUNDS = 20
_HARMLESS = frozenset(
    {
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    }
)
# Modules that every project with a WSGI application has loaded.
_NEEDED = (
    *("django.conf", "django.core.handlers.wsgi", "django.core.handlers.exception", "django.db", "django.http"),
    *("django.urls", "django.utils.module_loading"),
)

# Methods of classes that are written in C, which nobody can touch.
_BUILT_IN = (WrapperDescriptorType, MethodDescriptorType, BuiltinFunctionType, ClassMethodDescriptorType)

Handler = Callable[[Any], Any]


def rehearse_django() -> None:
    """Never raises: where Django cannot do it, the first requests of each worker do it."""
    urls = sys.modules.get("django.urls")
    try:
        _rehearse()
    except Exception:  # of any version of Django, whatever it has changed
        return
    finally:
        if urls is not None:
            urls.set_urlconf(None)
            urls.clear_script_prefix()


def _rehearse() -> None:
    conf, wsgi, exception, db, http, urls, loading = (sys.modules[name] for name in _NEEDED)

    def view(_request: object) -> object:
        return http.HttpResponse(b"ok")

    view._non_atomic_requests = frozenset(db.connections.settings)  # type: ignore[attr-defined]
    patterns = (urls.path("", view),)
    middlewares = [loading.import_string(path) for path in conf.settings.MIDDLEWARE if path in _HARMLESS]
    classes = (wsgi.WSGIHandler, wsgi.WSGIRequest, http.HttpResponse, urls.URLResolver, urls.URLPattern, *middlewares)
    if not (_hears_only_django() and all(_is_untouched(each) for one in classes for each in one.__mro__)):
        return

    def request_of(environ: dict[str, Any]) -> Any:
        request = wsgi.WSGIRequest(environ)
        request.urlconf = patterns
        return request

    # First without Django's net: what that catches it logs, and mails to the administrators.
    for catch, rounds in ((_as_it_is, 1), (exception.convert_exception_to_response, _ROUNDS)):
        handler = _handler(wsgi.WSGIHandler, middlewares, catch)
        handler.request_class = request_of
        for _ in range(rounds):
            response = handler(_environ(conf.settings), _start_response)
            b"".join(response)
            response.close()
            if response.status_code >= 400:
                return


def _start_response(_status: str, _headers: list[tuple[str, str]]) -> None:
    """A server's part of it, which `worker.rehearsal` rehearses."""


def _hears_only_django() -> bool:
    """Whether the signals of a request have receivers of Django's only: those for databases and caches."""
    signals = sys.modules["django.core.signals"]
    for signal in (signals.request_started, signals.request_finished):
        for _, receiver, *_ in signal.receivers:
            function = receiver() if isinstance(receiver, ref) else receiver
            if not str(getattr(function, "__module__", None)).startswith("django."):
                return False
    return True


def _is_untouched(owner: type) -> bool:
    """Whether a class of Django has its own methods only: what monitors requests puts itself in their places."""
    for value in vars(owner).values():
        if isinstance(value, FunctionType):
            if value.__globals__.get("__name__") != owner.__module__ and owner.__module__.startswith("django."):
                return False
        elif callable(value) and not isinstance(value, (type, staticmethod, classmethod, *_BUILT_IN)):
            return False
    return True


def _handler(kind: Any, middlewares: list[Any], catch: Callable[[Handler], Handler]) -> Any:
    """A handler with our own instances of middlewares, as `BaseHandler.load_middleware` makes it."""
    handler = kind.__new__(kind)
    handler._view_middleware = []
    handler._template_response_middleware, handler._exception_middleware = [], []
    inner = catch(handler._get_response)
    for middleware in reversed(middlewares):
        instance = middleware(inner)
        if hasattr(instance, "process_view"):
            handler._view_middleware.insert(0, instance.process_view)
        inner = catch(instance)
    handler._middleware_chain = inner
    return handler


def _as_it_is(handler: Handler) -> Handler:
    return handler


def _environ(settings: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": next(_hosts(settings)),
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": BytesIO(),
        "wsgi.errors": StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _hosts(settings: Any) -> Iterator[str]:
    """A name under which the project wants to be asked."""
    for host in settings.ALLOWED_HOSTS:
        yield "localhost" if host == "*" else host.lstrip(".")
    yield "localhost"
