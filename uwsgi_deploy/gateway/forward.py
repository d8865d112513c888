"""Requests for servers that speak HTTP themselves (http-backend-http): made of the variables, RFC 9110 §7.6 minded."""

from __future__ import annotations

from uwsgi_deploy.gateway.packet import end_to_end
from uwsgi_deploy.protocol.messages import Environ

_VIA = "1.1 uwsgi-deploy"
_UNPREFIXED = {"CONTENT_TYPE": "Content-Type"}


def http_request(environ: Environ, *, is_upgrade: bool) -> bytes:
    """The head of the request. The server is told of the client in X-Forwarded-For and -Proto, and closes after one."""
    lines = [f"{environ['REQUEST_METHOD']} {environ['REQUEST_URI']} HTTP/1.1"]
    fields = end_to_end(environ, is_upgrade=is_upgrade)
    client = fields.pop("REMOTE_ADDR", "") or "unknown"
    before = fields.pop("HTTP_X_FORWARDED_FOR", "")
    # Whoever the router trusts has been heard; REMOTE_ADDR is the last that the chain names then.
    chain = before if before.split(",")[0].strip() == client else ", ".join(filter(None, (before, client)))
    fields.pop("HTTP_X_FORWARDED_PROTO", None)
    is_https = environ.get("wsgi.url_scheme") == "https"
    lines += [f"Host: {fields.pop('HTTP_HOST', environ['SERVER_NAME'])}"]
    for name, value in fields.items():
        if name.startswith("HTTP_") and name != "HTTP_VIA":
            lines.append(f"{name[5:].replace('_', '-').title()}: {value}")
        elif name in _UNPREFIXED:
            lines.append(f"{_UNPREFIXED[name]}: {value}")
    if (length := environ.get("CONTENT_LENGTH")) is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"X-Forwarded-For: {chain}", f"X-Forwarded-Proto: {'https' if is_https else 'http'}"]
    # RFC 9110 §7.6.3: a gateway between HTTP and HTTP says so to the server.
    lines.append(f"Via: {', '.join(filter(None, (fields.get('HTTP_VIA'), _VIA)))}")
    if not is_upgrade:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
