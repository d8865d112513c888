"""Where a late request is said to be: in the application, not in the server's code that it passes through."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from uwsgi_deploy.worker.evidence import Evidence


def frame_in(module: str, function: str) -> FrameType:
    space: dict[str, Any] = {"__name__": module, "sys": sys}
    exec(f"def {function}():\n    return sys._getframe()", space)
    frame: FrameType = space[function]()
    return frame


SENDING = frame_in("uwsgi_deploy.net.connection", "send")
WAITING = frame_in("uwsgi_deploy.worker.engines.gevent", "wait")
APPLICATION = frame_in("shop.views", "blocks")


class Engine:
    def __init__(self, *frames: FrameType | None) -> None:
        self.frames = list(frames)

    def frame_of(self, core: int) -> FrameType | None:
        return self.frames.pop(0) if len(self.frames) > 1 else self.frames[0]


def settled(*frames: FrameType | None) -> FrameType | None:
    evidence = Evidence(None, 1, None, Engine(*frames), engine_name="gevent", born=0.0)  # type: ignore[arg-type]
    return evidence._settled_frame(0)


def test_what_the_server_does_is_over_in_a_moment() -> None:
    assert settled(SENDING, SENDING, APPLICATION) is APPLICATION
    assert settled(None, APPLICATION) is APPLICATION


def test_a_wait_for_the_client_is_a_place_to_be() -> None:
    assert settled(WAITING, APPLICATION) is WAITING


def test_server_code_that_does_not_end_is_told() -> None:
    assert settled(SENDING) is SENDING
    assert settled(SENDING, None) is SENDING
