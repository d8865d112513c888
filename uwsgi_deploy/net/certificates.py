"""Certificates and keys as bytes: read while the process may still read them, before it gives up being root.

They travel by fork to whoever speaks TLS (`net.tls`), and as a keepsake to the master's next image, which may not be
able to read the files any more. Never loads `ssl`: the master has no use for it. Loaded by those who configure TLS
only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import gmtime, time
from typing import Any, TypeAlias

from uwsgi_deploy.config.settings import Settings
from uwsgi_deploy.config.settings.tls import TlsSettings
from uwsgi_deploy.config.tls import (
    CertificateFiles,
    NamedCertificate,
    address_and_files_of,
    matched_of,
    named_of,
    named_parts_of,
)
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.net.address import parse_address
from uwsgi_deploy.net.listener import Listener, Tls, key_of
from uwsgi_deploy.protocol.x509 import Instant, validity_of

# The name under which they are kept for the next image.
KEEPSAKE = "certificates"
_LARGEST = 4 << 20

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]
"""Of each file: number, size and time of the last change (ns). Other contents have another one."""
Row: TypeAlias = tuple[str, str, str, bytes, bytes, bytes, Stamp]
"""Plain values for the next image: the names of three files, what is in them, and their stamp."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, and the authority of its clients' certificates, all as PEM.

    name, pattern: the hosts that it is for, see `config.tls.NamedCertificate`; neither for the one that is everybody's.
    """

    files: CertificateFiles
    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)
    authority: bytes = field(repr=False)
    stamp: Stamp
    name: str = ""
    pattern: re.Pattern[str] | None = None


def stamp_of(files: CertificateFiles) -> Stamp | None:
    """As the files are now; None when one of them cannot be looked at."""
    try:
        found = [os.stat(path) for path in _paths(files)]
    except OSError:
        return None
    return tuple((status.st_ino, status.st_size, max(status.st_mtime_ns, status.st_ctime_ns)) for status in found)


def read_certificate(files: CertificateFiles) -> Certificate:
    """What is in the files. Raises OSError for one that cannot be read, ValueError with a sentence for its content."""
    stamp = stamp_of(files) or ()
    chain, key = _content(files.certificate), _content(files.key)
    authority = _content(files.client_ca) if files.client_ca else b""
    for path, text in ((files.certificate, chain), *([(files.client_ca, authority)] if authority else [])):
        try:
            validity_of(text)
        except ValueError as error:
            raise ValueError(f"{path} has {error}") from None
    if b"PRIVATE KEY-----" not in key:
        raise ValueError(f"{files.key} has no private key in PEM form (-----BEGIN PRIVATE KEY-----)")
    if b"ENCRYPTED" in key:
        raise ValueError(
            f"the key {files.key} is encrypted, and nobody is there to type its password: store it without one "
            "(openssl pkey -in KEY -out NEW)"
        )
    return Certificate(files, chain, key, authority, stamp)


def complaint_about(certificate: Certificate) -> str:
    """What is wrong with its time, "" when it is valid now."""
    validity = validity_of(certificate.chain)
    now = gmtime(time())[:6]
    path = certificate.files.certificate
    if validity.ends < now:
        return f"the certificate {path} expired on {_date(validity.ends)}: clients will refuse it"
    if validity.begins > now:
        return f"the certificate {path} is not valid before {_date(validity.begins)}: clients will refuse it"
    return ""


def _date(instant: Instant) -> str:
    return "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC".format(*instant)


def _paths(files: CertificateFiles) -> Iterator[str]:
    yield from (files.certificate, files.key)
    if files.client_ca:
        yield files.client_ca


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_LARGEST)


# --- what a configuration names ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate that is named by an option. address: the one it is for; None for those that are chosen by host."""

    option: str
    named: NamedCertificate
    address: str | None = None

    @property
    def files(self) -> CertificateFiles:
        """Its files."""
        return self.named.files


