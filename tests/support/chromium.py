"""A real browser without a window: Chromium, spoken to over its debugging pipe. For tests and the pictures in docs/.

    with Chromium() as browser:
        browser.open("http://127.0.0.1:8000/")
        browser.click("a[href='/sleep/']")
        assert "too long" in browser.text

The protocol is Chrome's DevTools protocol: JSON messages, each ended by a NUL byte, on descriptors 3 (in) and 4 (out).
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import shutil
import subprocess
import tempfile
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers, where it does not work
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
)
Message = dict[str, Any]


class Chromium:
    """One browser with one page. width, height: of the page, in CSS pixels.

    trusted_key: certificates with this public key are good, whoever signed them: the base64 of its SHA-256.
    """

    def __init__(
        self, *, width: int = 1200, height: int = 800, timeout: float = 60.0, trusted_key: str | None = None
    ) -> None:
        assert PROGRAM is not None, "chromium is not installed"
        self.timeout = timeout
        self._size = (width, height)
        self._trust = [f"--ignore-certificate-errors-spki-list={trusted_key}"] if trusted_key else []
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._last_id = 0
        self._buffer = b""
        self._events: list[Message] = []

    def __enter__(self) -> Chromium:
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        width, height = self._size
        command = [PROGRAM, *OPTIONS, f"--user-data-dir={self._profile.name}", f"--window-size={width},{height}"]
        command += self._trust
        # The shell gives the pipes the numbers that Chromium expects, whatever they are here.
        wiring = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", wiring, "bash", *map(str, command), "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            target = self._call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            self._page("Page.enable")
            self._page(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    # --- what a visitor does ------------------------------------------------------------------------------------------

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        self._loading(lambda: self._page("Page.navigate", url=url))

    def click(self, selector: str) -> None:
        """Click on what leads to another page, and wait until that is loaded."""
        self._loading(lambda: self.run(f"{_one(selector)}.click()"))

    def fill(self, selector: str, text: str) -> None:
        """Write into a field."""
        self.run(f"{_one(selector)}.value = {json.dumps(text)}")

    @property
    def text(self) -> str:
        """The page as it is read."""
        return str(self.run("document.body.innerText"))

    @property
    def url(self) -> str:
        """Where the page is."""
        return str(self.run("location.href"))

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self._page("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def picture(self, path: Path, *, height: int | None = None) -> None:
        """The page as a PNG file: what is seen, or its first `height` pixels."""
        width = self._size[0]
        if height is None:
            height = int(self.run("document.documentElement.scrollHeight"))
        area = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self._page("Page.captureScreenshot", format="png", clip=area, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    # --- the pipe -----------------------------------------------------------------------------------------------------

    def _loading(self, act: Any) -> None:
        self._events.clear()
        act()
        deadline = monotonic() + self.timeout
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(self._receive(deadline))

    def _page(self, method: str, **parameters: Any) -> Message:
        return self._call(method, self._session, **parameters)

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> Message:
        self._last_id += 1
        message: Message = {"id": self._last_id, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        deadline = monotonic() + self.timeout
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self._events.append(answer)

    def _receive(self, deadline: float) -> Message:
        """The next message."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._from, selectors.EVENT_READ)
            while b"\0" not in self._buffer:
                assert selector.select(max(0.0, deadline - monotonic())), f"Chromium was silent for {self.timeout:g} s"
                data = os.read(self._from, 65536)
                assert data, "Chromium ended"
                self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: Message = json.loads(message)
        answer.setdefault("method", "")
        return answer

    def _end(self) -> None:
        os.close(self._to)
        os.close(self._from)
        try:
            os.killpg(self._process.pid, 9)
        except ProcessLookupError:
            pass
        self._process.wait(10)
        self._profile.cleanup()


def _one(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"
