"""Files served before the application: `static-map`, `check-static` and their like. A WSGI application around another.

Only loaded and put in front of the application when an option leads to files. Small files go out with their head in one
send; of larger ones the reactor sends what the client does not take at once, so that a download holds no core.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from time import time
from typing import Any, TypeAlias
from urllib.parse import quote

from uwsgi_deploy.config.settings.static import StaticSettings
from uwsgi_deploy.config.static import Expiry, Subject, expiries_of, mappings_of
from uwsgi_deploy.protocol.http_dates import format_date
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.protocol.selection import (
    NOT_MODIFIED,
    OK,
    precondition,
    preferred_codings,
    range_applies,
    ranges_of,
)
from uwsgi_deploy.wsgi.file_wrapper import FileWrapper
from uwsgi_deploy.wsgi.media_types import type_of, types_by_suffix
from uwsgi_deploy.wsgi.static_lookup import Found, Lookup, Obstacle, roots_of

Application: TypeAlias = Callable[..., Iterable[bytes]]
StartResponse: TypeAlias = Callable[..., Any]
Headers: TypeAlias = list[tuple[str, str]]

READING = frozenset({"GET", "HEAD"})
# Up to here a file is read and sent with its head; sendfile would be one more call, and the head a packet of its own.
_SMALL = 65536
# Several ranges are put together in memory; more than this is answered with the whole file (RFC 9110 §14.2).
_MOST_JOINED = 1 << 20
_YEAR = 31_536_000
_SUFFIXES = {"br": b".br", "zstd": b".zst", "gzip": b".gz"}
_CODINGS = tuple(_SUFFIXES)


def serve_files(settings: StaticSettings, application: Application, *, log: Callable[[str], None]) -> Application:
    """The application with the files of `settings` in front of it. Called in the process that loads the application."""
    mappings = mappings_of(settings)
    for mapping in mappings:
        if not os.path.exists(mapping.place):
            log(f"*** WARNING: static files: {mapping.place} does not exist (yet) ***")
    lookup = Lookup(
        roots_of(mappings),
        safe=settings.static_safe,
        index=settings.static_index,
        skipped=settings.static_skip_ext,
        seconds=settings.static_cache_paths,
        log=log,
    )
    return StaticFiles(lookup, Manner(settings, types_by_suffix(settings.mime_file, log=log)), application)


class StaticFiles:
    """See the module."""

    def __init__(self, lookup: Lookup, manner: Manner, application: Application) -> None:
        self._lookup, self._manner, self._application = lookup, manner, application
        self._prefixes = tuple(root.prefix for root in lookup.roots)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(self._prefixes) and environ["REQUEST_METHOD"] in READING:
            found = self._lookup.find(path)
            if type(found) is Found:
                return self.answer(environ, start_response, found, path)
            if found is Obstacle.NEEDS_SLASH:
                return _redirect(environ, start_response, path)
            if found is Obstacle.FORBIDDEN:
                return _say(start_response, "403 Forbidden")
        return self._application(environ, start_response)

    def answer(self, environ: Environ, start_response: StartResponse, found: Found, path: str) -> Iterable[bytes]:
        """The answer with a file. Its descriptor is closed here, unless it is in the body."""
        headers = self._manner.headers(environ, found, path)
        if self._manner.may_be_packed and self._manner.is_packed(found.real):
            headers.append(("Vary", "Accept-Encoding"))
            found = self._packed(found, environ.get("HTTP_ACCEPT_ENCODING", ""), headers)
        try:
            body = _respond(environ, start_response, found, headers)
        except BaseException:
            os.close(found.fd)
            raise
        if type(body) is not FileWrapper:
            os.close(found.fd)
        return body

    def _packed(self, found: Found, accept_encoding: str, headers: Headers) -> Found:
        """The best variant that was packed beforehand and that the client takes, or the file itself."""
        for coding in preferred_codings(accept_encoding, _CODINGS) if accept_encoding else ():
            if variant := self._lookup.beside(found, _SUFFIXES[coding]):
                os.close(found.fd)
                headers.append(("Content-Encoding", coding))
                return variant
        return found


def _respond(environ: Environ, start_response: StartResponse, found: Found, headers: Headers) -> Iterable[bytes]:
    """The whole file or a part of it, or why there is nothing to send (RFC 9110 §13.2.2: in this order)."""
    status = found.status
    size, modified = status.st_size, int(status.st_mtime)
    etag = f'"{status.st_mtime_ns:x}-{size:x}-{status.st_ino:x}"'
    headers += (("Last-Modified", format_date(modified)), ("ETag", etag), ("Accept-Ranges", "bytes"))
    verdict = precondition(environ, etag, modified)
    if verdict != OK:
        return _decline(start_response, verdict, headers)
    ranges: list[tuple[int, int]] | None = None
    asked = environ.get("HTTP_RANGE")
    is_head = environ["REQUEST_METHOD"] == "HEAD"
    if asked is not None and not is_head and range_applies(environ, etag, modified):
        ranges = ranges_of(asked, size)
    if ranges is not None and len(ranges) > 1:
        if sum(count for _, count in ranges) <= _MOST_JOINED:
            return _parts(start_response, found.fd, ranges, size, headers)
        ranges = None
    if ranges is None:
        first, count, line = 0, size, "200 OK"
    elif not ranges:
        return _say(start_response, "416 Range Not Satisfiable", [("Content-Range", f"bytes */{size}")])
    else:
        ((first, count),), line = ranges, "206 Partial Content"
        headers.append(("Content-Range", f"bytes {first}-{first + count - 1}/{size}"))
    headers.append(("Content-Length", str(count)))
    start_response(line, headers)
    if is_head:
        return []
    return [os.pread(found.fd, count, first)] if count <= _SMALL else FileWrapper(OpenFile(found.fd, first))


class OpenFile:
    """What FileWrapper has to know of a file to have it sent with sendfile(2). Owns the descriptor."""

    __slots__ = ("_fd", "_position")

    def __init__(self, fd: int, position: int) -> None:
        self._fd, self._position = fd, position

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def tell(self) -> int:
        """Where to begin, in bytes."""
        return self._position

    def read(self, size: int) -> bytes:
        """The next bytes, for whoever cannot send a file but iterates over the wrapper."""
        data = os.pread(self._fd, size, self._position)
        self._position += len(data)
        return data

    def close(self) -> None:
        """Close the descriptor, once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Manner:
    """How files are sent: their types, how long clients keep them, and which of them are packed."""

    def __init__(self, settings: StaticSettings, types: dict[str, str]) -> None:
        self._types = types
        self._expiries = expiries_of(settings)
        self._immutable = tuple(re.compile(pattern) for pattern in settings.static_immutable)
        self._packs_all = settings.static_gzip_all
        self._packed = tuple(re.compile(pattern) for pattern in settings.static_gzip)
        self._packed_below = tuple(os.path.realpath(place).rstrip("/") + "/" for place in settings.static_gzip_dir)
        self._packed_suffixes = settings.static_gzip_ext
        self.may_be_packed = bool(self._packs_all or self._packed or self._packed_below or self._packed_suffixes)

    def headers(self, environ: Environ, found: Found, path: str) -> Headers:
        """The type of a file, and how long it may be kept."""
        name = os.fsdecode(found.real)
        kind = type_of(name, self._types)
        headers = [("Content-Type", kind)]
        if any(pattern.search(path) for pattern in self._immutable):
            headers.append(("Cache-Control", f"public, max-age={_YEAR}, immutable"))
            return headers
        if self._expiries:
            subjects = {
                Subject.REQUEST_URI: environ.get("REQUEST_URI", ""),
                Subject.PATH_INFO: path,
                Subject.TYPE: kind,
                Subject.FILE: name,
            }
            rule = next((rule for rule in self._expiries if rule.pattern.search(subjects[rule.subject])), None)
            if rule is not None:
                headers += _kept(rule, found.status.st_mtime)
        return headers

    def is_packed(self, real: bytes) -> bool:
        """Whether there may be a packed variant of a file."""
        name = os.fsdecode(real)
        return (
            self._packs_all
            or name.startswith(self._packed_below)
            or name.endswith(self._packed_suffixes)
            or any(pattern.search(name) for pattern in self._packed)
        )


