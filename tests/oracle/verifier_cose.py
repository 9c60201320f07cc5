"""The ground of the second verifier (verifier.py): CBOR, shapes of values, COSE_Sign1, keys, trees.

Sections in brackets are those of docs/verifier.md.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

MAX_UINT, MAX_S = 2**64 - 1, 253402300799
MAX_MS = MAX_S * 1000 + 999


class Bad(Exception):
    """It does not hold, for this reason."""


def demand(fits: bool, what: str) -> None:
    if not fits:
        raise Bad(what)


# ---- CBOR: what evidence is written in [Encoding]


class Tag(NamedTuple):
    number: int
    value: Any


SMALL = range(-24, 24)
MAX_DEPTH = 16
NO_VALUE = object()


def decode(data: bytes, *, strict: bool = True) -> Any:
    """The one item that ``data`` is. Not strict: RFC 8949 with definite lengths, for what others wrote."""
    value, end = item(data, 0, 0, strict)
    if end != len(data):
        raise Bad(f"{len(data) - end} bytes behind the CBOR item")
    return value


def item(data: bytes, at: int, depth: int, strict: bool) -> tuple[Any, int]:
    if depth > MAX_DEPTH:
        raise Bad("CBOR nested too deeply")
    if at >= len(data):
        raise Bad("CBOR ends early")
    major, info, start = data[at] >> 5, data[at] & 31, at
    at += 1
    number = info
    if info > 23:
        size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info)
        if size is None:
            raise Bad("indefinite length, or a reserved head")
        if at + size > len(data):
            raise Bad("CBOR ends early")
        number = int.from_bytes(data[at : at + size], "big")
        at += size
        if strict and major < 7 and number < (24, 1 << 8, 1 << 16, 0, 1 << 32)[size // 2 if size < 8 else 4]:
            raise Bad("a number that is not in its shortest form")
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        if at + number > len(data):
            raise Bad("CBOR ends early")
        raw = data[at : at + number]
        return raw if major == 2 else text_of(raw), at + number
    if major == 4:
        array = []
        for _ in range(number):
            value, at = item(data, at, depth + 1, strict)
            array.append(value)
        return array, at
    if major == 5:
        return map_of(data, at, number, depth, strict)
    if major == 6:
        value, at = item(data, at, depth + 1, strict)
        if strict and number == 4:
            if not (listed(value, 2, 2) and integer(value[0], -64, 64) and integer(value[1])):
                raise Bad("no decimal fraction")
        elif strict and (number != 18 or start != 0):
            raise Bad(f"tag {number}")
        return Tag(number, value), at
    return simple(info, number, data[start:at], strict), at


def map_of(data: bytes, at: int, count: int, depth: int, strict: bool) -> tuple[dict[Any, Any], int]:
    found: dict[Any, Any] = {}
    last = b""
    for _ in range(count):
        start = at
        key, at = item(data, at, depth + 1, strict)
        encoded = data[start:at]
        if type(key) not in (int, str, bytes) or key in found:
            raise Bad("a key of a map that is neither number nor string, or comes twice")
        if strict and encoded <= last:
            raise Bad("keys of a map out of order")
        last = encoded
        found[key], at = item(data, at, depth + 1, strict)
    short = all(type(key) is str or (type(key) is int and key in SMALL) for key in found)
    if strict and not short and not all(integer(key, 0) for key in found):
        raise Bad("keys of a map of more than one kind")
    return found, at


def simple(info: int, number: int, raw: bytes, strict: bool) -> Any:
    if info in (20, 21, 22):
        return (False, True, None)[info - 20]
    if info in (25, 26, 27):
        value: float = struct.unpack({25: ">e", 26: ">f", 27: ">d"}[info], raw[1:])[0]
        if strict and (not math.isfinite(value) or raw != shortest(value)):
            raise Bad("a float that is not finite, or not in its shortest form")
        return value
    if strict or (info == 24 and number < 32):
        raise Bad("a simple value")
    return NO_VALUE


def shortest(value: float) -> bytes:
    for head, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            raw = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, raw)[0] == value:
            return head + raw
    return b"\xfb" + struct.pack(">d", value)


def text_of(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Bad("text that is not UTF-8") from None


# ---- shapes: evidence.cddl as functions of a value

Shape = Callable[[Any], bool]


def integer(value: Any, low: int = -(2**64), high: int = MAX_UINT) -> bool:
    return type(value) is int and low <= value <= high


def listed(value: Any, low: int, high: int) -> bool:
    return type(value) is list and low <= len(value) <= high


def between(low: int, high: int = MAX_UINT) -> Shape:
    return lambda value: integer(value, low, high)


def octets(low: int, high: int | None = None) -> Shape:
    return lambda value: type(value) is bytes and low <= len(value) <= (high or low)


def text(pattern: str) -> Shape:
    return lambda value: type(value) is str and re.fullmatch(pattern, value, re.ASCII | re.DOTALL) is not None


def exactly(*values: Any) -> Shape:
    return lambda value: any(type(value) is type(one) and value == one for one in values)


def array(inner: Shape, low: int, high: int = MAX_UINT) -> Shape:
    return lambda value: listed(value, low, high) and all(inner(one) for one in value)


def group(*inner: Shape) -> Shape:
    return lambda value: listed(value, len(inner), len(inner)) and all(a(b) for a, b in zip(inner, value, strict=True))


def table(needed: Mapping[Any, Shape], more: Mapping[Any, Shape] | None = None) -> Shape:
    """A map of these keys and no others."""
    known = {**needed, **(more or {})}
    return lambda value: (
        type(value) is dict
        and needed.keys() <= value.keys() <= known.keys()
        and all(known[k](v) for k, v in value.items())
    )


def each(key: Shape, inner: Shape, low: int = 0) -> Shape:
    """A map of any number of such keys."""
    return lambda value: (
        type(value) is dict and len(value) >= low and all(key(k) and inner(v) for k, v in value.items())
    )


def any_value(value: Any) -> bool:
    return True


def decimal(value: Any) -> bool:
    return type(value) is Tag and value.number == 4


def milliseconds(value: Any) -> bool:
    return decimal(value) and value.value[0] == -3 and integer(value.value[1], 0, MAX_MS)


NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}"
NAME, UINT, POSITIVE, HASH, EPOCH = text(NAME_PATTERN), between(0), between(1), octets(32), octets(8)
SECONDS, MS, KID = between(0, MAX_S), between(0, MAX_MS), octets(32)
LEDGER = text(NAME_PATTERN + r"|[A-Za-z][A-Za-z0-9+.\-]*:[!-~]{1,1000}")
ALG = exactly(-8, -19, -7, -9)


# ---- COSE_Sign1 and keys [Signatures and keys]


@dataclass(frozen=True)
class Sign1:
    protected: bytes
    header: dict[Any, Any]
    unprotected: dict[Any, Any]
    payload: bytes | None
    signature: bytes

    @property
    def claims(self) -> dict[Any, Any]:
        return dict(self.header[15])


def sign1(data: bytes, *, strict: bool = True) -> Sign1:
    value = decode(data, strict=strict)
    demand(type(value) is Tag and value.number == 18 and listed(value.value, 4, 4), "no tagged COSE_Sign1")
    protected, unprotected, payload, signature = value.value
    demand(type(protected) is bytes and type(unprotected) is dict, "a COSE_Sign1 without headers")
    demand(payload is None or type(payload) is bytes, "a payload that is no byte string")
    demand(type(signature) is bytes, "a signature that is no byte string")
    header = decode(protected, strict=strict) if protected else {}
    demand(type(header) is dict, "a protected header that is no map")
    demand(2 not in header and 2 not in unprotected, "crit: no extension is understood")
    demand(not header.keys() & unprotected.keys(), "a header both protected and not")
    return Sign1(protected, header, unprotected, payload, signature)


P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
N256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def on_edwards(encoded: bytes) -> bool:
    """Whether this is a point in canonical form: RFC 8032 §5.1.3."""
    y, sign = int.from_bytes(encoded, "little") & (2**255 - 1), encoded[31] >> 7
    if y >= P:
        return False
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return (square != 0 or not sign) and pow(square, (P - 1) // 2, P) in (0, 1)


def small_points() -> frozenset[bytes]:
    """Every encoding, canonical or not, of a point whose order divides 8."""
    y8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
    rows = {0, 1, P - 1, P, P + 1, y8, P - y8}
    return frozenset((y | sign << 255).to_bytes(32, "little") for y in rows for sign in (0, 1))


SMALL_POINTS = small_points()


def small_order(encoded: bytes) -> bool:
    return encoded in SMALL_POINTS


def demand_ed25519_form(signature: bytes) -> None:
    """Raises Bad for a signature that no signer writes: S not below L, R of small order."""
    demand(len(signature) == 64, "a signature that has not 64 bytes")
    demand(int.from_bytes(signature[32:], "little") < L and signature[:32] not in SMALL_POINTS, "S or R out of range")


@dataclass(frozen=True)
class PublicKey:
    curve: str
    public: Any
    thumbprint: bytes

    def check(self, message: Sign1, payload: bytes, *, low_s: bool = True) -> None:
        """Raises Bad unless ``message`` is signed by this key over ``payload``: RFC 9052 §4.4, RFC 9053 §2.1, §2.2."""
        signed = cbor2.dumps(["Signature1", message.protected, b"", payload])
        demand(message.header[1] in {"Ed25519": (-8, -19), "P-256": (-7, -9)}[self.curve], "an alg of another curve")
        demand(len(message.signature) == 64, "a signature that has not 64 bytes")
        try:
            if self.curve == "Ed25519":
                demand_ed25519_form(message.signature)
                self.public.verify(message.signature, signed)
                return
            r, s = (int.from_bytes(half, "big") for half in (message.signature[:32], message.signature[32:]))
            demand(0 < r < N256 and 0 < s <= (N256 // 2 if low_s else N256 - 1), "r or s out of range")
            self.public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise Bad("the signature is not of this key") from None


def thumbprint_of(needed: dict[int, Any]) -> bytes:
    return hashlib.sha256(cbor2.dumps(needed)).digest()


@lru_cache(1024)
def cose_key(data: bytes) -> PublicKey:
    """A COSE_Key (RFC 9052 §7) of Ed25519 or P-256, and its thumbprint (RFC 9679)."""
    key = decode(data, strict=False)
    demand(type(key) is dict and -4 not in key, "no map, or a private key")
    curves = {(1, 6): ("Ed25519", (-8, -19), {1, -1, -2}), (2, 1): ("P-256", (-7, -9), {1, -1, -2, -3})}
    kind = (key.get(1), key.get(-1))
    demand(all(type(one) is int for one in kind) and kind in curves, "neither Ed25519 nor P-256")
    curve, algs, parts = curves[kind]
    demand(parts <= key.keys() <= parts | {2, 3, 4}, "a key of the COSE_Key that is not known")
    demand(3 not in key or exactly(*algs)(key[3]), "an alg of another curve")
    demand(all(octets(32)(key[part]) for part in parts - {1, -1}), "a coordinate that has not 32 bytes")
    thumbprint = thumbprint_of({part: key[part] for part in (1, -1, -2, -3) if part in parts})
    if curve == "Ed25519":
        demand(on_edwards(key[-2]) and not small_order(key[-2]), "no point of the curve, or of small order")
        return PublicKey(curve, ed25519.Ed25519PublicKey.from_public_bytes(key[-2]), thumbprint)
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key[-2] + key[-3])
    except ValueError:
        raise Bad("no point of P-256") from None
    return PublicKey(curve, point, thumbprint)


# ---- trees: RFC 9162 §2.1.3.2


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def root(hashed: bytes, size: int, index: int, path: list[bytes]) -> bytes:
    """The root to which ``path`` leads from the leaf."""
    demand(index < size, "a leaf that the tree does not have")
    fn, sn = index, size - 1
    for sibling in path:
        demand(sn != 0, "a path that is too long")
        if fn & 1 or fn == sn:
            hashed = hashlib.sha256(b"\x01" + sibling + hashed).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            hashed = hashlib.sha256(b"\x01" + hashed + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    demand(sn == 0, "a path that is too short")
    return hashed


def base64url(value: Any) -> bytes:
    """RFC 4648 §5 without padding, and with nothing in the bits that are left over."""
    demand(text(r"[A-Za-z0-9_\-]*")(value) and len(value) % 4 != 1, "no base64url")
    data = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    demand(base64.urlsafe_b64encode(data).decode().rstrip("=") == value, "no base64url")
    return data
