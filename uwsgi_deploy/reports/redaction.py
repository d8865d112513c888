"""What a report must not show: secrets by their names, all values of queries, users in addresses, literals in SQL.

`Redactor` also asks the framework's own rule (`RequestNotes.redact`), which may hide more and never shows more, and
counts what was taken out, so that a reader knows that something is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

REDACTED = "[redacted]"
MOST_STATEMENT = 2000

_SECRET = re.compile(
    r"api.?keys?|auth(?!or(?:s|ed|ity|ities)?(?:$|[_-]))|bearer|cookie|credential|csrf|xsrf|jwt|"
    r"(?:^|[_-])(?:key|sid|sig|otp|pin)s?(?:$|[_-])|access.?key|passphrase|passw|(?:^|[_-])pass(?:$|[_-])|pwd|"
    r"private|secret|sess(?:ion)?.?id|session|signature|token",
    re.IGNORECASE,
)
# Never in a report, whatever anybody's rule says.
NEVER = frozenset({"HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION", "HTTP_COOKIE", "HTTP_COOKIE2"})

# user:password@ in an address.
_USERINFO = re.compile(r"(?<=://)[^/\s@]*@")
_ADDRESS_QUERY = re.compile(r"(\w+://[^\s?#]*)[?#][^\s]*")
_PATH_QUERY = re.compile(r"\?\S+")
# What passwords are reset and sessions are found with: a long run without a word in it. A UUID is a name.
_RUN = re.compile(r"[A-Za-z0-9_=]{32,}|[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}")

_SQL = re.compile(
    r"""
      (?P<comment>   --[^\n]* | /\*.*?\*/ )
    | (?P<dollar>    \$(?P<tag>[A-Za-z_]\w*)?\$ .*? \$(?P=tag)\$ | \$\$ .*? \$\$ )
    | (?P<string>    (?:\b[EeBbXxNn]|\b[Uu]&)? ' (?: [^'] | '' )* (?: ' | \Z ) )
    | (?P<name>      "(?: [^"] | "" )*" | `[^`]*` | \[[A-Za-z_][\w ]*\] | [^\W\d][\w$]* )
    | (?P<parameter> %\(\w+\)s | %s | \?\d* | [:@$]\w+ | ::\s*\w+ )
    | (?P<number>    \b0[xX][0-9A-Fa-f]+ | (?<![\w.])\d+(?:\.\d*)?(?:[eE][-+]?\d+)? | (?<![\w.])\.\d+ )
    | (?P<space>     \s+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_PLACE = r"(?:\?|%s|%\(\w+\)s|[:$]\w+|NULL|TRUE|FALSE|DEFAULT)"
_LIST = re.compile(rf"\(\s*({_PLACE})(?:\s*,\s*{_PLACE})+\s*\)", re.IGNORECASE)
_ROWS = re.compile(r"(\((?:[^()]*?)\.\.\.\))(?:\s*,\s*\([^()]*\.\.\.\))+")


def is_secret(name: str) -> bool:
    """Whether something of that name is likely to be a secret."""
    return _SECRET.search(name) is not None


class Redactor:
    """See the module. One for each report; rule: the framework's, called with a name and a value."""

    def __init__(self, rule: Callable[[str, Any], Any] | None = None) -> None:
        self._rule = rule
        self.count = 0
        self.failed = ""

    def value(self, name: str, value: str) -> str:
        """What may be shown of a header's or a variable's value."""
        shown = REDACTED if name in NEVER or is_secret(name) else self._by_rule(name, address(value))
        if shown != value:
            self.count += 1
        return shown

    def path(self, path: str) -> str:
        """A path, without parts that are most likely tokens."""
        shown = _RUN.sub(_token, path)
        shown = self._by_rule("PATH_INFO", shown)
        if shown != path:
            self.count += 1
        return shown

    def name(self, name: str) -> str:
        """The name of a thread, which may be a request's: `core 3, GET /search?q=...`."""
        return _RUN.sub(_token, _PATH_QUERY.sub("?*", name))[:200]

    def query(self, query: str) -> dict[str, str]:
        """The names in a query, with nothing of their values; an empty value for a name that stands alone."""
        found: dict[str, str] = {}
        for part in [part for part in re.split("[&;]", query) if part][:50]:
            name, has_value, _ = part.partition("=")
            found[_RUN.sub(_token, name)[:100]] = REDACTED if has_value else ""
            self.count += bool(has_value)
        return found

    def statement(self, text: str, *, vendor: str = "") -> str:
        """A statement without its literals. vendor: a text in which the database's kind occurs."""
        shown = normalised(text, double_quotes=any(name in vendor.lower() for name in ("mysql", "mariadb")))
        self.count += shown != " ".join(text.split())
        return shown

    def call(self, text: str) -> str:
        """A method and an address, or the key of a cache: without users, queries, tokens."""
        shown = _RUN.sub(_token, address(text))[:MOST_STATEMENT]
        self.count += shown != text
        return shown

    def _by_rule(self, name: str, value: str) -> str:
        if self._rule is None:
            return value
        try:
            return str(self._rule(name, value))
        except Exception as error:  # the application's own: without its rule nothing that it would judge is shown
            self.failed = repr(error)[:200]
            return REDACTED

    def summary(self) -> dict[str, Any]:
        """For the report: what was done."""
        rules = ["names", "headers", "query values", "addresses", "SQL literals"]
        if self._rule is not None:
            rules.append("framework")
        found: dict[str, Any] = {"removed": self.count, "rules": rules, "locals": "not captured"}
        if self.failed:
            found["framework_rule_failed"] = self.failed
        return found


def address(text: str) -> str:
    """Text in which addresses have neither user nor query."""
    if "://" not in text:
        return text
    return _ADDRESS_QUERY.sub(rf"\1?{REDACTED}", _USERINFO.sub("", text))


def uri(path: str, names: Mapping[str, str], stand_in: str = "*") -> str:
    """A path and the names in its query, with `stand_in` for values that were taken out."""
    query = "&".join(f"{name}={stand_in}" if value else name for name, value in names.items())
    return f"{path}?{query}" if query else path


def normalised(sql: str, *, double_quotes: bool = False) -> str:
    """A statement without literals, comments, repetitions, at most 2 kB: the same for all that differ in values only.

    double_quotes: strings may be written in them (MySQL). A string that is not closed ends with the text; what follows
    one with a backslash is left out, because databases do not agree where it ends.
    """
    # Only the beginning of a very long one (an INSERT of a thousand rows) can be shown anyway.
    pieces: list[str] = []
    at = 0
    sql = sql[: MOST_STATEMENT * 8]
    for match in _SQL.finditer(sql):
        pieces += (sql[at : match.start()], _piece(match, double_quotes))
        at = match.end()
        if "\\" in match[0] and match.lastgroup in ("string", "name"):
            pieces.append(" ...")
            break
    else:
        pieces.append(sql[at:])
    text = " ".join("".join(pieces).split())
    text = _ROWS.sub(r"\1, ...", _LIST.sub(r"(\1, ...)", text))
    if len(text.encode("utf-8", "replace")) > MOST_STATEMENT:
        cut = text.encode("utf-8", "replace")[: MOST_STATEMENT - 4].decode("utf-8", "ignore")
        return f"{cut} ..."
    return text


def _piece(match: re.Match[str], double_quotes: bool) -> str:
    kind, text = match.lastgroup, match[0]
    if kind == "tag":
        kind = "dollar"
    if kind in ("string", "dollar", "number") or (kind == "name" and double_quotes and text[0] == '"'):
        return "?"
    return " " if kind in ("comment", "space") else text


def _token(match: re.Match[str]) -> str:
    run = match[0]
    if "." not in run and not (re.search(r"\d", run) and re.search(r"[A-Za-z]", run)):
        return run
    return REDACTED
