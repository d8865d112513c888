"""`basicauth`: HTTP's Basic authentication (RFC 7617), for one user or with a file of htpasswd's. Loaded only where a
rule asks for it.

A file is read again when it changes. What a password was found right for is remembered as a keyed digest, since hashes
that are worth anything take long. How long a refusal takes says nothing about names: a wrong one costs a hash, too.
"""

from __future__ import annotations

import binascii
import hmac
import os
from base64 import b64decode
from collections.abc import Callable

from uwsgi_deploy.wsgi.routing.answers import say
from uwsgi_deploy.wsgi.routing.chain import Act, Verdict, Visit
from uwsgi_deploy.wsgi.routing.hashes import is_known, matches
from uwsgi_deploy.wsgi.routing.text import variable

_MOST_REMEMBERED = 512
# Somebody has to be asked about unknown names; no password has this hash.
_NOBODY = "{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA="

Check = Callable[[str, str], bool]


def act_of(realm: str, who: str, *, may_go_on: bool, log: Callable[[str], None]) -> Act:
    """The function that lets a request pass or answers 401. may_go_on: a later rule asks who is not let in here."""
    refusal = say("401 Unauthorized", headers=[("WWW-Authenticate", f'Basic realm="{realm}", charset="UTF-8"')])
    check = _check_of(who, log)

    def act(visit: Visit) -> Verdict:
        environ = visit.environ
        if environ.get("REMOTE_USER"):
            return None  # a rule before, or the web server in front, knows who it is
        credentials = _credentials(variable(environ, "HTTP_AUTHORIZATION"))
        if credentials is None:
            return refusal
        if check(*credentials):
            environ["REMOTE_USER"] = credentials[0]
            return None
        return None if may_go_on else refusal

    return act


def _credentials(header: str) -> tuple[str, str] | None:
    """Name and password of an Authorization header, bytes as Latin-1; None when there are none."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = b64decode(token.strip(), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return None
    name, colon, password = decoded.partition(":")
    return (name, password) if colon and name else None


def _check_of(who: str, log: Callable[[str], None]) -> Check:
    name, colon, password = who.partition(":")
    if not who:
        return lambda _name, _password: False
    if not colon:
        return PasswordFile(who, log).knows
    # As in uWSGI: without a password any will do.
    wanted = _bytes(f"{name}:{password}" if password else name)

    def check(given_name: str, given_password: str) -> bool:
        given = f"{given_name}:{given_password}" if password else given_name
        return hmac.compare_digest(given.encode("latin-1"), wanted)

    return check


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class PasswordFile:
    """A file with a line NAME:HASH for each user."""

    def __init__(self, path: str, log: Callable[[str], None]) -> None:
        self._path, self._log = path, log
        self._stamp: tuple[int, int, int] | None = None
        self._key = os.urandom(32)
        # Hashes by name, and digests of what was found right by them: always replaced together.
        self._known: tuple[dict[str, str], set[bytes]] = ({}, set())
        self._complaint = ""
        self._read_again()

    def knows(self, name: str, password: str) -> bool:
        """Whether the password is this user's."""
        self._read_again()
        hashes, right = self._known
        wanted = hashes.get(name)
        digest = hmac.digest(self._key, f"{name}:{password}".encode("latin-1"), "sha256")
        if digest in right:
            return True
        usual = next(iter(hashes.values()), _NOBODY)
        is_right = matches(password.encode("latin-1"), wanted if wanted is not None else usual) and wanted is not None
        if is_right:
            if len(right) >= _MOST_REMEMBERED:
                right.clear()
            right.add(digest)
        return is_right

    def _read_again(self) -> None:
        """Read the file if it is another than the last time. Without it nobody is let in."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            with open(self._path, "rb") as file:
                lines = file.read().decode("latin-1").splitlines()
        except OSError as error:
            self._stamp, self._known = None, ({}, set())
            self._complain(f"{error.strerror}: nobody is let in")
            return
        pairs = [line.strip().partition(":") for line in lines if line.strip() and not line.lstrip().startswith("#")]
        hashes = {name: hashed.partition(":")[0] for name, colon, hashed in pairs if colon}
        self._known, self._stamp, self._complaint = (hashes, set()), stamp, ""
        if strange := [name for name, hashed in hashes.items() if not is_known(hashed)]:
            self._complain(f"the password of {', '.join(map(repr, strange))} has a hash that cannot be checked here")

    def _complain(self, what: str) -> None:
        if what != self._complaint:
            self._complaint = what
            self._log(f"*** WARNING: basicauth: {self._path}: {what} ***")
