"""How people and tools tell the running server what to do."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option

# A value of control-socket.
OFF = "off"


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How people and tools tell the running server what to do."""

    master_fifo: tuple[str, ...] = option(
        (),
        help="Read one-byte commands (r reload, q stop, ...) from this FIFO. Repeated: slots 0 to 9, 0 is active.",
    )
    control_socket: str = option(
        "", help="Unix socket for uwsgi-deploy status and its kin; empty means a private default place, off means none."
    )
