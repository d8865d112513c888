"""Certificates beside those that stand with their address, and what TLS brings with it."""

from __future__ import annotations

from dataclasses import dataclass

from uwsgi_deploy.config.option import option
from uwsgi_deploy.types import Seconds


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """For all addresses that speak TLS (https-socket, https)."""

    sni: tuple[str, ...] = option(
        (),
        help="Another certificate for clients that ask for this host: 'name certificate,key', then if wanted "
        "',ciphers' and ',client CA' ('!' in front requires one). '*.example.com' means all hosts one level below it. "
        "Repeatable.",
    )
    sni_regexp: tuple[str, ...] = option(
        (), help="As 'sni', for all hosts in whose name a regular expression is found. Repeatable."
    )
    sni_dir: str = option(
        "",
        help="Directory of certificates by host: NAME.crt and NAME.key, and NAME.ca if its clients need a certificate "
        "of that authority.",
    )
    sni_dir_ciphers: str = option("", help="Ciphers of the hosts in 'sni-dir', as OpenSSL writes them.")
    https_export_cert: bool = option(
        False, help="Give applications the client's certificate, as PEM in HTTPS_CC and SSL_CLIENT_CERT."
    )
    hsts: Seconds = option(
        0,
        help="Add 'Strict-Transport-Security' to answers over TLS: browsers use nothing but https for so long. 0 adds "
        "nothing.",
    )
    tls_check_freq: Seconds = option(
        10.0,
        help="How often workers look whether a certificate was renewed, when clients come; new connections get it "
        "without a reload. 0 means on reloads only.",
    )
