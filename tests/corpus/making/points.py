"""Points of edwards25519 beside the subgroup that keys are of: where verifiers by RFC 8032's two equations differ.

With a key, or an R, that has a part of order 8, the equation with the cofactor holds for signatures for which that
without it does not (RFC 8032 §5.1.7 allows both). Here only the one without counts, as OpenSSL and BoringSSL have it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.corpus.making.keys import Key, L

P: Final = 2**255 - 19
D: Final = -121665 * pow(121666, -1, P) % P
ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    x1, y1, x2, y2 = *a, *b
    t = D * x1 * x2 * y1 * y2 % P
    return (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P


def times(n: int, point: Point) -> Point:
    result: Point = 0, 1
    while n:
        if n & 1:
            result = add(result, point)
        point, n = add(point, point), n >> 1
    return result


def encoded(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decoded(data: bytes) -> Point:
    """The point of 32 bytes (RFC 8032 §5.1.3)."""
    number = int.from_bytes(data, "little")
    y, sign = number & 2**255 - 1, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    return (x if x & 1 == sign else P - x), y


BASE: Final = decoded((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
TORSION: Final = decoded(ORDER_8.to_bytes(32, "little"))


def scalar_of(signer: Key) -> int:
    assert isinstance(signer.private, ed25519.Ed25519PrivateKey)
    seed = hashlib.sha512(signer.private.private_bytes_raw()).digest()[:32]
    return int.from_bytes(seed, "little") & (2**254 - 8) | 2**254


def mixed(signer: Key) -> Key:
    """The key whose point has a part of order 8 besides."""
    x = signer.fields[-2]
    assert isinstance(x, bytes)
    return replace(signer, fields={**signer.fields, -2: encoded(add(decoded(x), TORSION))})


def sign_mixed(signer: Key, message: bytes, *, exact: bool) -> bytes:
    """A signature by a mixed key: for both equations (``exact``), or for the one with the cofactor alone."""
    public, scalar = signer.fields[-2], scalar_of(signer)
    assert isinstance(public, bytes)
    r = int.from_bytes(hashlib.sha512(public + message).digest(), "little") % L
    point = times(r, BASE)
    while True:
        k = int.from_bytes(hashlib.sha512(encoded(point) + public + message).digest(), "little")
        if (k % 8 == 0 == k % L % 8) if exact else (k % 8 and k % L % 8):  # whether or not k is reduced
            return encoded(point) + ((r + k * scalar) % L).to_bytes(32, "little")
        r, point = r + 1, add(point, BASE)


def sign_with_torsion(signer: Key, message: bytes) -> bytes:
    """A signature of which R has a part of order 8: for the equation with the cofactor alone."""
    public, scalar = signer.fields[-2], scalar_of(signer)
    assert isinstance(public, bytes)
    r = int.from_bytes(hashlib.sha512(public + message).digest(), "little") % L
    point = encoded(add(times(r, BASE), TORSION))
    k = int.from_bytes(hashlib.sha512(point + public + message).digest(), "little") % L
    return point + ((r + k * scalar) % L).to_bytes(32, "little")
