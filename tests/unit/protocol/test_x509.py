"""The time in which a certificate counts, as openssl has it."""

from __future__ import annotations

import binascii
from pathlib import Path

import pytest

from tests.support.certificates import Authority, openssl
from uwsgi_deploy.protocol.x509 import validity_of


@pytest.mark.parametrize("days", [-1, 30, 365 * 60])  # beyond 2049 times are written in another way
def test_as_openssl_says(days: int, tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("server", days=days)
    lines = openssl("x509", "-in", pair.certificate, "-noout", "-dates", "-dateopt", "iso_8601").splitlines()
    said = [line.partition("=")[2] for line in lines]
    found = validity_of(pair.certificate.read_bytes())
    assert ["{:04}-{:02}-{:02} {:02}:{:02}:{:02}Z".format(*instant) for instant in found] == said


def test_what_is_none(tmp_path: Path) -> None:
    pem = Authority(tmp_path).certificate.read_bytes()
    with pytest.raises(ValueError, match="no certificate in PEM form"):
        validity_of(b"-----BEGIN PRIVATE KEY-----")
    lines = pem.splitlines()
    for damaged in (lines[:1] + lines[2:], [lines[0], b"AAAA", lines[-1]], [lines[0], b"!", lines[-1]]):
        with pytest.raises(ValueError, match="damaged"):
            validity_of(b"\n".join(damaged))


def test_every_beginning_is_damaged_and_no_accident(tmp_path: Path) -> None:
    """Whatever is cut off: a sentence, never another exception."""
    lines = Authority(tmp_path).certificate.read_bytes().splitlines()
    der = binascii.a2b_base64(b"".join(lines[1:-1]))
    whole = validity_of(b"\n".join(lines))
    for size in range(len(der)):
        pem = b"-----BEGIN CERTIFICATE-----\n" + binascii.b2a_base64(der[:size]) + b"-----END CERTIFICATE-----"
        with pytest.raises(ValueError, match="certificate"):
            assert validity_of(pem) == whole
