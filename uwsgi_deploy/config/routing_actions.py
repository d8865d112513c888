"""What routing rules can do: every action's name, where it makes sense, and how its argument is read. Pure.

The functions that do it have the same names in `wsgi.routing`. An action of uWSGI's that is not here stops the start: a
guard that is skipped in silence would be a hole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Family(Enum):
    """When a chain of rules is run; the value begins the names of its options."""

    REQUEST = "route"
    ERROR = "error-route"
    RESPONSE = "response-route"
    FINAL = "final-route"


REQUEST, ERROR, RESPONSE, FINAL = Family
_EVERYWHERE = frozenset(Family)
_BEFORE = frozenset({REQUEST})
_ANSWERING = frozenset({REQUEST, ERROR})
_HEADERS = frozenset({REQUEST, ERROR, RESPONSE})
_LATE = frozenset({ERROR, RESPONSE})

Arguments: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
"""Words that mean themselves, and texts with references."""


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """An action. families: in which chains it makes sense. read: its argument; raises ValueError with a sentence."""

    families: frozenset[Family]
    read: Callable[[str], Arguments]


_STATUS = re.compile(r"[2-5][0-9]{2}( .*)?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VARIABLE = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_OWN_VARIABLES = ("wsgi.", "uwsgi_deploy.")
# What frames a response is the server's.
_FRAMING = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"}
)
_FILE_KEYS = ("filename", "status")
_EXPIRES_KEYS = ("filename", "unix", "value")


def _nothing(argument: str) -> Arguments:
    if argument:
        raise ValueError(f"takes no argument, not '{argument}'")
    return (), ()


def _any_text(argument: str) -> Arguments:
    return (), (argument,)


def _text(argument: str) -> Arguments:
    if not argument:
        raise ValueError("needs an argument")
    return (), (argument,)


def _status(argument: str) -> Arguments:
    if argument and not _STATUS.fullmatch(argument):
        raise ValueError(f"needs a status such as 403 or '413 Too Large', not '{argument}'")
    return (), (argument,)


def _assignment(argument: str) -> Arguments:
    name, equals, value = argument.partition("=")
    if not equals:
        raise ValueError(f"needs NAME=VALUE, not '{argument}'")
    return (_variable(name.strip()),), (value,)


def _log_variable(argument: str) -> Arguments:
    name, equals, value = argument.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"needs NAME=VALUE, not '{argument}'")
    return (name.strip(),), (value,)


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError(f"needs the name of a request variable, not '{name}'")
    if name.startswith(_OWN_VARIABLES):
        raise ValueError(f"cannot set '{name}', which is the server's own")
    return name


def _calculation(argument: str) -> Arguments:
    name, comma, value = argument.partition(",")
    if not comma or not value.strip():
        raise ValueError(f"needs VARIABLE,NUMBER, not '{argument}'")
    return (_variable(name.strip()),), (value.strip(),)


def _header(argument: str) -> Arguments:
    name, colon, value = argument.partition(":")
    if not colon:
        raise ValueError(f"needs NAME: VALUE, not '{argument}'")
    name = _header_name(name.strip())
    if name.lower() in _FRAMING and (name.lower(), value.strip().lower()) != ("connection", "close"):
        raise ValueError(f"cannot add '{name}': how a response is framed is the server's")
    return (name,), (value.strip(),)


def _removed_header(argument: str) -> Arguments:
    return (_header_name(argument.strip().rstrip(":")),), ()


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"needs the name of a header, not '{name}'")
    return name


def _seconds(argument: str) -> Arguments:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", argument.strip()):
        raise ValueError(f"needs seconds, not '{argument}'")
    return (argument.strip(),), ()


def _method(argument: str) -> Arguments:
    if "$" not in argument and not _TOKEN.fullmatch(argument):
        raise ValueError(f"needs a method, not '{argument}'")
    return (), (argument,)


def _scheme(argument: str) -> Arguments:
    if "$" not in argument and argument not in ("http", "https"):
        raise ValueError(f"needs http or https, not '{argument}'")
    return (), (argument,)


def _pairs(argument: str, keys: tuple[str, ...]) -> Arguments:
    names: list[str] = []
    values: list[str] = []
    for pair in argument.split(","):
        name, equals, value = pair.partition("=")
        if not equals or name.strip() not in keys:
            raise ValueError(f"knows {', '.join(f'{key}=' for key in keys)} with commas between them, not '{pair}'")
        names.append(name.strip())
        values.append(value.strip())
    return tuple(names), tuple(values)


def _expires(argument: str) -> Arguments:
    return _pairs(argument, _EXPIRES_KEYS)


def _file(argument: str) -> Arguments:
    """`/path`, or `filename=/path,status=503 Service Unavailable`; the words are the status, the text is the path."""
    status, path = "", argument
    if argument.startswith(tuple(f"{key}=" for key in _FILE_KEYS)):
        pairs = dict(zip(*_pairs(argument, _FILE_KEYS), strict=True))
        status, path = pairs.get("status", ""), pairs.get("filename", "")
        _status(status)
    directory = path.partition("$")[0].rpartition("/")[0]
    if not path:
        raise ValueError("needs a file")
    if "$" in path and not directory:
        raise ValueError(f"needs a path that begins with a directory, not '{path}': clients could name any file")
    return (status,), (path,)


def _credentials(argument: str) -> Arguments:
    """`realm,user:password`, `realm,user:` (any password), `realm,/htpasswd`, `realm,` (nobody)."""
    realm, comma, who = argument.partition(",")
    if not comma:
        raise ValueError(f"needs REALM,USER:PASSWORD or REALM,FILE, not '{argument}'")
    if not realm.strip() or '"' in realm or "\\" in realm or not realm.isprintable():
        raise ValueError(f"needs a realm without quotation marks, not '{realm}'")
    return (realm.strip(), who.strip()), ()


_REDIRECT = ActionSpec(_ANSWERING, _text)
_FILE = ActionSpec(_ANSWERING, _file)
_LEAVE = ActionSpec(_EVERYWHERE, _nothing)
_BREAK = ActionSpec(_EVERYWHERE, _status)
_RETURN = ActionSpec(_ANSWERING, _status)
_REMOVE = ActionSpec(_HEADERS, _removed_header)
_CLEAR = ActionSpec(_LATE, _status)
_SET = ActionSpec(_BEFORE, _any_text)
_CALCULATE = ActionSpec(_EVERYWHERE, _calculation)

ACTIONS: Mapping[str, ActionSpec] = {
    "continue": _LEAVE,
    "last": _LEAVE,
    "break": _BREAK,
    "return": _RETURN,
    "break-with-status": _RETURN,
    "goto": ActionSpec(_EVERYWHERE, _text),
    "log": ActionSpec(_EVERYWHERE, _any_text),
    "logvar": ActionSpec(_EVERYWHERE, _log_variable),
    "donotlog": ActionSpec(_EVERYWHERE, _nothing),
    "addvar": ActionSpec(_EVERYWHERE, _assignment),
    "+": _CALCULATE,
    "-": _CALCULATE,
    "*": _CALCULATE,
    "/": _CALCULATE,
    "addheader": ActionSpec(_HEADERS, _header),
    "delheader": _REMOVE,
    "remheader": _REMOVE,
    "clearheaders": _CLEAR,
    "resetheaders": _CLEAR,
    "expires": ActionSpec(_HEADERS, _expires),
    "send": ActionSpec(_ANSWERING, _any_text),
    "send-crnl": ActionSpec(_ANSWERING, _any_text),
    "redirect": _REDIRECT,
    "redirect-302": _REDIRECT,
    "redirect-permanent": _REDIRECT,
    "redirect-301": _REDIRECT,
    "static": _FILE,
    "file": _FILE,
    "sendfile": _FILE,
    "fastfile": _FILE,
    "rewrite": ActionSpec(_BEFORE, _text),
    "rewrite-last": ActionSpec(_BEFORE, _text),
    "setscriptname": _SET,
    "setpathinfo": _SET,
    "seturi": _SET,
    "setremoteaddr": _SET,
    "setdocroot": _SET,
    "setuser": _SET,
    "setmethod": ActionSpec(_BEFORE, _method),
    "setscheme": ActionSpec(_BEFORE, _scheme),
    "fixpathinfo": ActionSpec(_BEFORE, _nothing),
    "basicauth": ActionSpec(_BEFORE, _credentials),
    "basicauth-next": ActionSpec(_BEFORE, _credentials),
    "harakiri": ActionSpec(_BEFORE, _seconds),
}
"""Name to what is known of an action."""
HEADER_ACTIONS = frozenset({"addheader", "delheader", "remheader", "expires"})
"""Actions of the request chain that change the response."""

_LENGTHS = "responses have their length whenever it is known, always"
NOT_NEEDED: Mapping[str, str] = {
    "donotoffload": "files are sent without holding a core, and nothing is handed to other threads",
    "offload": "responses are sent without holding a core, however slow their clients are",
    "chunked": "responses without a length are chunked for HTTP/1.1 clients, always",
    "fixcl": _LENGTHS,
    "forcecl": _LENGTHS,
}
"""Actions that ask for what is the case anyway, with the reason."""

_NO_CODE = "rules never choose which code is loaded here: name each application with mount"
_NO_CACHE = "this server has no cache"
_NO_PROXY = "rules do not pass requests on to other servers here: let the web server or the application do that"
_NO_CHANGE = "rules do not change the bodies of responses here"
_NO_GUARD = "this way of checking who somebody is is not there"
_NO_STORE = "rules do not talk to other servers here"
_MODIFIER = "there is one kind of requests here, modifiers mean nothing"
_REASONS: Mapping[str, str] = {
    "chdir": "the working directory belongs to the whole process, and so to its other requests",
    "setapp": "with mount, setscriptname:/path chooses the application",
    "sethome setfile": _NO_CODE,
    "setmodifier1 setmodifier2": _MODIFIER,
    "setprocname": "the title of the process belongs to all of its requests",
    "signal": "there are no uWSGI signals here",
    "alarm": "there are no alarms here",
    "disableheaders": "a response without headers is no HTTP",
    "flush": "what is sent to a client is never held back",
    "http httpdumb proxyhttp proxyuwsgi uwsgi fcgi scgi proxyscgi": _NO_PROXY,
    "cache cachestore cache-store cachevar cacheset cacheinc cachedec cachemul cachediv cache-continue": _NO_CACHE,
    "memcached memcached-continue memcachedstore redis redis-continue redisstore": _NO_STORE,
    "hash": "there is nothing to choose a server for",
    "gzip template tofile": _NO_CHANGE,
    "rpc rpcret rpcnext rpcraw rpcvar call": "there are no remote procedures here",
    "metricinc metricdec metricmul metricdiv metricset": "there are no metrics here",
    "access": "write route-if-not = ipv4in:${REMOTE_ADDR};NETWORK break:403",
    "cgi": "there is no CGI here",
    "ldapauth ldapauth-next spnego radius authhttp": _NO_GUARD,
    "static-next file-next sendfile-next fastfile-next": "a file is an answer of its own: leave -next out",
    "xslt lua python jvm": _NO_CODE,
}
REFUSED_ACTIONS: Mapping[str, str] = {name: reason for names, reason in _REASONS.items() for name in names.split()}
"""Actions of uWSGI's that are not here, with the reason."""
