"""Certificates for tests, made by the `openssl` command in some milliseconds each, and clients that believe in them."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.client import RawClient

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*arguments: str | Path, text: str = "") -> str:
    """What the command says; CalledProcessError when it fails."""
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60).stdout


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and of its key."""

    certificate: Path
    key: Path

    @property
    def value(self) -> str:
        """As options have it."""
        return f"{self.certificate},{self.key}"


class Authority:
    """One that signs whatever it is asked to."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self.directory = directory
        self.certificate, self._key = directory / f"{name}.crt", directory / f"{name}.key"
        subject = ("-subj", f"/CN=test {name}", "-addext", "basicConstraints=critical,CA:TRUE")
        openssl("req", "-x509", *_CURVE, "-days", "30", *subject, "-keyout", self._key, "-out", self.certificate)

    def issue(self, file: str, *hosts: str, subject: str = "", days: int = 20) -> Pair:
        """A certificate FILE.crt with FILE.key for hosts (default localhost and 127.0.0.1); -1 days: expired."""
        names = [f"DNS:{host}" for host in hosts or ("localhost",)] + ([] if hosts else ["IP:127.0.0.1"])
        pair = Pair(self.directory / f"{file}.crt", self.directory / f"{file}.key")
        request = self.directory / f"{file}.csr"
        wanted = (
            "-subj",
            subject or f"/CN={(hosts or ('localhost',))[0]}",
            "-addext",
            f"subjectAltName={','.join(names)}",
        )
        openssl("req", "-utf8", *_CURVE, *wanted, "-keyout", pair.key, "-out", request)
        signed = ("-CA", self.certificate, "-CAkey", self._key, "-copy_extensions", "copyall", "-days", str(days))
        openssl("x509", "-req", "-in", request, *signed, "-out", pair.certificate)
        return pair

    def trust(self, own: Pair | None = None, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A client's context that trusts this authority, and nobody else."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python 3.13's default; its authorities say more of themselves
        if own is not None:
            context.load_cert_chain(own.certificate, own.key)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context


class TlsClient(RawClient):
    """A `RawClient` over TLS: strict about the end, which has to be said and not just to happen.

    first: what is sent before the handshake.
    """

    socket: ssl.SSLSocket

    def __init__(
        self,
        address: tuple[str, int],
        context: ssl.SSLContext,
        *,
        host: str = "localhost",
        first: bytes = b"",
        **options: Any,
    ) -> None:
        super().__init__(address, timeout=20)
        plain = self.socket
        if first:
            plain.sendall(first)
        self.socket = context.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False, **options)
