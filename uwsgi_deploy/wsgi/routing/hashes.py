"""Password hashes as htpasswd and mkpasswd write them: bcrypt (where it is installed), SHA-256 and SHA-512 crypt,
Apache's MD5 crypt and the older one, {SHA}, {SSHA}. Pure.

The crypt schemes are described by their authors: Poul-Henning Kamp's MD5 crypt, and Ulrich Drepper's "Unix crypt using
SHA-256 and SHA-512" (version 0.6). Python's crypt module is not asked: it ended with Python 3.12.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Callable
from importlib import import_module, util

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MD5 = re.compile(r"\$(?P<kind>apr1|1)\$(?P<salt>[^$]{0,8})[^$]*\$(?P<hash>[./0-9A-Za-z]{22})")
_SHA_CRYPT = re.compile(
    r"\$(?P<kind>[56])\$(?:rounds=(?P<rounds>\d{1,9})\$)?(?P<salt>[^$]{0,16})[^$]*\$(?P<hash>[./0-9A-Za-z]+)"
)
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./0-9A-Za-z]{53}")
# Some of the schemes take time with the square of the length. In bytes.
LONGEST = 512
# More than anybody uses; a single request should not take minutes.
_MOST_ROUNDS = 1_000_000

# In which order the digest's bytes are written, three at a time from the most significant one.
_MD5_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5), (11,))
_SHA256_ORDER = (
    *((0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14)),
    *((15, 25, 5), (6, 16, 26), (27, 7, 17), (18, 28, 8), (9, 19, 29), (31, 30)),
)
_SHA512_ORDER = (
    *((0, 21, 42), (22, 43, 1), (44, 2, 23), (3, 24, 45), (25, 46, 4), (47, 5, 26), (6, 27, 48), (28, 49, 7)),
    *((50, 8, 29), (9, 30, 51), (31, 52, 10), (53, 11, 32), (12, 33, 54), (34, 55, 13), (56, 14, 35), (15, 36, 57)),
    *((37, 58, 16), (59, 17, 38), (18, 39, 60), (40, 61, 19), (62, 20, 41), (63,)),
)

Order = tuple[tuple[int, ...], ...]


def is_known(hashed: str) -> bool:
    """Whether passwords can be compared with this hash here."""
    return _check_of(hashed) is not None


def matches(password: bytes, hashed: str) -> bool:
    """Whether a hash is this password's. Takes as long for a wrong one as for the right one."""
    check = _check_of(hashed)
    return check is not None and len(password) <= LONGEST and check(password, hashed)


def _check_of(hashed: str) -> Callable[[bytes, str], bool] | None:
    for pattern, check in _CHECKS:
        if pattern.fullmatch(hashed):
            return check if check is not _bcrypt or util.find_spec("bcrypt") is not None else None
    return None


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("latin-1", "replace"), right.encode("latin-1", "replace"))


def _sha1(password: bytes, hashed: str) -> bool:
    """{SHA} and {SSHA}: a digest in base64, of the second kind with a salt behind it."""
    try:
        decoded = b64decode(hashed.partition("}")[2], validate=True)
    except (binascii.Error, ValueError):
        return False
    digest, salt = decoded[:20], decoded[20:]
    return hmac.compare_digest(hashlib.sha1(password + salt, usedforsecurity=False).digest(), digest)


def _bcrypt(password: bytes, hashed: str) -> bool:
    # 72 bytes are all that bcrypt looks at; newer versions of the library refuse more.
    right: bool = import_module("bcrypt").checkpw(password[:72], hashed.encode("latin-1"))
    return right


def _md5_crypt(password: bytes, hashed: str) -> bool:
    match = _MD5.fullmatch(hashed)
    assert match is not None
    magic, salt = f"${match['kind']}$".encode(), match["salt"].encode("latin-1")

    def digest(data: bytes) -> bytes:
        return hashlib.md5(data, usedforsecurity=False).digest()

    start = password + magic + salt + _stretched(digest(password + salt + password), len(password))
    length = len(password)
    while length:
        start += b"\0" if length & 1 else password[:1]
        length >>= 1
    result = _rounds(digest, digest(start), password, salt, 1000)
    return _same(_encoded(result, _MD5_ORDER), match["hash"])


def _sha_crypt(password: bytes, hashed: str) -> bool:
    match = _SHA_CRYPT.fullmatch(hashed)
    assert match is not None
    function, order = (hashlib.sha256, _SHA256_ORDER) if match["kind"] == "5" else (hashlib.sha512, _SHA512_ORDER)
    salt, rounds = match["salt"].encode("latin-1"), max(int(match["rounds"] or 5000), 1000)
    if rounds > _MOST_ROUNDS:
        return False

    def digest(data: bytes) -> bytes:
        return function(data).digest()

    inner = digest(password + salt + password)
    start = password + salt + _stretched(inner, len(password))
    length = len(password)
    while length:
        start += inner if length & 1 else password
        length >>= 1
    first = digest(start)
    password_bytes = _stretched(digest(password * len(password)), len(password))
    salt_bytes = _stretched(digest(salt * (16 + first[0])), len(salt))
    result = _rounds(digest, first, password_bytes, salt_bytes, rounds)
    return _same(_encoded(result, order), match["hash"])


def _rounds(digest: Callable[[bytes], bytes], result: bytes, password: bytes, salt: bytes, count: int) -> bytes:
    """The part that takes time, which both schemes share."""
    for turn in range(count):
        odd = turn & 1
        data = password if odd else result
        if turn % 3:
            data += salt
        if turn % 7:
            data += password
        result = digest(data + (result if odd else password))
    return result


def _stretched(data: bytes, length: int) -> bytes:
    return (data * (length // len(data) + 1))[:length]


def _encoded(digest: bytes, order: Order) -> str:
    """crypt's base64: six bits at a time, the lowest first."""
    letters: list[str] = []
    for indexes in order:
        value = int.from_bytes(bytes(digest[index] for index in indexes), "big")
        for _ in range(len(indexes) + 1):
            letters.append(_ALPHABET[value & 63])
            value >>= 6
    return "".join(letters)


_CHECKS: tuple[tuple[re.Pattern[str], Callable[[bytes, str], bool]], ...] = (
    (re.compile(r"\{S?SHA\}[A-Za-z0-9+/=]{28,}"), _sha1),
    (_BCRYPT, _bcrypt),
    (_SHA_CRYPT, _sha_crypt),
    (_MD5, _md5_crypt),
)