def wanted_by(settings: Settings, directory: str) -> list[Wanted]:
    """All certificates of these settings, whose paths begin in `directory`. ConfigError names the option."""
    found: list[Wanted] = []
    for option, values, parts_of in (
        ("https-socket", settings.sockets.https_socket, address_and_files_of),
        ("suwsgi-socket", settings.sockets.suwsgi_socket, address_and_files_of),
        ("https", settings.gateway.https, address_and_files_of),
        ("https2", settings.gateway.https2, named_parts_of),
    ):
        for value in values:
            address, files = _parsed(option, value, parts_of)
            found.append(Wanted(option, NamedCertificate(_from(directory, files)), address))
    tls = settings.tls
    for option, values, read in (("sni", tls.sni, named_of), ("sni-regexp", tls.sni_regexp, matched_of)):
        for value in values:
            named = _parsed(option, value, read)
            found.append(Wanted(option, replace(named, files=_from(directory, named.files))))
    return [*found, *_in_directory(tls, directory)]


def _parsed(option: str, value: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ConfigError(option, f"'{option}' {error}") from None


def _from(directory: str, files: CertificateFiles) -> CertificateFiles:
    def path(name: str) -> str:
        return os.path.abspath(os.path.join(directory, name)) if name else ""

    return replace(files, certificate=path(files.certificate), key=path(files.key), client_ca=path(files.client_ca))


def _in_directory(tls: TlsSettings, directory: str) -> Iterator[Wanted]:
    """As uWSGI's sni-dir: an authority's file means that its clients need a certificate."""
    if not tls.sni_dir:
        return
    place = os.path.abspath(os.path.join(directory, tls.sni_dir))
    try:
        names = sorted(entry.removesuffix(".crt") for entry in os.listdir(place) if entry.endswith(".crt"))
    except PermissionError:
        raise
    except OSError as error:
        raise ConfigError("sni-dir", f"'sni-dir': {place} cannot be read: {error.strerror}") from None
    for name in names:
        base = os.path.join(place, name)
        authority = f"{base}.ca" if os.path.exists(f"{base}.ca") else ""
        files = CertificateFiles(f"{base}.crt", f"{base}.key", tls.sni_dir_ciphers, authority, bool(authority))
        yield Wanted("sni-dir", NamedCertificate(files, name=name.lower()))


def read_wanted(wanted: Wanted, *, is_jailed: bool = False) -> Certificate:
    """Its certificate. Raises PermissionError, and ConfigError with a sentence for everything else.

    is_jailed: files that are not there may be outside of the jail, which is a matter of permission then.
    """
    try:
        found = read_certificate(wanted.files)
    except PermissionError:
        raise
    except OSError as error:
        if is_jailed and isinstance(error, FileNotFoundError):
            raise PermissionError(error.errno, "it is outside of the chroot", error.filename) from None
        raise ConfigError(wanted.option, f"'{wanted.option}': {error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(wanted.option, f"'{wanted.option}': {error}") from None
    return replace(found, name=wanted.named.name, pattern=wanted.named.pattern)


def denied(option: str, error: PermissionError) -> ConfigError:
    """The sentence for a file that this user may not read."""
    return ConfigError(
        option, f"'{option}': {error.filename} may not be read by this user (uid {os.geteuid()}): {error.strerror}"
    )


# --- for the server's life --------------------------------------------------------------------------------------------


def equip(
    listeners: Sequence[Listener], settings: Settings, *, former: Sequence[Row], warn: Callable[[str], None]
) -> tuple[Listener, ...]:
    """The listeners, those that speak TLS with their certificates; paths begin in the present directory.

    former: what the master's former image had. It counts where a file may not be read any more, since the server has
    become another user. Raises ConfigError.
    """
    kept = {row[:3]: row for row in former}
    own: dict[str, list[Certificate]] = {}
    named: list[Certificate] = []
    for wanted in _all_wanted(settings, kept.values(), warn):
        try:
            certificate = read_wanted(wanted, is_jailed=bool(kept and settings.identity.chroot))
        except PermissionError as error:
            row = kept.get((wanted.files.certificate, wanted.files.key, wanted.files.client_ca))
            if row is None:
                raise denied(wanted.option, error) from None
            warn(
                f"*** WARNING: {error.filename} cannot be read any more by uid {os.geteuid()} ({error.strerror}): the "
                "certificate from before stays, a renewed one needs a restart ***"
            )
            certificate = Certificate(wanted.files, *row[3:], wanted.named.name, wanted.named.pattern)
        if complaint := complaint_about(certificate):
            warn(f"*** WARNING: {complaint} ***")
        if wanted.address is None:
            named.append(certificate)
        else:
            own.setdefault(wanted.option, []).append(certificate)
    equipped = []
    for listener, (option, number) in zip(listeners, options_of(listeners, settings), strict=True):
        shown = own.get(option)
        tls = None if shown is None else Tls(shown[number], tuple(named), settings.tls)
        equipped.append(replace(listener, tls=tls))
    return tuple(equipped)


def options_of(listeners: Sequence[Listener], settings: Settings) -> list[tuple[str, int]]:
    """For each listener the option that it comes from, and which of its values. They are in the order of the settings;
    an address may have several sockets, if systemd opened them."""
    found: list[tuple[str, int]] = []
    counts: dict[str, int] = {}
    rest = list(listeners)
    for option, text, _ in settings.listening:
        number = counts[option] = counts.get(option, -1) + 1
        keys = (key_of(parse_address(text, option), text), text.strip())
        if rest and rest[0].key in keys:
            del rest[0]
            found.append((option, number))
            while rest and rest[0].inherited and rest[0].key in keys:
                del rest[0]
                found.append((option, number))
    return [*found, *(("", 0) for _ in rest)]


def _all_wanted(settings: Settings, kept: Iterable[Row], warn: Callable[[str], None]) -> list[Wanted]:
    try:
        return wanted_by(settings, os.getcwd())
    except PermissionError as error:
        place = os.path.abspath(settings.tls.sni_dir)
        rows = [row for row in kept if os.path.dirname(row[0]) == place]
        if not rows:
            raise denied("sni-dir", error) from None
        warn(f"*** WARNING: {place} may not be read any more: the certificates from before stay ***")
        named = [os.path.basename(row[0]).removesuffix(".crt").lower() for row in rows]
        files = [CertificateFiles(*row[:2], settings.tls.sni_dir_ciphers, row[2], bool(row[2])) for row in rows]
        others = wanted_by(replace(settings, tls=replace(settings.tls, sni_dir="")), os.getcwd())
        known = (NamedCertificate(one, name=name) for one, name in zip(files, named, strict=True))
        return [*others, *(Wanted("sni-dir", one) for one in known)]


def all_of(listeners: Iterable[Listener]) -> list[Certificate]:
    """Every certificate that these listeners show."""
    found: list[Certificate] = []
    for tls in (listener.tls for listener in listeners if listener.tls is not None):
        found += [one for one in (tls.certificate, *tls.named) if one not in found]
    return found


def rows_of(listeners: Iterable[Listener]) -> tuple[Row, ...]:
    """What to keep for the next image."""
    return tuple((*_row_paths(one.files), one.chain, one.key, one.authority, one.stamp) for one in all_of(listeners))


def _row_paths(files: CertificateFiles) -> tuple[str, str, str]:
    return files.certificate, files.key, files.client_ca


def out_of_reach(listeners: Iterable[Listener]) -> list[str]:
    """Lines about keys that this process, having become another user, cannot read again."""
    keys = dict.fromkeys(one.files.key for one in all_of(listeners))
    return [
        f"*** WARNING: the key {key} may not be read by uid {os.geteuid()}: a renewed certificate needs a restart, "
        "or a copy that this user may read ***"
        for key in keys
        if not os.access(key, os.R_OK, effective_ids=True)
    ]
