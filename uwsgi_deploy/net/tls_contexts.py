"""TLS: what a server shows to its clients, by the host that they ask for, and how certificates are made new.

Loaded by those who configure TLS only, in the processes that speak it.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic, time
from typing import Any

from uwsgi_deploy.net.certificates import Certificate, complaint_about, read_certificate, stamp_of
from uwsgi_deploy.net.listener import Tls
from uwsgi_deploy.protocol.messages import Environ

# For TLS 1.2; those of TLS 1.3 are all good. Forward secrecy and authenticated encryption, nothing else.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!PSK"
# Files that changed a moment ago may still be written to, or be one half of a new pair. Seconds.
_SETTLED = 1.0

# Short names of what a certificate says of its subject, as openssl prints them.
_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "domainComponent": "DC",
    "surname": "SN",
    "givenName": "GN",
    "userId": "UID",
}


def context_of(certificate: Certificate) -> ssl.SSLContext:
    """A context that shows this certificate. Raises ValueError with a sentence."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    files = certificate.files
    try:
        context.set_ciphers(files.ciphers or CIPHERS)
    except ssl.SSLError:
        raise ValueError(f"OpenSSL knows no cipher of '{files.ciphers}'") from None
    _load(context, certificate)
    if certificate.authority:
        try:
            context.load_verify_locations(cadata=certificate.authority.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError) as error:
            raise ValueError(f"the authority {files.client_ca} cannot be used: {reason_of(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED if files.is_required else ssl.CERT_OPTIONAL
    return context


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Python's ssl reads keys from files only: from one that has no name, and exists for this moment."""
    fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(certificate.chain + b"\n" + certificate.key)
        context.load_cert_chain(f"/proc/self/fd/{fd}", password=lambda: b"")
    except ssl.SSLError as error:
        files = certificate.files
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"the key {files.key} does not belong to the certificate {files.certificate}") from None
        raise ValueError(
            f"the certificate {files.certificate} with the key {files.key} cannot be used: {reason_of(error)}"
        ) from None
    finally:
        os.close(fd)


def reason_of(error: Exception) -> str:
    """OpenSSL's reason in plain words."""
    reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
    return reason.lower().replace("_", " ") if isinstance(reason, str) else str(error)


class Contexts:
    """The contexts of a listener, for all workers alike: made before they are forked, so that a session that one of
    them began is resumed by another. Each worker looks for itself whether files were renewed.
    """

    def __init__(self, tls: Tls, log: Callable[[str], None]) -> None:
        settings, self._log = tls.settings, log
        self._shown: list[tuple[Certificate, ssl.SSLContext]] = [
            (one, context_of(one)) for one in (tls.certificate, *tls.named)
        ]
        self._exports = settings.https_export_cert
        self._frequency = settings.tls_check_freq
        self._look_at = monotonic() + self._frequency if self._frequency else float("inf")
        self.has_names = bool(tls.named)
        self._sort()

    def _sort(self) -> None:
        self._default = self._shown[0][1]
        self._by_name = {one.name: context for one, context in reversed(self._shown[1:]) if one.name}
        self._by_pattern = [(one.pattern, context) for one, context in self._shown[1:] if one.pattern is not None]

    def choose(self, name: str) -> ssl.SSLContext:
        """The context for a client that asks for this host ("": for none)."""
        if not name:
            return self._default
        found = self._by_name.get(name) or self._by_name.get(f"*.{name.partition('.')[2]}")
        if found is not None:
            return found
        return next((context for pattern, context in self._by_pattern if pattern.search(name)), self._default)

    def look(self) -> None:
        """Called for each new client: from time to time, whether a certificate was renewed."""
        now = monotonic()
        if now >= self._look_at:
            self._look_at = now + self._frequency
            for index, (certificate, _) in enumerate(self._shown):
                if not self._renew(index, certificate):
                    self._look_at = now + min(self._frequency, _SETTLED)

    def _renew(self, index: int, certificate: Certificate) -> bool:
        """Show what is in the files now, if that is something else and good; False when it is too early to say."""
        stamp = stamp_of(certificate.files)
        if stamp is None or stamp == certificate.stamp:
            return True  # None: somebody who may read them makes them new, or they are being replaced
        if time() - max(changed for _, _, changed in stamp) / 1e9 < _SETTLED:
            return False
        context = self._shown[index][1]
        try:
            read = read_certificate(certificate.files)
            fresh = replace(read, name=certificate.name, pattern=certificate.pattern)
            found = context_of(fresh)
        except (OSError, ValueError) as error:
            self._log(f"*** a renewed certificate cannot be used, the one from before stays: {error} ***")
            self._shown[index] = (replace(certificate, stamp=stamp), context)
            return True
        if fresh.authority == certificate.authority:
            # Into the context there is: sessions that it began can be resumed. Running connections have copies.
            _load(context, fresh)
            found = context
        self._shown[index] = (fresh, found)
        self._sort()
        self._log(f"the certificate {fresh.files.certificate} was renewed: new connections get it")
        if complaint := complaint_about(fresh):
            self._log(f"*** WARNING: {complaint} ***")
        return True

    def variables(self, session: ssl.SSLObject) -> Environ:
        """What applications are told of the client's certificate; nothing where none is asked for."""
        if session.context.verify_mode is ssl.CERT_NONE:
            return {}
        facts: Any = session.getpeercert()
        if not facts:
            return {"SSL_CLIENT_VERIFY": "NONE"}
        subject = _distinguished(facts["subject"])
        variables = {
            "SSL_CLIENT_VERIFY": "SUCCESS",
            "HTTPS_DN": subject,
            "SSL_CLIENT_S_DN": subject,
            "SSL_CLIENT_I_DN": _distinguished(facts["issuer"]),
            "SSL_CLIENT_M_SERIAL": facts["serialNumber"],
            "SSL_CLIENT_V_START": facts["notBefore"],
            "SSL_CLIENT_V_END": facts["notAfter"],
        }
        if self._exports:
            pem = ssl.DER_cert_to_PEM_cert(session.getpeercert(binary_form=True) or b"")
            variables["HTTPS_CC"] = variables["SSL_CLIENT_CERT"] = pem
        return variables


def _distinguished(name: Sequence[Sequence[tuple[str, str]]]) -> str:
    """A name as openssl's oneline form has it, which uWSGI uses: /C=DE/O=Example/CN=alice. As PEP 3333 has texts: bytes
    of UTF-8, read as Latin-1."""
    text = "".join(f"/{_SHORT.get(kind, kind)}={value}" for parts in name for kind, value in parts)
    return text.encode("utf-8").decode("latin-1")
