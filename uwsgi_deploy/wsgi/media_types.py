"""Which type a file has, by its name: Python's table, and files in the form of /etc/mime.types (`mimefile`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from mimetypes import MimeTypes

UNKNOWN = "application/octet-stream"
SYSTEM_FILES = ("/etc/mime.types", "/etc/apache2/mime.types")
# Python takes these for codings of something else; a file that is asked for by such a name is sent as what it is.
_PACKED = {
    ".gz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".xz": "application/x-xz",
    ".zst": "application/zstd",
    ".br": "application/x-brotli",
    ".z": "application/x-compress",
}


def types_by_suffix(files: Iterable[str], *, log: Callable[[str], None]) -> dict[str, str]:
    """Suffix, with its dot and in small letters, to type. A file that cannot be read is told of."""
    known = MimeTypes()
    given = tuple(files)
    for name in given or SYSTEM_FILES:
        try:
            known.read(name)
        except (OSError, ValueError) as error:
            if given:
                reason = getattr(error, "strerror", None) or error
                log(f"*** WARNING: mime-file: {name} cannot be read: {reason} ***")
    return {**known.types_map[False], **_PACKED, **known.types_map[True]}


def type_of(name: str, types: dict[str, str]) -> str:
    """The type of the file that a path leads to."""
    dot = name.rfind(".")
    return types.get(name[dot:].lower(), UNKNOWN) if dot > name.rfind("/") else UNKNOWN
