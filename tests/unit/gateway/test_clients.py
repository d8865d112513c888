"""The way to HTTPS that the router shows to clients in plain HTTP."""

from __future__ import annotations

import pytest

from uwsgi_deploy.errors import Aside
from uwsgi_deploy.gateway.clients import RedirectingCodec
from uwsgi_deploy.protocol.http1 import Http1Codec


def redirecting(*, port: str) -> RedirectingCodec:
    codec = Http1Codec({"SERVER_NAME": "here"}, max_head=65536, max_line=8192, max_fields=100)
    return RedirectingCodec(codec, port=port)


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/a%20b?q=%0d%0aX:1", "/a%20b?q=%0d%0aX:1"),
        ("//other.example/", "//other.example/"),
        ("http://h.example", "/"),
        ("http://h.example?q", "/?q"),
        ("http://h.example/p%20q?r=s", "/p%20q?r=s"),
        ("HTTP://h.example/%0d%0aSet-Cookie:x=1", "/%0d%0aSet-Cookie:x=1"),
    ],
)
def test_the_way_to_https(target: str, leads_to: str) -> None:
    """Path and query as they were sent, whatever the form of the target: nothing decoded gets into a header."""
    codec = redirecting(port="8443")
    with pytest.raises(Aside) as answer:
        codec.decode(f"GET {target} HTTP/1.1\r\nHost: h.example\r\n\r\n".encode())
    lines = answer.value.reply.decode().split("\r\n")
    assert lines[1] == f"Location: https://h.example:8443{leads_to}"
    assert lines[2:] == ["Content-Length: 0", "Connection: close", "", ""]


def test_a_question_about_the_server_leads_to_its_root() -> None:
    codec = redirecting(port="")
    with pytest.raises(Aside) as answer:
        codec.decode(b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n")
    assert b"\r\nLocation: https://[::1]/\r\n" in answer.value.reply
