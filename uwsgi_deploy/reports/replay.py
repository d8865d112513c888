"""The request of a report as a curl command, to be tried again by hand. What a report does not have is REDACTED."""

from __future__ import annotations

import shlex
from urllib.parse import quote, urlsplit

from uwsgi_deploy.reports.redaction import REDACTED
from uwsgi_deploy.reports.report import Report

STAND_IN = "REDACTED"
# What curl says by itself, what belongs to the old connection, and what tells how the old request came here.
_LEFT_OUT = ("host", "connection", "content-length", "transfer-encoding", "expect", "te", "via", "forwarded", "upgrade")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


def curl_command(report: Report, base: str = "") -> str:
    """A command for a shell, several lines long; lines that begin with # tell what has to be filled in.

    base: where to send it (`http://127.0.0.1:8000`); the request's own host without one.
    """
    request = report["request"]
    headers = _headers(request["headers"], to_another=bool(base))
    if base and request["host"]:
        headers = [f"Host: {request['host']}", *headers]
    words = [["curl", "--include", "--max-time", f"{round(report['timing']['limit'] + 10)}"]]
    if request["method"] == "HEAD":
        words.append(["--head"])
    elif request["method"] != "GET":
        words.append(["--request", request["method"]])
    words += [["--header", header] for header in headers]
    has_body = bool(request["content_length"]) or (request["method"] in _BODY_METHODS)
    if has_body:
        words.append(["--data-binary", "@body"])
    words.append([_url(report, base)])
    command = " \\\n  ".join(" ".join(map(shlex.quote, line)) for line in words)
    return "\n".join([*_comments(report, headers, has_body=has_body), command])


def _headers(headers: dict[str, str], *, to_another: bool) -> list[str]:
    """Headers as curl takes them."""
    shown = []
    for name, value in headers.items():
        lowered = name.lower()
        if lowered in _LEFT_OUT or (lowered.startswith("x-forwarded-") and not to_another):
            continue
        value = value.replace(REDACTED, STAND_IN)
        # curl takes an empty value for "do not send this header".
        shown.append(f"{name}: {value}" if value else f"{name};")
    return shown


def _url(report: Report, base: str) -> str:
    request = report["request"]
    if not base:
        base = f"{request['scheme'] or 'http'}://{request['host'] or 'localhost'}"
    path = quote(request["path"].replace(REDACTED, STAND_IN), safe="/%:@!$&'()*+,;=~-._")
    query = "&".join(f"{name}={STAND_IN}" if value else name for name, value in request["query"].items())
    url = base.rstrip("/") + (path if path.startswith("/") else f"/{path}")
    return f"{url}?{quote(query, safe='%=&+/:,;~-._')}" if query else url


def _comments(report: Report, headers: list[str], *, has_body: bool) -> list[str]:
    request = report["request"]
    lines = [f"# {report['id']}: {report['kind']}, {report['time']}"]
    missing = [f"parameter {name}" for name, value in request["query"].items() if value]
    missing += [f"header {header.partition(':')[0]}" for header in headers if header.endswith(f": {STAND_IN}")]
    if STAND_IN in _url(report, "http://x").partition("?")[0]:
        missing.append("a part of the path")
    if missing:
        lines.append(f"# {STAND_IN} stands for what the report does not have: {', '.join(missing)}")
    if has_body:
        size = request["content_length"]
        lines.append("# the file body has to be made" + (f": the request had one of {size} bytes" if size else ""))
    if not urlsplit(_url(report, "")).netloc or not request["host"]:
        lines.append("# the host is not known: the request was reported from outside of its worker")
    return ["".join(c if c.isprintable() else "?" for c in line) for line in lines]
