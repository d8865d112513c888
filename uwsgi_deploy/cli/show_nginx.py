"""`--show-nginx`: the part of an nginx configuration that fits the server's options. Pure, but for the directory.

What both have to agree on is written once, in the server's options: the socket and its protocol, how large a body may
be, how long clients and requests may take, which paths are files. The text goes into nginx's block `http`
(Debian: a file in /etc/nginx/sites-enabled). Options that nginx cannot follow are a ConfigError.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import fields

from uwsgi_deploy.config.routes import routes_of
from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.static import Mapping, Subject, expiries_of, mapping_of
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.net.address import InheritedAddress, TcpAddress, UnixAddress, parse_address
from uwsgi_deploy.types import Protocol

ANY_NAME = "_"
OPTION = "show-nginx"

# What nginx passes on without being asked to differs between its protocols; HTTP_HOST and the like are added below.
_VARIABLES = {
    "QUERY_STRING": "$query_string",
    "REQUEST_METHOD": "$request_method",
    "CONTENT_TYPE": "$content_type",
    "CONTENT_LENGTH": "$content_length",
    "REQUEST_URI": "$request_uri",
    "PATH_INFO": "$document_uri",
    "DOCUMENT_ROOT": "$document_root",
    "SERVER_PROTOCOL": "$server_protocol",
    "REQUEST_SCHEME": "$scheme",
    "HTTPS": "$https if_not_empty",
    "REMOTE_ADDR": "$remote_addr",
    "REMOTE_PORT": "$remote_port",
    "SERVER_PORT": "$server_port",
    "SERVER_NAME": "$server_name",
}
_PASSING = {Protocol.UWSGI: "uwsgi", Protocol.FASTCGI: "fastcgi", Protocol.SCGI: "scgi", Protocol.HTTP: "proxy"}
"""What is spoken to the first word of nginx's directives, in the order in which a socket is chosen."""

# nginx would have to be told how to trust these; between the two of them nobody needs TLS.
_SECURED = ("https-socket", "suwsgi-socket")

_PLAIN = re.compile(r"[][A-Za-z0-9_./:@%+=,~*-]+")
_KEPT = 8
# nginx waits a little longer than the server, so that the client gets the server's answer and not nginx's.
_LONGER = 5
_NO_LIMIT = "1d"
_YEAR = 31536000
# What becomes of the options about files; the gzip family is one word to nginx.
_TRANSLATED = frozenset(
    {
        "static_map",
        "static_map2",
        "static_index",
        "static_immutable",
        "static_expires_path_info",
        "static_gzip",
        "static_gzip_all",
        "static_gzip_dir",
        "static_gzip_ext",
        "static_cache_paths",
        "static_skip_ext",
    }
)


def render(settings: Settings) -> str:
    """The text, several lines. Raises ConfigError."""
    return "\n".join((*_http(settings), *_server(settings), ""))


def _http(settings: Settings) -> Iterator[str]:
    protocol, address = _socket(settings)
    name = _name(settings)
    yield "# Made by uwsgi-deploy --show-nginx from the server's options: change those, and make it anew."
    if address.startswith("unix:"):
        yield f"# nginx's user needs to be of the socket's group, whose mode is {settings.sockets.chmod_socket:o}."
    yield from _untold(settings)
    yield f"upstream {name} {{"
    yield f"    server {_quoted(address)};"
    if protocol is Protocol.HTTP:
        yield f"    keepalive {_KEPT};"
    yield "}"
    if protocol is Protocol.HTTP:
        yield f"map $http_upgrade ${name}_connection {{"
        yield "    default upgrade;"
        yield '    "" "";'
        yield "}"
    yield from _cache_control(settings)


