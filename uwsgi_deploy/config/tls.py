"""What the values of the options about certificates mean. Pure; every mistake is a ValueError with a sentence.

Loaded by those who configure TLS only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a certificate (with those between it and its authority) and its key are.

    ciphers: as OpenSSL writes them, for TLS 1.2; "" means good ones. client_ca: the authority of the clients'
    certificates, "" when none is asked for; is_required: whether clients without one are turned away.
    """

    certificate: str
    key: str
    ciphers: str = ""
    client_ca: str = ""
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class NamedCertificate:
    """A certificate for some hosts: the name of one in lower case, `*.` and a domain, or a regular expression."""

    files: CertificateFiles
    name: str = ""
    pattern: re.Pattern[str] | None = None


def files_of(text: str) -> CertificateFiles:
    """`certificate,key[,ciphers[,client CA]]`."""
    parts = [part.strip() for part in text.split(",")]
    if not 2 <= len(parts) <= 4 or not all(parts[:2]):
        raise ValueError(f"needs 'certificate,key', then if wanted ',ciphers' and ',client CA', not '{text.strip()}'")
    certificate, key, ciphers, authority = (*parts, "", "")[:4]
    is_required = authority.startswith("!")
    authority = authority.removeprefix("!")
    if is_required and not authority:
        raise ValueError("needs the file of an authority behind the '!'")
    return CertificateFiles(certificate, key, ciphers, authority, is_required)


def address_and_files_of(value: str) -> tuple[str, CertificateFiles]:
    """`address,certificate,key[,ciphers[,client CA]]`."""
    address, comma, rest = value.partition(",")
    if not comma or not address.strip():
        raise ValueError(f"needs 'address,certificate,key', not '{value.strip()}'")
    return address.strip(), files_of(rest)


_PARTS = {"addr": "address", "cert": "certificate", "crt": "certificate", "key": "key", "ciphers": "ciphers"}
_PARTS |= dict.fromkeys(("clientca", "client_ca"), "client CA")


def named_parts_of(value: str) -> tuple[str, CertificateFiles]:
    """`addr=…,cert=…,key=…`, with `ciphers=` and `clientca=` (uWSGI's https2)."""
    found: dict[str, str] = {}
    for part in value.split(","):
        name, equals, text = (word.strip() for word in part.partition("="))
        if not equals or name not in _PARTS:
            raise ValueError(f"needs 'addr=...,cert=...,key=...', and knows ciphers and clientca, not '{part.strip()}'")
        found[_PARTS[name]] = text
    if missing := [name for name in ("address", "certificate", "key") if not found.get(name)]:
        raise ValueError(f"has no {missing[0]}: 'addr=...,cert=...,key=...' are needed")
    wanted = (found["certificate"], found["key"], found.get("ciphers", ""), found.get("client CA", ""))
    return found["address"], files_of(",".join(wanted))


def named_of(value: str) -> NamedCertificate:
    """`name certificate,key[,…]`."""
    name, files = _name_and_files(value)
    name = name.lower().rstrip(".")
    if not _HOST.fullmatch(name):
        raise ValueError(f"needs the name of a host, such as www.example.com or *.example.com, not '{name}'")
    return NamedCertificate(files, name=name)


def matched_of(value: str) -> NamedCertificate:
    """`regexp certificate,key[,…]`."""
    pattern, files = _name_and_files(value)
    try:
        return NamedCertificate(files, pattern=re.compile(pattern, re.IGNORECASE))
    except re.error as error:
        raise ValueError(f"has no valid regular expression, '{pattern}': {error}") from None


def _name_and_files(value: str) -> tuple[str, CertificateFiles]:
    words = value.split(None, 1)
    if len(words) < 2:
        raise ValueError(f"needs a host and its files, 'name certificate,key', not '{value.strip()}'")
    return words[0], files_of(words[1])
