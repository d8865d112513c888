"""`harakiri-hook`: a program that reads the report from its standard input, or an address that it is sent to."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Callable
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from uwsgi_deploy.reports.redaction import address
from uwsgi_deploy.reports.report import Report
from uwsgi_deploy.reports.sinks.sink import Sink

SECONDS = 5.0
_MOST_OUTPUT = 500


def find(hook: str) -> Sink:
    """The sink for one value of the option."""
    kind, _, rest = hook.partition(":")
    if kind == "exec":
        return Sink(f"harakiri-hook {hook}", SECONDS + 1, lambda report, write: _execute(rest, report, write))
    name = f"harakiri-hook {address(hook)}"
    return Sink(name, SECONDS + 1, lambda report, write: _post(hook, name, report, write))


def _execute(path: str, report: Report, write: Callable[[str], None]) -> None:
    """Run the program, without a shell; its group is killed when it takes too long."""
    process = subprocess.Popen(
        [path],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(_encoded(report), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        write(f"HARAKIRI: the hook {path} was killed, it took longer than {SECONDS:g} s (report {report['id']})")
        return
    finally:
        for stream in (process.stdin, process.stderr):
            if stream is not None:
                stream.close()
    if process.returncode:
        said = errors.decode("utf-8", "replace").strip()[-_MOST_OUTPUT:]
        write(f"HARAKIRI: the hook {path} ended with {process.returncode} (report {report['id']}): {said!r}")


def _post(url: str, name: str, report: Report, write: Callable[[str], None]) -> None:
    """POST the report as JSON."""
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json", "User-Agent": "uwsgi-deploy"}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(user).decode('ascii')}"
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    try:
        with urlopen(Request(url, _encoded(report), headers), timeout=SECONDS) as answer:
            answer.read(_MOST_OUTPUT)
    except HTTPError as error:
        with error:
            write(f"HARAKIRI: {name} answered {error.code} {error.reason} to report {report['id']}")


def _encoded(report: Report) -> bytes:
    return json.dumps(report, ensure_ascii=False, default=str).encode("utf-8", "replace")