def _server(settings: Settings) -> Iterator[str]:
    host, port = _asked_for(settings)
    http = settings.http
    yield "server {"
    yield f"    listen {_listen(host, port)};"
    yield f"    server_name {host.strip('[]')};"
    yield ""
    yield f"    client_max_body_size {http.limit_post};{'' if http.limit_post else '  # no limit'}"
    yield f"    client_header_timeout {_time(http.header_timeout)};"
    yield f"    client_body_timeout {_time(http.body_timeout)};"
    yield f"    send_timeout {_time(http.send_timeout)};"
    yield f"    keepalive_timeout {_time(http.http_keepalive_timeout)};"
    for mapping in _mappings(settings):
        yield ""
        yield from _files(mapping, settings)
    yield ""
    yield "    location / {"
    yield from (f"        {line}" for line in _passed(settings, port))
    yield "    }"
    yield "}"


def _passed(settings: Settings, port: int) -> Iterator[str]:
    """What is in the location of the application."""
    protocol, _ = _socket(settings)
    kind, name = _PASSING[protocol], _name(settings)
    # nginx's $host has no port, and forms are refused by Django when it is missing.
    host = "$host" if port == 80 else f"$host:{port}"
    if protocol is Protocol.HTTP:
        if not settings.proxies.trusted_proxies:
            yield "# Without trusted-proxies the application takes nginx for its client."
        yield "proxy_http_version 1.1;"
        yield f"proxy_set_header Host {host};"
        yield "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
        yield "proxy_set_header X-Forwarded-Proto $scheme;"
        yield "proxy_set_header Upgrade $http_upgrade;"
        yield f"proxy_set_header Connection ${name}_connection;"
    else:
        for variable, value in {**_variables(protocol), "HTTP_HOST": host}.items():
            yield f"{kind}_param {variable} {value};"
    yield f"{kind}_read_timeout {_longest_request(settings)};"
    yield f"{kind}_send_timeout {_time(settings.http.body_timeout + _LONGER)};"
    yield f"{kind}_pass {'http://' if protocol is Protocol.HTTP else ''}{name};"


def _variables(protocol: Protocol) -> dict[str, str]:
    if protocol is Protocol.SCGI:  # nginx gives the length itself, and it has to come first
        return {**{name: value for name, value in _VARIABLES.items() if name != "CONTENT_LENGTH"}, "SCGI": "1"}
    return _VARIABLES


# --- what the options say ---------------------------------------------------------------------------------------------


def _socket(settings: Settings) -> tuple[Protocol, str]:
    """The socket that nginx passes requests to, and what it speaks: the first one of the best protocol."""
    sockets = settings.sockets
    found = [
        (sockets.spoken(name), name, texts[0])
        for name, texts in sockets.addresses.items()
        if texts and name not in _SECURED
    ]
    for protocol in _PASSING:
        for spoken, name, text in found:
            if spoken is protocol:
                return protocol, _upstream(name, text, settings)
    raise ConfigError(OPTION, "there is no socket that nginx could pass requests to", hint="--socket /run/mysite.sock")


def _upstream(name: str, text: str, settings: Settings) -> str:
    address = parse_address(text, name)
    if isinstance(address, UnixAddress) and not address.abstract:
        return f"unix:{os.path.join(os.path.abspath(settings.application.chdir or '.'), address.path)}"
    if isinstance(address, TcpAddress) and address.port:
        return str(TcpAddress({"": "127.0.0.1", "::": "::1"}.get(address.host, address.host), address.port))
    why = "the system chooses its number" if isinstance(address, TcpAddress) else "nginx cannot reach it"
    if isinstance(address, InheritedAddress):
        why = "only systemd knows where it is"
    raise ConfigError(OPTION, f"{name} = {text}: {why}", hint="name a path, or a host and a port")


def _asked_for(settings: Settings) -> tuple[str, int]:
    """Server name and port that nginx is to listen for."""
    text = settings.system.show_nginx
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "80"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536) or not re.fullmatch(
        r"[A-Za-z0-9_.*-]+|\[[0-9A-Fa-f:.]+\]", host
    ):
        raise ConfigError(OPTION, f"'{text}' is no server name", hint="such as blog.example.com, or 127.0.0.1:8080")
    return host, int(port)


def _listen(host: str, port: int) -> str:
    """An address is listened on; for a name all addresses are."""
    return f"{host}:{port}" if host.startswith("[") or re.fullmatch(r"[0-9.]+", host) else str(port)


