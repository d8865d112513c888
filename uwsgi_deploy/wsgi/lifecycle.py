"""What happens to a request: call the application, send what it returns, close it, and contain whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, TypeAlias

from uwsgi_deploy.errors import ClientGone, HarakiriTimeout, RequestBodyError
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.protocol.responses import prefers_json, timeout_body
from uwsgi_deploy.wsgi.failures import Failures, describe
from uwsgi_deploy.wsgi.response import CLOSING, Response

Application: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Outcome(Enum):
    """How a request ended."""

    SERVED = "the response is whole (or will be, once the client takes it)"
    FAILED = "the application raised; the client got 500"
    UNREADABLE = "the request body could not be read; the client got 400, 408 or 413"
    CUT = "the application raised after the response began; the connection has to be cut"
    GONE = "the client left before the response was whole"
    TIMED_OUT = "its time was over; the client got 504"
    TAKEN = "its time was over; somebody else has answered, or cut the connection"


# How libraries that took the connection over tell Werkzeug's and gunicorn's servers that there is nothing left to do.
DONE = (ConnectionError, StopIteration)
# Python 3.11 looks an enum's member up with a function call; on the request path these names are used instead.
SERVED, FAILED, UNREADABLE, CUT, GONE, TIMED_OUT, TAKEN = Outcome


def handle_request(application: Application, environ: Environ, response: Response, failures: Failures) -> Outcome:
    """Run the application for one request. Raises nothing but HarakiriTimeout, which whoever ends requests sees to: not
    even SystemExit ends a worker (PEP 3333 has no exits).

    failures: what is done about exceptions.
    """
    try:
        result = application(environ, response.start_response)
        try:
            response.send(result)
        finally:
            # PEP 3333: called on every path, once. A list has none, and is what most frameworks' fast paths return.
            if type(result) is not list:
                close = getattr(result, "close", None)
                if close is not None:
                    _close(close, environ, failures)
    except ClientGone:
        return GONE
    except RequestBodyError as error:
        failures.report(f"{error}: {environ['REQUEST_METHOD']} {environ.get('REQUEST_URI', '')!r}")
        return UNREADABLE if _answer_error(response, error.status) is FAILED else CUT
    except HarakiriTimeout:
        raise
    except BaseException as error:
        if response.gave_way and isinstance(error, DONE):
            response.send(())
            return SERVED
        failures.note(error, environ)
        return _answer_error(response, 500, failures.page(error, environ))
    return SERVED


def _close(close: Callable[[], object], environ: Environ, failures: Failures) -> None:
    """The response is out, or its error is on its way: what close() raises is only reported."""
    try:
        close()
    except HarakiriTimeout:
        raise
    except BaseException as error:
        failures.report(describe(error, environ, "close() of the application's response failed"))


def _answer_error(response: Response, status: int, text: str | None = None) -> Outcome:
    try:
        return FAILED if response.fail(status, text) else CUT
    except ClientGone:
        return GONE


def answer_timeout(environ: Environ, response: Response) -> Outcome:
    """Its time was over: tell the client if nothing was sent, and end the connection, unless the response was whole."""
    if response.delivery.phases[response.core] == CLOSING:
        return SERVED
    response.connection.keep_alive = False
    kind, text = timeout_body(as_json=prefers_json(environ.get("HTTP_ACCEPT", "")))
    try:
        if response.fail(504, text, kind):
            return TIMED_OUT
    except ClientGone:
        return GONE
    response.status = 504  # for the log: what the client saw of the response says nothing
    return CUT
