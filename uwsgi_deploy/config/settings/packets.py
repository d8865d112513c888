"""What a web server's uwsgi packets may ask for beyond a page."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option


@dataclass(frozen=True, slots=True)
class PacketSettings:
    """Whose UWSGI_* variables count, and whether they may load code."""

    uwsgi_allow_from: tuple[str, ...] = option(
        (),
        help="Obey UWSGI_APPID, UWSGI_POSTFILE and their like in uwsgi packets of these peers: addresses and networks, "
        "unix for Unix sockets, * for whoever connects, none; by commas. Those of all others are dropped. Repeatable.",
    )
    dynamic_apps: bool = option(
        False,
        help="Let peers of uwsgi-allow-from have applications loaded: UWSGI_FILE, UWSGI_SCRIPT, UWSGI_MODULE and what "
        "goes with them. Whoever is one of them runs any code.",
    )
