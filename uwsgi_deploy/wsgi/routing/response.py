"""A response that rules may change: headers they add and remove, the error chain, the response chain, the final one.

Takes the place of `wsgi.response.Response` where rules want that; all others pay nothing for it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from uwsgi_deploy.wsgi.response import ExcInfo, Response
from uwsgi_deploy.wsgi.routing.answers import with_reason
from uwsgi_deploy.wsgi.routing.chain import CHANGES, Answer, Chain, Changes

_FIRST_ERROR = 400


class Replaced(Exception):
    """The application's body is not sent: a rule has answered its error."""


class RoutedResponse(Response):
    """See the module. A worker's class is made of this one, with its chains (`of`)."""

    errors: ClassVar[Chain | None] = None
    responses: ClassVar[Chain | None] = None
    finals: ClassVar[Chain | None] = None
    log: ClassVar[Callable[[str], None]]

    _replacement: Iterable[bytes] | None = None
    _is_over = False

    # -- the head ------------------------------------------------------------------------------------------------------

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's, with what the rules make of it. A status or headers that are none are refused as always."""
        if self.started or not (isinstance(status, str) and status[:3].isdigit() and isinstance(headers, list)):
            return super().start_response(status, headers, exc_info)
        environ = self.connection.environ
        assert environ is not None
        changes: Changes | None = environ.get(CHANGES)
        self._drop_replacement()
        if int(status[:3]) >= _FIRST_ERROR and self.errors is not None:
            changes = Changes() if changes is None else changes.copy()
            answer = self._run(self.errors, int(status[:3]), changes)
            if answer is not None:
                self._replace(answer, exc_info, changes)
                return _drop
            if changes.status:
                status = with_reason(changes.status)
        return self._start_with(status, headers, exc_info, changes)

    def _start_with(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None, changes: Changes | None
    ) -> Callable[[bytes], None]:
        if self.responses is not None:
            changes = Changes() if changes is None else changes.copy()
            changes.status = ""
            self._run(self.responses, int(status[:3]), changes)
            if changes.status:
                status = with_reason(changes.status)
        return super().start_response(status, headers if changes is None else changes.apply(headers), exc_info)

    def _replace(self, answer: Answer, exc_info: ExcInfo | None, changes: Changes) -> None:
        """Answer in place of whoever has made this error."""

        def start(status: str, headers: list[tuple[str, str]]) -> Callable[[bytes], None]:
            return self._start_with(status, headers, exc_info, changes)

        self._replacement = answer(self.connection.environ, start)

    def _run(self, chain: Chain, status: int, changes: Changes) -> Answer | None:
        """Run a chain in the middle of a response, which must not fail because of it."""
        try:
            return chain.run(self.connection.environ or {}, status, changes)
        except Exception:
            type(self).log(f"a routing rule failed:\n{traceback.format_exc().rstrip()}")
            return None

    # -- the body ------------------------------------------------------------------------------------------------------

    def send(self, result: Iterable[bytes]) -> None:
        """As always, or the answer that a rule has given instead; and then the final chain."""
        try:
            if self._replacement is None:
                try:
                    super().send(result)
                except Replaced:
                    pass
            if self._replacement is not None:
                self._send_replacement()
        finally:
            self._end()

    def fail(self, status: int, text: str | None = None, kind: str = "text/plain; charset=utf-8") -> bool:
        """As always; the error chain sees the server's own errors, too."""
        try:
            return super().fail(status, text, kind)
        finally:
            self._end()

    def give_way(self, send: Callable[[Iterable[bytes]], None], fail: Callable[..., bool]) -> None:
        """As always; the final chain comes when the conversation is over."""

        def send_and_end(result: Iterable[bytes]) -> None:
            try:
                send(result)
            finally:
                self._end()

        super().give_way(send_and_end, fail)

    def _send_whole(self, body: bytes) -> None:
        if self._replacement is not None:  # of an error that the server answers
            self._send_replacement()
        else:
            super()._send_whole(body)

    def _first_block(self, iterator: Iterator[bytes]) -> bytes | None:
        """An application that is a generator calls start_response() in here."""
        block = super()._first_block(iterator)
        if self._replacement is not None:
            raise Replaced
        return block

    def _send_replacement(self) -> None:
        replacement, self._replacement = self._replacement, None
        assert replacement is not None
        try:
            super().send(replacement)
        finally:
            _close(replacement)

    def _drop_replacement(self) -> None:
        """There is another error: this answer will not be sent."""
        if self._replacement is not None:
            _close(self._replacement)
            self._replacement = None

    def _end(self) -> None:
        """The final chain, once."""
        if self.finals is not None and not self._is_over:
            self._is_over = True
            self._run(self.finals, self.status, Changes())


def _close(body: Iterable[bytes]) -> None:
    """PEP 3333: as for an application's."""
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _drop(_data: bytes) -> None:
    """write() of an application whose error a rule has answered."""


def class_of(
    errors: Chain | None, responses: Chain | None, finals: Chain | None, log: Callable[[str], None]
) -> type[RoutedResponse]:
    """The class for a worker's responses."""
    attributes: dict[str, Any] = {"errors": errors, "responses": responses, "finals": finals, "log": staticmethod(log)}
    return type("RoutedResponse", (RoutedResponse,), attributes)
