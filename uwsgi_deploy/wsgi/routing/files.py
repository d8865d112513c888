"""Files that rules send: `static`, `file` and their like. Loaded only where a rule does so.

A path is below the directory that the rule names before its first variable, or it is not sent, whatever a client has
put into the variables. What is sent, with ranges, conditions and types, is `wsgi.static`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from uwsgi_deploy.config.routing import Rule
from uwsgi_deploy.config.settings.static import StaticSettings
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.wsgi.routing.answers import say, with_reason
from uwsgi_deploy.wsgi.routing.chain import Act, Answer, Verdict, Visit
from uwsgi_deploy.wsgi.routing.text import Render, Surroundings
from uwsgi_deploy.wsgi.static import READING, Manner, StaticFiles
from uwsgi_deploy.wsgi.static_lookup import Found, Lookup, Obstacle, Root

# Only for answers that are what was asked for.
_ABOUT_THE_FILE = frozenset({"last-modified", "etag", "accept-ranges", "expires", "cache-control"})
_SELECTION = ("HTTP_RANGE", "HTTP_IF_")


def act_of(rule: Rule, path: Render, around: Surroundings) -> Act:
    """The function that answers with a file."""
    text = rule.texts[0]
    constant = text.constant
    if constant is not None:
        directory = constant.encode("latin-1")
        if not os.path.isfile(directory):
            around.log(f"*** WARNING: {rule.raw.origin}: '{rule.raw.name}': no file {os.fsdecode(directory)} ***")
    else:
        directory = text.beginning.rpartition("/")[0].encode("latin-1")
    # An empty directory is the root's, which `config.routing_actions` does not let through with a variable.
    root = Root("", os.path.abspath(directory), False)
    lookup = Lookup((root,), safe=around.static_safe, log=around.log)
    files = StaticFiles(lookup, Manner(StaticSettings(), around.types()), _nothing)
    skipped = len(directory)
    status = with_reason(rule.words[0]) if rule.words[0] else ""

    def act(visit: Visit) -> Verdict:
        wanted = "" if constant is not None else path(visit)[skipped:]
        found = lookup.find(wanted)
        error = visit.status
        if type(found) is Found:
            line = status or (with_reason(str(error)) if error else "")
            return _answer(files, found, wanted, line)
        if error:
            return None  # the response stays what it was
        return say("403" if found is Obstacle.FORBIDDEN else "404")

    return act


def _nothing(_environ: Environ, _start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application behind the files, which is never asked."""
    return []


def _answer(files: StaticFiles, found: Found, path: str, status: str) -> Answer:
    """A file. With a status of its own it is the answer to whatever was asked, and whole."""

    def answer(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if status:
            return _whole(environ, start_response)
        if environ["REQUEST_METHOD"] not in READING:
            os.close(found.fd)
            return say("405", headers=[("Allow", "GET, HEAD")])(environ, start_response)
        return files.answer(environ, start_response, found, path)

    def _whole(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        plain = {name: value for name, value in environ.items() if not name.startswith(_SELECTION)}
        plain["REQUEST_METHOD"] = "HEAD" if environ["REQUEST_METHOD"] == "HEAD" else "GET"

        def start(_line: str, headers: list[tuple[str, str]]) -> object:
            return start_response(status, [pair for pair in headers if pair[0].lower() not in _ABOUT_THE_FILE])

        return files.answer(plain, start, found, path)

    return answer
