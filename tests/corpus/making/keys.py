"""Keys of the corpus, each made of its name, and signatures by them: raw, 64 bytes, the same ones each time."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.corpus.making.wire import encode

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # order of P-256
L = 2**252 + 27742317777372353535851937790883648493  # order of Ed25519's base point
Curve = Literal["Ed25519", "P-256"]


@dataclass(frozen=True)
class Key:
    """A private key: ``fields`` are its COSE_Key (RFC 9053), ``kid`` the thumbprint of that (RFC 9679)."""

    name: str
    curve: Curve
    fields: dict[int, object]
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

    @property
    def alg(self) -> int:
        return -8 if self.curve == "Ed25519" else -7

    @property
    def kid(self) -> bytes:
        return hashlib.sha256(encode(self.fields)).digest()

    @property
    def cose_key(self) -> dict[int, object]:
        """Its public part, with its alg."""
        return {**self.fields, 3: self.alg}

    @property
    def text(self) -> str:
        """As a trust file has it."""
        return text_of(encode(self.cose_key))

    def sign(self, message: bytes) -> bytes:
        """The one signature that is to be accepted: of P-256 that with s ≤ n/2."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = decode_dss_signature(self.private.sign(message, algorithm))
        return r.to_bytes(32, "big") + min(s, N - s).to_bytes(32, "big")


@cache
def key(name: str, curve: Curve = "Ed25519") -> Key:
    """The key of that name: always the same one."""
    seed = hashlib.sha256(b"meterseal corpus: " + name.encode()).digest()
    if curve == "Ed25519":
        private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        x = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return Key(name, curve, {1: 1, -1: 6, -2: x}, private)
    point = ec.derive_private_key(int.from_bytes(seed, "big") >> 1, ec.SECP256R1())
    numbers = point.public_key().public_numbers()
    fields: dict[int, object] = {1: 2, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
    return Key(name, curve, fields, point)


def text_of(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def high_s(signature: bytes) -> bytes:
    """The other form of a P-256 signature, which mathematics accepts as well."""
    return signature[:32] + (N - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


def beyond_l(signature: bytes) -> bytes:
    """An Ed25519 signature whose S is L higher."""
    return signature[:32] + (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")


def with_identity_as_r(signer: Key, message: bytes) -> bytes:
    """An Ed25519 signature of which R is the identity, of order 1: the equation of RFC 8032 §5.1.7 holds."""
    assert isinstance(signer.private, ed25519.Ed25519PrivateKey)
    r, seed = (1).to_bytes(32, "little"), signer.private.private_bytes_raw()
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & (2**254 - 8) | 2**254
    public = signer.fields[-2]
    assert isinstance(public, bytes)
    k = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L
    return r + (k * scalar % L).to_bytes(32, "little")
