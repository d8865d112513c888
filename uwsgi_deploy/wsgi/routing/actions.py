"""The actions of rules as functions of the request: `config.routing_actions` says what each may be given.

Each entry of the table makes, at the start, the function that is called when the rule's test holds.
"""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from time import time
from typing import TypeAlias

from uwsgi_deploy.config.routing import Chain as WrittenChain
from uwsgi_deploy.config.routing import Rule
from uwsgi_deploy.logs.record import LOG_VARIABLES, UNLOGGED
from uwsgi_deploy.protocol.http_dates import format_date
from uwsgi_deploy.wsgi.routing.answers import place, redirect, say, sent
from uwsgi_deploy.wsgi.routing.chain import LEAVE, Act, Verdict, Visit
from uwsgi_deploy.wsgi.routing.text import Render, Surroundings, cleaned, divided, number, renderer, variable

Make: TypeAlias = Callable[[Rule, list[Render], Surroundings], Act]

# Loaded by those whose rules send files or ask for passwords.
_FILES = "uwsgi_deploy.wsgi.routing.files"
_PASSWORDS = "uwsgi_deploy.wsgi.routing.passwords"
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_FORBIDDEN = "403 Forbidden"
_ITS_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")


def act_of(number_of_rule: int, chain: WrittenChain, around: Surroundings) -> Act:
    """The function of a rule's action."""
    rule = chain.rules[number_of_rule]
    renders = [renderer(text, around) for text in rule.texts]
    if rule.action == "goto":
        return _goto(number_of_rule, chain, renders[0])
    return ACTIONS[rule.action](rule, renders, around)


# -- the way through the chain -----------------------------------------------------------------------------------------


def _goto(here: int, chain: WrittenChain, label: Render) -> Act:
    """Forward to a label. One that is made of the request's own words may be none: that ends the request, as in uWSGI,
    because the rules behind it may be guards."""
    ahead = {name: target for name, target in chain.labels.items() if target > here}
    is_about_request = chain.rules[here].raw.name.startswith("route")
    nowhere: Verdict = say(_FORBIDDEN) if is_about_request else LEAVE
    return lambda visit: ahead.get(label(visit), nowhere)


def _leave(_rule: Rule, _texts: list[Render], _around: Surroundings) -> Act:
    return lambda _visit: LEAVE


