"""The one thing that all sources of configuration have in common: an option as it was written, and where."""

from __future__ import annotations

from dataclasses import dataclass

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class RawOption:
    """One option as text. `value` is None when the option was given bare; `origin` names the place for messages."""

    name: str
    value: str | None
    origin: str

    @property
    def text(self) -> str:
        """The value as uWSGI shows it: a bare option reads as true."""
        return "true" if self.value is None else self.value