def _kept(rule: Expiry, modified: float) -> Headers:
    now = time()
    expires = int((modified if rule.since_change else now) + rule.seconds)
    return [("Expires", format_date(expires)), ("Cache-Control", f"max-age={max(0, round(expires - now))}")]


def _decline(start_response: StartResponse, verdict: int, headers: Headers) -> Iterable[bytes]:
    """304 with what the client may need to know anew (RFC 9110 §15.4.5), or 412."""
    if verdict == NOT_MODIFIED:
        kept = [field for field in headers if field[0] not in ("Content-Type", "Content-Encoding", "Accept-Ranges")]
        start_response("304 Not Modified", kept)
        return []
    return _say(start_response, "412 Precondition Failed")


def _parts(
    start_response: StartResponse, fd: int, ranges: list[tuple[int, int]], size: int, headers: Headers
) -> Iterable[bytes]:
    """Several ranges in one answer (RFC 9110 §14.6)."""
    boundary = os.urandom(12).hex()
    kind = headers[0][1]
    pieces: list[bytes] = []
    for first, count in ranges:
        place = f"bytes {first}-{first + count - 1}/{size}"
        head = f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {place}\r\n\r\n"
        pieces += (head.encode("latin-1"), os.pread(fd, count, first))
    body = b"".join((*pieces, f"\r\n--{boundary}--\r\n".encode()))
    fields = [("Content-Type", f"multipart/byteranges; boundary={boundary}"), *headers[1:]]
    start_response("206 Partial Content", [*fields, ("Content-Length", str(len(body)))])
    return [body]


def _redirect(environ: Environ, start_response: StartResponse, path: str) -> Iterable[bytes]:
    """To the same directory with a slash at the end, so that relative links in its index work.

    The reference is relative: whatever is in front of this server may have cut a prefix off, and a path that begins
    with two slashes would be another host (RFC 3986 §4.2).
    """
    last = quote(path.rpartition("/")[2], safe="", encoding="latin-1")
    query = environ.get("QUERY_STRING")
    return _say(start_response, "301 Moved Permanently", [("Location", f"./{last}/" + (f"?{query}" if query else ""))])


def _say(start_response: StartResponse, status: str, headers: Headers | None = None) -> Iterable[bytes]:
    """An answer without a file."""
    body = status.partition(" ")[2].encode("ascii")
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *(headers or ())])
    return [body]
