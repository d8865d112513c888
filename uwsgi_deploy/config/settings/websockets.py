"""WebSockets that applications open through the `uwsgi` module."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Kibibytes, Seconds


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """What `uwsgi.websocket_recv()` allows and watches. Libraries with a WebSocket of their own have their own."""

    websockets_max_size: Kibibytes = option(
        1024,
        "websocket-max-size",
        help="Largest message that uwsgi.websocket_recv() takes; beyond it the peer gets 1009.",
    )
    websockets_ping_freq: Seconds = option(
        30.0, "websocket-ping-freq", help="Ping a WebSocket's peer after this much silence."
    )
    websockets_pong_tolerance: Seconds = option(
        3.0, "websocket-pong-tolerance", help="How long the answer to a ping may take before the WebSocket is over."
    )
