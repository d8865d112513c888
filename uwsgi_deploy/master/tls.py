"""Certificates at a start and a reload: read before privileges are dropped, kept for the next image.

Without an address that speaks TLS nothing of it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.net.listener import Listener

_CERTIFICATES, _CONTEXTS = "uwsgi_deploy.net.certificates", "uwsgi_deploy.net.tls_contexts"
_KEEPSAKE = "certificates"


def equip(
    listeners: tuple[Listener, ...], settings: Settings, former: Sequence[Any] | None, *, is_checked: bool
) -> tuple[Listener, ...]:
    """The listeners, those that speak TLS with their certificates. Raises ConfigError.

    former: what `keepsake` left. is_checked: whether the command line has seen already that they can be used.
    """
    if not settings.sockets.https_socket:
        return listeners
    certificates = import_module(_CERTIFICATES)
    equipped: tuple[Listener, ...] = certificates.equip(listeners, settings, former=former or (), warn=log)
    for certificate in () if is_checked else certificates.all_of(equipped):
        try:
            import_module(_CONTEXTS).context_of(certificate)
        except ValueError as error:
            raise ConfigError("https-socket", f"'https-socket': {error}") from None
    return equipped


def keepsake(listeners: Iterable[Listener]) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """What the next image may not be able to read."""
    secured = [listener for listener in listeners if listener.tls is not None]
    return {_KEEPSAKE: (import_module(_CERTIFICATES).rows_of(secured), ())} if secured else {}


def warnings(listeners: Iterable[Listener]) -> Iterator[str]:
    """After becoming another user: what that one cannot read again, for the log."""
    secured = [listener for listener in listeners if listener.tls is not None]
    if secured:
        yield from import_module(_CERTIFICATES).out_of_reach(secured)
