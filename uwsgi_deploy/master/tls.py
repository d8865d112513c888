"""Certificates at a start and a reload: read before privileges are dropped, kept for the next image. And which
listeners send their clients to those that speak TLS.

Without an address that speaks TLS nothing of it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.logs.setup import log
from uwsgi_deploy.net.listener import Listener

_CERTIFICATES, _CONTEXTS = "uwsgi_deploy.net.certificates", "uwsgi_deploy.net.tls_contexts"
_KEEPSAKE = "certificates"
_HTTPS = "443"


def equip(
    listeners: tuple[Listener, ...], settings: Settings, former: Sequence[Any] | None, *, is_checked: bool
) -> tuple[Listener, ...]:
    """The listeners, those that speak TLS with their certificates. Raises ConfigError.

    former: what `keepsake` left. is_checked: whether the command line has seen already that they can be used.
    """
    if not (settings.speaks_tls or settings.gateway.http_to_https):
        return listeners
    certificates = import_module(_CERTIFICATES)
    equipped: tuple[Listener, ...] = certificates.equip(listeners, settings, former=former or (), warn=log)
    options = certificates.options_of(equipped, settings)
    port = next((one.server_port for one in equipped if one.tls is not None and not one.is_unix), "")
    equipped = tuple(
        replace(listener, https_port=("" if port == _HTTPS else port) if option == "http-to-https" else None)
        for listener, (option, _) in zip(equipped, options, strict=True)
    )
    for certificate in () if is_checked else certificates.all_of(equipped):
        try:
            import_module(_CONTEXTS).context_of(certificate)
        except ValueError as error:
            raise ConfigError("TLS", str(error)) from None
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
