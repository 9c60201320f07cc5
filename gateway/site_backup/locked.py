"""Keys and passwords of a backup, encrypted with a passphrase.

A tar file inside the tar file, as a Fernet token (``cryptography.fernet``: AES-128-CBC and HMAC-SHA256) whose key is
made of the passphrase by scrypt (RFC 7914) with a random salt. docs/storage.md shows how to open it without Meterseal.
"""

from __future__ import annotations

import base64
from typing import Annotated, Final

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import GatewayError
from gateway.messages.message import Message

SHORTEST: Final = 12
"""Characters of a passphrase: a backup is tried against for as long as somebody likes."""


class Lock(BaseModel):
    """How the key was made of the passphrase: parameters of scrypt, and the salt in hex."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: Annotated[int, Field(ge=2**14, le=2**20)] = 2**17
    r: Annotated[int, Field(ge=1, le=16)] = 8
    p: Annotated[int, Field(ge=1, le=4)] = 1
    salt: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


def demand_passphrase(text: str) -> None:
    """Raises GatewayError: too short."""
    if len(text) < SHORTEST:
        raise GatewayError(Message("site-passphrase-short", least=SHORTEST))


def locked(data: bytes, passphrase: str, salt: bytes) -> tuple[bytes, Lock]:
    """``data`` encrypted, and how to make the key again. ``salt``: 16 random bytes."""
    lock = Lock(salt=salt.hex())
    return _box(passphrase, lock).encrypt(data), lock


def unlocked(token: bytes, passphrase: str, lock: Lock) -> bytes:
    """The inverse of ``locked``. Raises GatewayError: another passphrase, or the data was changed."""
    try:
        return _box(passphrase, lock).decrypt(token)
    except InvalidToken:
        raise GatewayError(Message("site-passphrase-wrong")) from None


def _box(passphrase: str, lock: Lock) -> Fernet:
    kdf = Scrypt(salt=bytes.fromhex(lock.salt), length=32, n=lock.n, r=lock.r, p=lock.p)
    return Fernet(base64.urlsafe_b64encode(kdf.derive(passphrase.encode())))
