"""Files that the server sends itself, before the application is asked."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Seconds


@dataclass(frozen=True, slots=True)
class StaticSettings:
    """Files that are served without the application: GET and HEAD; what is not there is the application's."""

    static_map: tuple[str, ...] = option(
        (),
        help="Serve files: /prefix=/directory, or /robots.txt=/file. The first file that exists is sent. Repeatable.",
    )
    static_map2: tuple[str, ...] = option(
        (),
        help="As static-map, but the prefix is kept: /prefix=/directory serves /directory/prefix. Repeatable.",
    )
    check_static: tuple[str, ...] = option(
        (),
        "static-check",
        help="Look for every request's path in this directory before the application is asked. Repeatable.",
    )
    static_index: tuple[str, ...] = option(
        (), help="Name of the file that is sent for a directory, such as index.html; without it none is. Repeatable."
    )
    static_skip_ext: tuple[str, ...] = option((), help="Never serve paths that end so, such as .py. Repeatable.")
    static_safe: tuple[str, ...] = option(
        (),
        help="A directory that links in served ones may lead to; no other link out of them is followed. Repeatable.",
    )
    static_cache_paths: Seconds = option(
        0.0, help="Remember for this long, in each worker, which file a path leads to; 0 looks each time."
    )
    mime_file: tuple[str, ...] = option(
        (),
        "mimefile",
        help="Read types by file extension here instead of in /etc/mime.types and /etc/apache2/mime.types. Repeatable.",
    )
    static_expires: tuple[str, ...] = option(
        (), help="REGEXP SECONDS: files whose path on disk matches may be kept by clients for this long. Repeatable."
    )
    static_expires_mtime: tuple[str, ...] = option(
        (), help="As static-expires, counted from the file's change. Repeatable."
    )
    static_expires_type: tuple[str, ...] = option(
        (), help="TYPE=SECONDS: as static-expires, by Content-Type. Repeatable."
    )
    static_expires_type_mtime: tuple[str, ...] = option(
        (), help="As static-expires-type, counted from the file's change. Repeatable."
    )
    static_expires_uri: tuple[str, ...] = option(
        (), help="REGEXP SECONDS: as static-expires, by REQUEST_URI. Repeatable."
    )
    static_expires_uri_mtime: tuple[str, ...] = option(
        (), help="As static-expires-uri, counted from the file's change. Repeatable."
    )
    static_expires_path_info: tuple[str, ...] = option(
        (), help="REGEXP SECONDS: as static-expires, by PATH_INFO. Repeatable."
    )
    static_expires_path_info_mtime: tuple[str, ...] = option(
        (), help="As static-expires-path-info, counted from the file's change. Repeatable."
    )
    static_immutable: tuple[str, ...] = option(
        (),
        help="REGEXP: files whose PATH_INFO matches never change: clients keep them for a year. Repeatable.",
    )
    static_gzip_all: bool = option(
        False, help="Send FILE.br, FILE.zst or FILE.gz in place of any FILE to clients that accept it."
    )
    static_gzip: tuple[str, ...] = option(
        (), help="REGEXP: as static-gzip-all, for files whose path on disk matches. Repeatable."
    )
    static_gzip_dir: tuple[str, ...] = option(
        (), "static-gzip-prefix", help="As static-gzip-all, for files below this directory. Repeatable."
    )
    static_gzip_ext: tuple[str, ...] = option(
        (), "static-gzip-suffix", help="As static-gzip-all, for files that end so, such as .css. Repeatable."
    )
