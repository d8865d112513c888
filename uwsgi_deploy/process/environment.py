"""Environment variables that the server itself removes (`unenv`) and reads from directories (`envdir`).

Done in the first process before privileges are dropped: directories of secrets are root's as a rule.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping

from uwsgi_deploy.errors import ConfigError

Variables = dict[str, str | None]
"""Names and values; None for a variable that is to be removed."""


def change_environment(
    environ: MutableMapping[str, str],
    *,
    remove: Iterable[str],
    directories: Iterable[str],
    known: Mapping[str, Variables],
) -> dict[str, Variables]:
    """Remove variables, then take those of the directories, later ones stronger; what each directory had.

    known: what this process read before it gave up root and executed itself, for directories that are closed to it by
    now. ConfigError if another one cannot be read.
    """
    for name in remove:
        environ.pop(name, None)
    found = {}
    for directory in directories:
        is_closed = directory in known and not os.access(directory, os.R_OK | os.X_OK)
        variables = known[directory] if is_closed else dict(variables_in(directory))
        found[directory] = variables
        for name, value in variables.items():
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = value
    return found


def variables_in(directory: str) -> Iterator[tuple[str, str | None]]:
    """The variables of a directory, in the form of daemontools' envdir: the name of a file and its first line without
    blanks at its end, in which NUL stands for a newline; None for an empty file, which removes the variable."""
    try:
        names = sorted(name for name in os.listdir(directory) if not name.startswith(".") and "=" not in name)
        for name in names:
            path = os.path.join(directory, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
                line = content.partition(b"\n")[0].rstrip(b" \t").replace(b"\0", b"\n")
                yield name, os.fsdecode(line) if content else None
    except OSError as error:
        raise ConfigError("envdir", f"cannot read {error.filename or directory}: {error.strerror}") from None
