"""From a request's key to the address of its server (`…-use-base`, `…-use-pattern`). Pure.

Keys come from clients: one never leads out of the directory that the configuration names, nor to another kind of
address than the one that it begins.
"""

from __future__ import annotations

import re

from uwsgi_deploy.errors import ConfigError

# A host name has 253 characters at most (RFC 1035 §2.3.4), and may have a port.
LONGEST_KEY = 260

# Parts between slashes, none of them empty: so no key begins with a slash. Not `.` or `..`.
_KEY = re.compile(r"(?!@|\\)(?:(?!\.{1,2}(?:/|\Z))[^/\x00-\x20\x7f]+(?:/(?!\Z)|\Z))+")


def is_safe(key: str) -> bool:
    """Whether a key may become part of an address."""
    return len(key) <= LONGEST_KEY and _KEY.fullmatch(key) is not None


def address_for(base: str, pattern: str, key: str) -> str:
    """The text of the address: `pattern` with the key for %s, or `base` followed by it. Raises ConfigError."""
    if not is_safe(key):
        raise ConfigError("key", "is empty, too long, or leads elsewhere")
    return pattern.replace("%s", key) if pattern else base + key
