"""What SCGI and FastCGI share with CGI (RFC 3875): variables to an environ, and the head of a response.

Web servers do not agree on the variables: nginx's stock files give neither protocol a PATH_INFO, and its FastCGI one
the whole path as SCRIPT_NAME, because that is what a PHP script wants. `environ_of` sees to it that applications find
theirs.
"""

from __future__ import annotations

from uwsgi_deploy.errors import ProtocolError
from uwsgi_deploy.protocol.http1 import LENGTH, unquote
from uwsgi_deploy.protocol.messages import Environ
from uwsgi_deploy.protocol.uwsgi import NEVER_OBEYED, REQUIRED, scheme_of

_STATUS_LINE = b"HTTP/1.1 "


def environ_of(base: Environ, variables: dict[str, str]) -> Environ:
    """A fresh environ of the codec's base and a request's variables, CONTENT_LENGTH excepted."""
    environ = {**base, **REQUIRED, **variables}
    for name in NEVER_OBEYED.intersection(variables):
        del environ[name]
    if "PATH_INFO" not in variables:
        script, path = environ["SCRIPT_NAME"], _path(variables)
        if script == path:
            script = environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = path[len(script) :] if path.startswith(script + "/") else path
    environ["wsgi.url_scheme"] = scheme_of(environ)
    return environ


def _path(variables: dict[str, str]) -> str:
    """The decoded path of the whole URL: as nginx says, or the client."""
    if path := variables.get("DOCUMENT_URI"):
        return path
    return unquote(variables.get("REQUEST_URI", "").partition("?")[0].encode("latin-1")).decode("latin-1")


def content_length(text: str) -> int:
    """CONTENT_LENGTH as a number; "" is 0 (RFC 3875 §4.1.2). Raises ProtocolError(400)."""
    if not text:
        return 0
    if not LENGTH.fullmatch(text):
        raise ProtocolError(400, "an invalid CONTENT_LENGTH")
    return int(text)


def as_cgi(response: bytes) -> bytes:
    """A response, or the beginning of one, with its status as a field (RFC 3875 §6.3.3) in place of the status line."""
    return b"Status: " + response[len(_STATUS_LINE) :]
