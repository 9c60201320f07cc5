"""Keys: COSE_Key (RFC 9052 §7, RFC 9053), thumbprints (RFC 9679), non-malleable signatures, key files.

Two algorithms: Ed25519 (alg −8, or −19 of RFC 9864) and ECDSA P-256 with SHA-256 (alg −7, or −9). Signatures are raw:
R ‖ S, 64 bytes. Of an ES256 pair (r, s), (r, n − s) only the one with s ≤ n/2 is accepted, of Ed25519 only S < L, so
that nobody can make a second valid form of a record that he has seen.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ledger_client.durable_files import sync_folder
from ledger_client.errors import BadSignature, EncodeError, KeyFileError, Malformed
from ledger_client.formats import cbor, ed25519_points
from ledger_client.formats.base64url import base64url as base64url
from ledger_client.formats.base64url import unbase64url as unbase64url
from ledger_client.formats.checks import table
from ledger_client.messages import Message
from ledger_client.system_errors import os_error

EDDSA: Final = -8
ES256: Final = -7
ED25519_ALGS: Final = frozenset({-8, -19})
P256_ALGS: Final = frozenset({-7, -9})
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_KTY, _KID, _ALG, _KEY_OPS, _CRV, _X, _Y, _D = 1, 2, 3, 4, -1, -2, -3, -4
_OKP, _EC2 = 1, 2
_ECDSA: Final = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: ``alg`` its own (or its curve's) algorithm, ``cose_key`` its encoding, ``kid`` its thumbprint."""

    alg: int
    cose_key: bytes
    kid: bytes
    _key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey = field(repr=False, compare=False)

    @classmethod
    def from_cose_key(cls, data: bytes) -> PublicKey:
        """Read a COSE_Key in any encoding with definite lengths; ``Malformed`` if private, of another curve or weak."""
        key = cbor.decode(data, foreign=True)
        if isinstance(key, dict) and _D in key:
            raise Malformed("COSE_Key with its private part (-4); give the public key only, and replace this one")
        table(key, "COSE_Key", {_KTY, _CRV, _X}, {_KID, _ALG, _KEY_OPS, _Y})
        x, y, kind = key[_X], key.get(_Y), (key[_KTY], key[_CRV])
        if not all(type(part) is int for part in kind):
            raise Malformed("COSE_Key: kty or crv is not an integer")
        public: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
        if type(x) is not bytes or len(x) != 32:
            raise Malformed("COSE_Key: x is not 32 bytes")
        if kind == (_OKP, 6) and y is None:
            algs, public = ED25519_ALGS, _ed25519(x)
            thumb = {_KTY: _OKP, _CRV: 6, _X: x}
        elif kind == (_EC2, 1):
            if type(y) is not bytes or len(y) != 32:
                raise Malformed("COSE_Key: y is not 32 bytes (compressed points have no RFC 9679 thumbprint)")
            algs, public = P256_ALGS, _p256(x, y)
            thumb = {_KTY: _EC2, _CRV: 1, _X: x, _Y: y}
        else:
            raise Malformed(f"COSE_Key: kty {key[_KTY]!r}, crv {key[_CRV]!r} is neither Ed25519 nor P-256")
        alg = key.get(_ALG, max(algs))
        if type(alg) is not int or alg not in algs:
            raise Malformed(f"COSE_Key: alg {alg!r} is not for its curve ({sorted(algs)})")
        return cls(alg, bytes(data), hashlib.sha256(cbor.encode(thumb)).digest(), public)

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """Read base64url without padding."""
        return cls.from_cose_key(unbase64url(text))

    def to_text(self) -> str:
        """The COSE_Key in base64url without padding."""
        return base64url(self.cose_key)

    def __reduce__(self) -> tuple[Callable[[bytes], PublicKey], tuple[bytes]]:
        return PublicKey.from_cose_key, (self.cose_key,)  # for another process: the library's own key cannot go there

    def accepts(self, alg: object) -> bool:
        """True if a signature that names ``alg`` may be by this key."""
        return type(alg) is int and alg in (ED25519_ALGS if self.alg in ED25519_ALGS else P256_ALGS)

    def verify(self, signature: bytes, message: bytes, *, low_s: bool = True) -> None:
        """Raise ``BadSignature`` unless it is this key's, in the one accepted form (``low_s=False``: either s)."""
        if len(signature) != 64:
            raise BadSignature(Message("signature-length", n=len(signature)))
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                if int.from_bytes(signature[32:], "little") >= ed25519_points.L:
                    raise BadSignature(Message("signature-s-too-large"))
                if signature[:32] in ed25519_points.LOW_ORDER:
                    raise BadSignature(Message("signature-r-small"))
                self._key.verify(signature, message)
            else:
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                if low_s and s > P256_ORDER // 2:
                    raise BadSignature(Message("signature-high-s"))
                self._key.verify(encode_dss_signature(r, s), message, _ECDSA)
        except InvalidSignature:
            raise BadSignature(Message("signature-wrong", kid=base64url(self.kid))) from None


