"""`uwsgi.opt`: the configuration as the application sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uwsgi_deploy.types import AsWritten

Value = bytes | bool | list[bytes | bool]


class Options(dict[str, Value]):
    """Names to bytes, to True for an option without a value, to a list for one that was given several times.

    Keys are str; libraries that were written for Python 2 ask with bytes, and are answered, too.
    """

    def __missing__(self, key: object) -> Value:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value  # type: ignore[no-any-return]

    def get(self, key: Any, default: Any = None) -> Any:
        """As a dict's, for str and bytes."""
        return super().get(key.decode("utf-8", "replace") if isinstance(key, bytes) else key, default)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key.decode("utf-8", "replace") if isinstance(key, bytes) else key)


def options_of(written: AsWritten, *, master: bool) -> Options:
    """What was written, and what is so whatever was written: threads, fork hooks, and the master if there is one.

    Sentry and ddtrace refuse or complain when these are missing.
    """
    values: dict[str, list[bytes | bool]] = {}
    for name, text in written:
        values.setdefault(name, []).append(True if text is None else text.encode("utf-8", "surrogateescape"))
    always = ("enable-threads", "py-call-uwsgi-fork-hooks", *(("master",) if master else ()))
    return Options({**_single_or_list(values.items()), **dict.fromkeys(always, True)})


def _single_or_list(items: Iterable[tuple[str, list[bytes | bool]]]) -> dict[str, Value]:
    return {name: found[0] if len(found) == 1 else found for name, found in items}
