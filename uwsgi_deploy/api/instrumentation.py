"""Notes of the HTTP servers and caches that a request talks to, so that a report can name the one that it waits for.

`instrument` puts a thin function around the calls of libraries that do this, once in a process. A call is noted when it
is made in a request whose middleware takes notes (`reports.notes`); everywhere else it costs one look. Noted are host,
method and path, for caches the server and the command: no query, no header, no key, no value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from importlib import import_module
from time import monotonic
from typing import Any

from uwsgi_deploy.reports.notes import Call, RequestNotes, current_notes

HTTP, CACHE = KINDS = ("http", "cache")

# What `instrument` leaves on a function that it has wrapped; and on a connection and its response: the call that they
# make, and whether they are all of it.
_WRAPPED = "__uwsgi_deploy_wrapped__"
_CALL = "_uwsgi_deploy_call"
_NONE = (None, False)

Function = Callable[..., Any]


def instrument(*kinds: str) -> None:
    """Note calls of these kinds from now on: `http` (http.client and what is built on it: urllib.request, requests,
    urllib3, boto), `cache` (redis, pymemcache). Libraries that are not loaded yet are left alone, except the standard
    library's; calling it again is harmless and takes those that have come. Raises ValueError for other kinds."""
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"there is no instrumentation of {kind!r}; there is {' and '.join(KINDS)}")
    if HTTP in kinds:
        _instrument_http_client(import_module("http.client"))
    for watched in _WATCHED:
        if watched.kind in kinds:
            _watch(watched)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A method that makes one call from beginning to end. describe: (target, text) of its object and arguments."""

    kind: str
    module: str
    owner: str
    methods: tuple[str, ...]
    describe: Callable[..., tuple[str, str]]


def _watch(watched: _Watched) -> None:
    owner = getattr(sys.modules.get(watched.module), watched.owner, None)
    for name in watched.methods:
        if name in vars(owner or object):
            _wrap(owner, name, partial(_noted, name=name, watched=watched))


def _wrap(owner: object, name: str, make: Callable[[Function], Function]) -> None:
    """Replace a method by what `make` makes of it, unless that has been done."""
    function = getattr(owner, name)
    if hasattr(function, _WRAPPED):
        return
    wrapper = wraps(function)(make(function))
    setattr(wrapper, _WRAPPED, True)
    setattr(owner, name, wrapper)


def _noted(function: Function, name: str, watched: _Watched) -> Function:
    def call_and_note(self: Any, *arguments: Any, **options: Any) -> Any:
        notes = current_notes()
        if notes is None or _is_noted(notes, watched.kind):
            return function(self, *arguments, **options)
        target, text = _described(watched.describe, self, name, arguments, options)
        call = notes.begin(Call(watched.kind, target, text, monotonic()))
        try:
            return function(self, *arguments, **options)
        finally:
            notes.end(call, monotonic())

    return call_and_note


def _is_noted(notes: RequestNotes, kind: str) -> bool:
    """Whether it is a part of a call that is noted already: urllib3 uses http.client, and retries by calling itself."""
    return any(call.kind == kind for call in notes.running)


def _described(describe: Callable[..., tuple[str, str]], *arguments: Any) -> tuple[str, str]:
    """Another version's object may look different: then the call is noted without its words, and never fails."""
    try:
        return describe(*arguments)
    except Exception:
        return "", ""


def _path(url: object) -> str:
    """The part of a URL that can be shown: user, password, query and fragment stay out."""
    text = str(url).partition("?")[0].partition("#")[0]
    if "://" in text:
        text = "/" + text.partition("://")[2].partition("/")[2]
    return text or "/"


def _place(host: object, port: object) -> str:
    return f"{host}:{port}" if port else str(host)


# --- http.client: a request and its answer are two calls, and the body's parts many more ------------------------------


def _instrument_http_client(module: Any) -> None:
    connection, response = module.HTTPConnection, module.HTTPResponse
    _wrap(connection, "putrequest", _begins)
    _wrap(connection, "getresponse", _answers)
    _wrap(connection, "close", _closes)
    for name in ("read", "read1", "readinto", "readline"):
        _wrap(response, name, _reads)


def _begins(function: Function) -> Function:
    """The connection is made, if it has to be, when the head is sent: that counts, too."""

    def putrequest(self: Any, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        notes = current_notes()
        if notes is not None:
            _leave(self, notes)
            whole = next((call for call in notes.running if call.kind == HTTP), None)  # urllib3's
            text = f"{method} {_path(url)}"
            call = whole or notes.begin(Call(HTTP, _place(self.host, self.port), text, monotonic()))
            setattr(self, _CALL, (call, whole is None))
        return function(self, method, url, *arguments, **options)

    return putrequest


def _answers(function: Function) -> Function:
    def getresponse(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            response = function(self, *arguments, **options)
            if _CALL in vars(self):
                setattr(response, _CALL, vars(self)[_CALL])
            return response
        finally:
            _leave(self, current_notes())

    return getresponse


def _closes(function: Function) -> Function:
    """Also after an error, between the request and its answer."""

    def close(self: Any, *arguments: Any, **options: Any) -> Any:
        if _CALL in vars(self):
            _leave(self, current_notes())
        return function(self, *arguments, **options)

    return close


def _reads(function: Function) -> Function:
    """The call goes on while its body is read, and is still one call."""

    def read(self: Any, *arguments: Any, **options: Any) -> Any:
        call, _ = vars(self).get(_CALL, _NONE)
        notes = current_notes() if call is not None else None
        if call is None or notes is None or call in notes.running:
            return function(self, *arguments, **options)
        began = monotonic()
        notes.running.append(call)
        try:
            return function(self, *arguments, **options)
        finally:
            notes.running.remove(call)
            call.ended = now = monotonic()
            notes.spent[HTTP] = notes.spent.get(HTTP, 0.0) + now - began

    return read


def _leave(connection: Any, notes: RequestNotes | None) -> None:
    """The connection has done its part of the call: the end of it, unless the call is urllib3's."""
    call, whole = vars(connection).pop(_CALL, _NONE)
    if whole and notes is not None and call in notes.running:
        notes.end(call, monotonic())


# --- libraries whose call is one function -----------------------------------------------------------------------------


def _urlopen(pool: Any, _name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[str, str]:
    method, url = (*arguments, *(options[key] for key in ("method", "url") if key in options))[:2]
    return _place(pool.host, pool.port), f"{method} {_path(url)}"


def _redis(client: Any, name: str, arguments: tuple[Any, ...], _options: dict[str, Any]) -> tuple[str, str]:
    where = client.connection_pool.connection_kwargs
    command = str(arguments[0]) if name == "execute_command" else "pipeline"
    return f"redis {where.get('path') or _place(where.get('host', 'localhost'), where.get('port', 6379))}", command


def _memcache(client: Any, name: str, _arguments: tuple[Any, ...], _options: dict[str, Any]) -> tuple[str, str]:
    server = client.server
    return f"memcached {server if isinstance(server, str) else _place(*server)}", name


_WATCHED = (
    _Watched(HTTP, "urllib3.connectionpool", "HTTPConnectionPool", ("urlopen",), _urlopen),
    _Watched(CACHE, "redis.client", "Redis", ("execute_command",), _redis),
    _Watched(CACHE, "redis.client", "Pipeline", ("execute",), _redis),
    _Watched(
        CACHE,
        "pymemcache.client.base",
        "Client",
        (
            "get",
            "gets",
            "get_many",
            "set",
            "set_many",
            "add",
            "replace",
            "cas",
            "delete",
            "delete_many",
            "incr",
            "decr",
        ),
        _memcache,
    ),
)
