"""Ed25519 points that are invalid as public keys (RFC 8032 §5.1), for checks before OpenSSL. Pure."""

from __future__ import annotations

from typing import Final

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493  # order of the base point
_D: Final = -121665 * pow(121666, -1, P) % P
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826  # and its negative
_SMALL_ORDINATES: Final = (0, 1, P - 1, _ORDER_8, P - _ORDER_8)  # y of the eight points of order 1, 2, 4 and 8
LOW_ORDER: Final = frozenset(
    (y + again + (sign << 255)).to_bytes(32, "little")
    for y in _SMALL_ORDINATES
    for again in (0, P)  # also as y + p, where that still has 255 bits
    for sign in (0, 1)
    if y + again < 2**255
)  # with x = −0 also in both signs: 14 encodings, of which verifiers differ in what they accept


def weakness(point: bytes) -> str | None:
    """What is wrong with the 32 bytes of a point, or None: not canonical, not on the curve, of small order."""
    if point in LOW_ORDER:
        return "is of small order"
    y = int.from_bytes(point, "little") & (2**255 - 1)
    if y >= P:
        return "is not in canonical form"
    # x² = (y² − 1) / (d y² + 1) must be a square (RFC 8032 §5.1.3); x = 0 only for y = ±1, which is gone by now
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    return None if pow(square, (P - 1) // 2, P) == 1 else "is not on the curve"
