"""Every error one part of the server may raise for another to act on: one class per thing a caller can do about it."""

from __future__ import annotations


class ServerError(Exception):
    """Base of all errors that end in one clear sentence for a person, never in a traceback of ours."""

    exit_code = 1


def lines_of(error: ServerError) -> list[str]:
    """What to tell a person: what was found on the way first, the application's traceback next, the reason last."""
    details = getattr(error, "details", "").rstrip()
    return [*getattr(error, "__notes__", ()), *([details] if details else []), str(error)]


class ConfigError(ServerError):
    """A setting cannot be used. `origin` is where it came from (`app.ini:3`, `command line`), `hint` the next step."""

    def __init__(self, origin: str, message: str, *, hint: str = "") -> None:
        self.origin, self.message, self.hint = origin, message, hint
        super().__init__(f"{origin}: {message}" + (f" ({hint})" if hint else ""))


class BindError(ServerError):
    """An address cannot be listened on."""

    def __init__(self, address: str, reason: str, *, hint: str = "") -> None:
        self.address, self.reason, self.hint = address, reason, hint
        super().__init__(f"cannot listen on {address}: {reason}" + (f" ({hint})" if hint else ""))


class AppLoadError(ServerError):
    """The application cannot be loaded; `details` is the traceback of its own code, if any (uWSGI's exit code 22)."""

    exit_code = 22

    def __init__(self, message: str, *, details: str = "") -> None:
        self.details = details
        super().__init__(message)


class ProtocolError(ServerError):
    """A peer broke its protocol or a limit: answer `status` (an HTTP status code), then close.

    answer: what the peer gets in the place of a response, where its protocol has something for that.
    """

    def __init__(self, status: int, detail: str, *, answer: bytes = b"") -> None:
        self.status, self.detail, self.answer = status, detail, answer
        super().__init__(f"{status}: {detail}")


class Aside(Exception):
    """What a peer sent is no request, and answered with `reply` (b"": not at all). `rest` is what it sent besides.

    goes_on: whether the connection waits for a request afterwards.
    """

    def __init__(self, reply: bytes, rest: bytes, *, goes_on: bool) -> None:
        self.reply, self.rest, self.goes_on = reply, rest, goes_on
        super().__init__()


class RequestBodyError(OSError):
    """Reading `wsgi.input` failed: if the application does not handle it, the answer is `status` (408, 400 or 413)."""

    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail
        super().__init__(f"error while reading the request body: {detail}")


class ClientGone(OSError):
    """The client left before its answer was complete. An `OSError`, as uWSGI raises for `write()`."""


class HarakiriTimeout(BaseException):
    """The request's time is over. Raised in the middle of the application's code by the server.

    No `Exception`, so that `except Exception` does not keep a request alive: code that catches everything must let it
    pass. `limit` is in seconds, 0 where it is not known.
    """

    def __init__(self, message: str = "the request's deadline has passed", *, limit: float = 0.0) -> None:
        self.limit = limit
        super().__init__(message)
