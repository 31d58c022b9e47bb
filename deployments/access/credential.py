"""A key as a caller sends it, `nb-<id>-<secret>`, and the salted hash that is kept of it.

The id finds the hash, so that one hash is computed for a request, whatever the number of keys. The secret has 256
random bits: nobody can guess it, so a fast hash is as good as a slow one, which is meant for passwords. The salt keeps
two hashes of one secret from being seen to be the same. Hashes are compared in constant time.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import NamedTuple

_PREFIX = "nb-"
_ID_BYTES, _SECRET_BYTES, _SALT_BYTES = 6, 32, 16
_LONGEST = 256
_BEARER = b"bearer "
_HEADERS = (b"authorization", b"x-api-key", b"api-key")
"""The headers that a key is looked for in, in this order."""


class Credential(NamedTuple):
    """The two parts of a key."""

    id: str
    secret: str

    def __str__(self) -> str:
        """The key as it is sent."""
        return f"{_PREFIX}{self.id}-{self.secret}"


def new_credential(key_id: str = "") -> Credential:
    """Return a new key: with a new id, or a new secret for the key of that id."""
    return Credential(key_id or secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES))


def read_credential(headers: Iterable[tuple[bytes, bytes]]) -> Credential | None:
    """Return the key in the headers of a request, named in lower case; `None` where there is none that could be one.

    It is in `authorization` behind `Bearer`, in `x-api-key` or in `api-key`. What is no key of ours is passed over:
    some clients send a placeholder in one of them.
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _HEADERS:
            found.setdefault(name, value)
    for name in _HEADERS:
        if (sent := found.get(name)) is None or len(sent) > _LONGEST:
            continue
        if name == b"authorization":
            if sent[: len(_BEARER)].lower() != _BEARER:
                continue
            sent = sent[len(_BEARER) :]
        prefix, _, rest = sent.strip().decode("latin-1").partition("-")
        key_id, dash, secret = rest.partition("-")
        if f"{prefix}-" == _PREFIX and dash and key_id and secret:
            return Credential(key_id, secret)
    return None


def hash_secret(secret: str, salt: bytes | None = None) -> str:
    """Return the salted hash of `secret`, with a new salt unless one is given."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    return f"sha256${salt.hex()}${hashlib.sha256(salt + secret.encode()).hexdigest()}"


class StoredHash(NamedTuple):
    """A stored hash, ready to compare with."""

    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, stored: str) -> "StoredHash":
        """Read what `hash_secret` has written."""
        _, salt, digest = stored.split("$")
        return cls(bytes.fromhex(salt), bytes.fromhex(digest))

    def matches(self, secret: str) -> bool:
        """Return whether it is the hash of `secret`; how long that takes does not tell how much of it is right."""
        return hmac.compare_digest(
            hashlib.sha256(self.salt + secret.encode("latin-1", "replace")).digest(), self.digest
        )