def _name(settings: Settings) -> str:
    """Of the upstream, as nginx's variables may be called."""
    host, _ = _asked_for(settings)
    slug = re.sub(r"[^a-z0-9]+", "_", host.lower()).strip("_")
    return f"uwsgi_deploy_{slug}" if slug else "uwsgi_deploy"


def _longest_request(settings: Settings) -> str:
    """How long nginx waits for an answer: until the server has ended the request itself."""
    harakiri = settings.harakiri
    routes = routes_of(harakiri.harakiri_routes)
    limits = [harakiri.harakiri or math.inf, *(limit for _, limit in routes.paths), *routes.names.values()]
    longest = max(limits)
    return _NO_LIMIT if longest == math.inf else _time(longest + harakiri.harakiri_graceful_timeout + _LONGER)


def _time(seconds: float) -> str:
    return f"{seconds:g}s" if seconds == int(seconds) else f"{math.ceil(seconds * 1000)}ms"


# --- files ------------------------------------------------------------------------------------------------------------


def _untold(settings: Settings) -> Iterator[str]:
    """A remark about options of files that nginx has nothing for: there the server's own answers differ."""
    names = [
        field.name.replace("_", "-")
        for field in fields(settings.static)
        if getattr(settings.static, field.name) != field.default and field.name not in _TRANSLATED
    ]
    if names:
        yield f"# Left out, because nginx has no word for it: {', '.join(names)}."


def _mappings(settings: Settings) -> tuple[Mapping, ...]:
    """Paths that lead to files."""
    static = settings.static
    return (
        *map(mapping_of, static.static_map),
        *(mapping_of(value, keeps_prefix=True) for value in static.static_map2),
    )


def _ages(settings: Settings) -> Iterator[tuple[str, str]]:
    """Regular expressions of paths, and the Cache-Control of files under them."""
    for pattern in settings.static.static_immutable:
        yield pattern, f"public, max-age={_YEAR}, immutable"
    for rule in expiries_of(settings.static):
        if rule.subject is Subject.PATH_INFO and not rule.since_change:
            yield rule.pattern.pattern, f"max-age={int(rule.seconds)}"


def _cache_control(settings: Settings) -> Iterator[str]:
    """How long files are kept, as a variable: a location could not look at an expression without another location."""
    ages = list(_ages(settings))
    if ages and _mappings(settings):
        yield f"map $uri ${_name(settings)}_cache_control {{"
        yield '    default "";'
        for pattern, value in ages:
            yield f'    "~{_escaped(pattern)}" "{value}";'
        yield "}"


def _files(mapping: Mapping, settings: Settings) -> Iterator[str]:
    application, static = settings.application, settings.static
    place = os.path.join(os.path.abspath(application.chdir or "."), application.chdir2, mapping.place)
    is_file = os.path.isfile(place)
    location = f"= {_quoted(mapping.prefix)}" if is_file else _quoted(f"{mapping.prefix}/")
    yield f"    location {location} {{"
    if mapping.keeps_prefix:
        yield f"        root {_quoted(place)};"
    else:
        yield f"        alias {_quoted(place if is_file else place.rstrip('/') + '/')};"
    if static.static_index:
        yield f"        index {' '.join(map(_quoted, static.static_index))};"
    if static.static_gzip_all or static.static_gzip or static.static_gzip_dir or static.static_gzip_ext:
        yield "        gzip_static on;"
    for ending in static.static_skip_ext:
        yield f'        if ($uri ~ "{_escaped(re.escape(ending))}$") {{ return 404; }}'
    if any(_ages(settings)):
        yield f"        add_header Cache-Control ${_name(settings)}_cache_control;"
    yield "    }"


def _quoted(text: str) -> str:
    """A parameter of nginx's, in which there is no way to write a dollar sign."""
    if _PLAIN.fullmatch(text):
        return text
    if "$" in text:
        raise ConfigError(OPTION, f"{text!r} has a dollar sign, which cannot be written in nginx's configuration")
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    if any(character < " " for character in text):
        raise ConfigError(OPTION, f"{text!r} has a control character, which cannot be written in nginx's configuration")
    return text.replace("\\", "\\\\").replace('"', '\\"')