@runtime_checkable
class Signer(Protocol):
    """What can sign: a key in a file, or one that never leaves its hardware."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes R ‖ S over the message, ES256 with s ≤ n/2."""


class PrivateKey:
    """A private key in memory."""

    __slots__ = ("_key", "public", "sign")

    def __init__(self, key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            x = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            self.public = PublicKey.from_cose_key(cbor.encode({_KTY: _OKP, _ALG: EDDSA, _CRV: 6, _X: x}))
            self.sign: Callable[[bytes], bytes] = key.sign
            return
        numbers = key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        self.public = PublicKey.from_cose_key(cbor.encode({_KTY: _EC2, _ALG: ES256, _CRV: 1, _X: x, _Y: y}))
        self.sign = self._sign_es256

    def _sign_es256(self, message: bytes) -> bytes:
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        return raw_low_s(self._key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))

    @classmethod
    def generate(cls, alg: int = EDDSA) -> PrivateKey:
        """A new key for alg −8 (Ed25519) or −7 (P-256)."""
        if alg not in (EDDSA, ES256):
            raise EncodeError(f"no keys are made for alg {alg}; use {EDDSA} (Ed25519) or {ES256} (P-256)")
        return cls(ed25519.Ed25519PrivateKey.generate() if alg == EDDSA else ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> PrivateKey:
        """Read unencrypted PKCS#8; ``Malformed`` for anything else."""
        if b"-----BEGIN PRIVATE KEY-----" not in pem:
            raise Malformed(Message("key-file-not-pkcs8"))
        try:
            key = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise Malformed(Message("key-file-not-a-key")) from None
        if isinstance(key, ed25519.Ed25519PrivateKey) or (
            isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
        ):
            return cls(key)
        raise Malformed(Message("key-file-algorithm"))

    def to_pem(self) -> bytes:
        """Unencrypted PKCS#8."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def raw_low_s(der: bytes) -> bytes:
    """R ‖ S with s ≤ n/2 from a DER signature as libraries and hardware give it; both forms verify alike."""
    r, s = decode_dss_signature(der)
    return r.to_bytes(32, "big") + min(s, P256_ORDER - s).to_bytes(32, "big")


def _ed25519(x: bytes) -> ed25519.Ed25519PublicKey:
    if problem := ed25519_points.weakness(x):
        raise Malformed(f"COSE_Key: the Ed25519 point {problem}")
    return ed25519.Ed25519PublicKey.from_public_bytes(x)


def _p256(x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
    except ValueError:
        raise Malformed("COSE_Key: the point is not on P-256") from None


def load_private_key(path: str | Path) -> PrivateKey:
    """Read a key file; ``KeyFileError`` if missing, readable by others, or not a PKCS#8 key of the two kinds."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(65536)
    except FileNotFoundError:
        raise KeyFileError(str(path), Message("key-file-none")) from None
    except OSError as error:
        raise KeyFileError(str(path), Message("key-file-unreadable", error=os_error(error))) from None
    if stat.S_IMODE(mode) & 0o077:
        shown = f"{stat.S_IMODE(mode):04o}"
        raise KeyFileError(str(path), Message("key-file-open", mode=shown, path=str(path)))
    try:
        return PrivateKey.from_pem(pem)
    except Malformed as error:
        raise KeyFileError(str(path), Message("key-file-utf16") if b"\0" in pem else error.what) from None


def save_private_key(path: str | Path, key: PrivateKey) -> None:
    """Write a new key file, mode 0600, never over another one; on disk when this returns, else there is none."""
    path = Path(path)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)  # whatever the umask
                file.write(key.to_pem())
                file.flush()
                os.fsync(descriptor)
            sync_folder(path.parent)  # the name of the file, too
        except OSError:
            path.unlink()
            raise
    except FileExistsError:
        raise KeyFileError(str(path), Message("key-file-exists")) from None
    except OSError as error:
        raise KeyFileError(str(path), Message("key-file-not-writable", error=os_error(error))) from None