def _break(rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
    (status,) = texts
    has_status = rule.texts[0].parts != ()
    is_about_request = rule.raw.name.startswith("route")

    def act(visit: Visit) -> Verdict:
        if not has_status and not visit.sent:
            return say(_FORBIDDEN) if is_about_request else LEAVE
        return sent(visit, status(visit)) if visit.sent else say(status(visit))

    return act


def _return(_rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
    (status,) = texts
    return lambda visit: say(status(visit) or "200 OK")


# -- the log -----------------------------------------------------------------------------------------------------------


def _log(_rule: Rule, texts: list[Render], around: Surroundings) -> Act:
    (text,) = texts

    def act(visit: Visit) -> None:
        around.log(cleaned(text(visit)))

    return act


def _logvar(rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
    (name,), (value,) = rule.words, texts

    def act(visit: Visit) -> None:
        visit.environ.setdefault(LOG_VARIABLES, {})[name] = value(visit)

    return act


def _donotlog(_rule: Rule, _texts: list[Render], _around: Surroundings) -> Act:
    def act(visit: Visit) -> None:
        visit.environ[UNLOGGED] = True

    return act


# -- request variables -------------------------------------------------------------------------------------------------


def _addvar(rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
    return _setter(rule.words[0])(rule, texts, _around)


def _setter(name: str) -> Make:
    def make(_rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
        (value,) = texts

        def act(visit: Visit) -> None:
            visit.environ[name] = value(visit)

        return act

    return make


def _calculation(calculate: Callable[[int, int], int]) -> Make:
    def make(rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
        (name,), (value,) = rule.words, texts

        def act(visit: Visit) -> None:
            environ = visit.environ
            environ[name] = str(calculate(number(variable(environ, name)), number(value(visit))))

        return act

    return make


def _setpathinfo(_rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
    (path,) = texts

    def act(visit: Visit) -> None:
        visit.environ["PATH_INFO"] = _absolute(path(visit))

    return act


def _absolute(path: str) -> str:
    """PATH_INFO begins with a slash, or frameworks fail."""
    return path if path.startswith("/") or not path else f"/{path}"


def _fixpathinfo(_rule: Rule, _texts: list[Render], _around: Surroundings) -> Act:
    def act(visit: Visit) -> None:
        environ = visit.environ
        start, path = variable(environ, "SCRIPT_NAME").rstrip("/"), variable(environ, "PATH_INFO")
        if start and path.startswith(start) and path[len(start) : len(start) + 1] in ("", "/"):
            environ["PATH_INFO"] = path[len(start) :]

    return act


def _setmethod(_rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
    (method,) = texts

    def act(visit: Visit) -> None:
        if _METHOD.fullmatch(wanted := method(visit)):
            visit.environ["REQUEST_METHOD"] = wanted

    return act


def _setscheme(_rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
    (scheme,) = texts

    def act(visit: Visit) -> None:
        wanted = scheme(visit).lower()
        if wanted in ("http", "https"):
            environ = visit.environ
            environ["wsgi.url_scheme"] = wanted
            environ.pop("HTTPS", None)
            if wanted == "https":
                environ["HTTPS"] = "on"

    return act


def _rewriter(verdict: Verdict) -> Make:
    """PATH_INFO and, where there is a question mark, QUERY_STRING, with the request's own behind it, as in uWSGI.

    Nothing is decoded, unlike there: what a client sent is decoded already."""

    def make(_rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
        (target,) = texts

        def act(visit: Visit) -> Verdict:
            path, mark, query = target(visit).partition("?")
            visit.environ["PATH_INFO"] = _absolute(path)
            if mark:
                before = variable(visit.environ, "QUERY_STRING")
                visit.environ["QUERY_STRING"] = f"{query}&{before}" if before else query
            return verdict

        return act

    return make


# -- the head of the response ------------------------------------------------------------------------------------------


def _addheader(rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
    (name,), (value,) = rule.words, texts

    def act(visit: Visit) -> None:
        # Whatever a client has put into a variable: neither this header nor the response ends within it.
        visit.to_change().added.append((name, cleaned(value(visit))))

    return act


def _delheader(rule: Rule, _texts: list[Render], _around: Surroundings) -> Act:
    name = rule.words[0].lower()

    def act(visit: Visit) -> None:
        visit.to_change().removed.add(name)

    return act


def _clearheaders(_rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
    (status,) = texts

    def act(visit: Visit) -> None:
        changes = visit.to_change()
        changes.cleared, changes.status = True, cleaned(status(visit)) or changes.status

    return act


def _expires(rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
    given = dict(zip(rule.words, texts, strict=True))

    def act(visit: Visit) -> None:
        moment = int(time())
        if "filename" in given:
            try:
                moment = int(os.stat(given["filename"](visit).encode("latin-1", "replace")).st_mtime)
            except (OSError, ValueError):
                return
        elif "unix" in given:
            moment = number(given["unix"](visit))
        moment += number(given["value"](visit)) if "value" in given else 0
        visit.to_change().added.append(("Expires", format_date(min(max(moment, 0), _LAST_MOMENT))))

    return act


# Four digits are a year's (RFC 9110 §5.6.7).
_LAST_MOMENT = 253_402_300_799


# -- answers -----------------------------------------------------------------------------------------------------------


def _send(end: str) -> Make:
    def make(_rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
        (text,) = texts

        def act(visit: Visit) -> None:
            visit.sent.append(text(visit) + end)

        return act

    return make


def _redirect(status: str) -> Make:
    def make(rule: Rule, texts: list[Render], _around: Surroundings) -> Act:
        (location,) = texts
        is_ours = not _ITS_HOST.match(rule.texts[0].beginning)
        return lambda visit: redirect(status, place(location(visit), is_ours=is_ours))

    return make


def _file(rule: Rule, texts: list[Render], around: Surroundings) -> Act:
    act: Act = import_module(_FILES).act_of(rule, texts[0], around)
    return act


def _basicauth(rule: Rule, _texts: list[Render], around: Surroundings) -> Act:
    realm, who = rule.words
    may_go_on = rule.action == "basicauth-next"
    act: Act = import_module(_PASSWORDS).act_of(realm, who, may_go_on=may_go_on, log=around.log)
    return act


def _harakiri(rule: Rule, _texts: list[Render], around: Surroundings) -> Act:
    seconds, limit = float(rule.words[0]), around.limit

    def act(_visit: Visit) -> None:
        limit(seconds)

    return act


ACTIONS: Mapping[str, Make] = {
    **dict.fromkeys(("redirect", "redirect-302"), _redirect("302 Found")),
    **dict.fromkeys(("redirect-permanent", "redirect-301"), _redirect("301 Moved Permanently")),
    **dict.fromkeys(("static", "file", "sendfile", "fastfile"), _file),
    **dict.fromkeys(("basicauth", "basicauth-next"), _basicauth),
    **dict.fromkeys(("return", "break-with-status"), _return),
    **dict.fromkeys(("continue", "last"), _leave),
    **dict.fromkeys(("delheader", "remheader"), _delheader),
    **dict.fromkeys(("clearheaders", "resetheaders"), _clearheaders),
    "break": _break,
    "log": _log,
    "logvar": _logvar,
    "donotlog": _donotlog,
    "addvar": _addvar,
    "+": _calculation(operator.add),
    "-": _calculation(operator.sub),
    "*": _calculation(operator.mul),
    "/": _calculation(divided),
    "addheader": _addheader,
    "expires": _expires,
    "send": _send(""),
    "send-crnl": _send("\r\n"),
    "rewrite": _rewriter(None),
    "rewrite-last": _rewriter(LEAVE),
    "setscriptname": _setter("SCRIPT_NAME"),
    "setpathinfo": _setpathinfo,
    "seturi": _setter("REQUEST_URI"),
    "setremoteaddr": _setter("REMOTE_ADDR"),
    "setdocroot": _setter("DOCUMENT_ROOT"),
    "setuser": _setter("REMOTE_USER"),
    "setmethod": _setmethod,
    "setscheme": _setscheme,
    "fixpathinfo": _fixpathinfo,
    "harakiri": _harakiri,
}
"""Name to what makes the function; `goto` is made with its chain."""
