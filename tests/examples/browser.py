"""As much of a browser as the examples need: cookies, redirects, and forms with Django's CSRF token."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Page:
    """What came back, after redirects."""

    status: int
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """One visitor. Paths are joined to `url`, which has no slash at its end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies = CookieJar()
        self._open = build_opener(HTTPCookieProcessor(self.cookies)).open

    def get(self, path: str) -> Page:
        """Follow redirects to a page."""
        return self.request("GET", path)

    def submit(self, path: str, **fields: str) -> Page:
        """Open the page with a form, and send the form back filled in."""
        token = TOKEN.search(self.get(path).text)
        assert token is not None, f"there is no form on {path}"
        data = urlencode({"csrfmiddlewaretoken": token[1], **fields}).encode()
        return self.request("POST", path, data, {"Referer": self.url + path})

    def request(self, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> Page:
        """Any request; errors are pages too."""
        request = Request(self.url + path, data, headers or {}, method=method)
        try:
            response = self._open(request, timeout=20)
        except HTTPError as error:
            response = error
        with response:
            return Page(response.status, response.url, dict(response.headers), response.read())

    def send_json(self, method: str, path: str, content: Any) -> Page:
        """A request with a JSON body."""
        return self.request(method, path, json.dumps(content).encode(), {"Content-Type": "application/json"})
