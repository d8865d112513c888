"""How a settings field declares an option: default, names, help and kind in one place; everything else is derived.

    processes: int = option(1, "workers", "-p", help="Number of worker processes.")

The field name with dashes is the option's first name. A `bool` field is a flag, a `tuple[str, ...]` field may be
repeated. `inverse` names set a flag to false (uWSGI's `disable-logging`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

METADATA_KEY = "uwsgi-deploy option"


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a settings field says about its option beyond name, type and default."""

    aliases: tuple[str, ...]
    inverse: tuple[str, ...]
    help: str
    optional_value: str | None
    choices: tuple[str, ...]
    always: bool
    distinct: bool


def option(
    default: Any,
    *aliases: str,
    help: str,
    inverse: tuple[str, ...] = (),
    optional_value: str | None = None,
    choices: tuple[str, ...] = (),
    always: bool = False,
    distinct: bool = False,
) -> Any:
    """Declare a settings field as an option.

    aliases: other names, as uWSGI spells them; one that begins with a dash is a short flag (`-p`).
    inverse: names of flags that mean "not this".
    optional_value: what the option means when it is given without a value (uWSGI's optional arguments).
    choices: the only values that are accepted.
    always: the behaviour is always on here; switching it off is answered with a warning, never obeyed in silence.
    distinct: of a repeatable option whose names mean different things (`route`, `route-host`): values keep the name
    that they were given by, and their common order. They are read in `Settings.routes`.
    """
    declaration = Declaration(aliases, inverse, help, optional_value, choices, always, distinct)
    return dataclasses.field(default=default, metadata={METADATA_KEY: declaration})
