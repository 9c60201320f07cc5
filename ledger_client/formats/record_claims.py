"""Claims of a record: whose it is and where it stands in its meter's sequence (RFC 8392, RFC 9597). No I/O."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ledger_client.errors import Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import MAX_TIME_S, blob, name, table, time_s, uint
from ledger_client.formats.senml_writer import Unusual, uint_bytes

GATEWAY_ITSELF: Final = "gateway"  # the sub of the gateway's own events; no meter may bear this name
CLOCKS: Final = frozenset("UISR")  # OCMF: unknown, informative, synchronised, relative


class Claims(NamedTuple):
    """Whose record this is and where it stands; a tuple, because one is made for every record.

    ``iat`` Unix seconds of signing; ``up_ms`` the monotonic clock since the epoch began; ``seq`` 0, 1, 2 … of this
    meter in this ``epoch`` (8 random bytes a process start); ``prev`` SHA-256 of the meter's last record (None: there
    is none); ``clock`` one of U I S R; ``err_ms`` the clock's error bound; ``salt`` 16 bytes against guessing.
    """

    gateway: str
    meter: str
    iat: int
    up_ms: int
    seq: int
    epoch: bytes
    prev: bytes | None
    clock: str
    err_ms: int | None = None
    salt: bytes | None = None


def claims_map(claims: Claims) -> dict[Any, object]:
    """The CWT claims as they are written."""
    optional = {"err": claims.err_ms, "prev": claims.prev, "salt": claims.salt}
    return {
        cose.ISS: claims.gateway,
        cose.SUB: claims.meter,
        cose.IAT: claims.iat,
        "up": claims.up_ms,
        "seq": claims.seq,
        "clock": claims.clock,
        "epoch": claims.epoch,
    } | {key: value for key, value in optional.items() if value is not None}


def parse_claims(value: object) -> Claims:
    """Read the CWT claims of a record."""
    required = {cose.ISS, cose.SUB, cose.IAT, "up", "seq", "clock", "epoch"}
    claims = table(value, "the record's claims", required, {"err", "prev", "salt"})
    if type(claims["clock"]) is not str or claims["clock"] not in CLOCKS:
        raise Malformed(f"clock is {claims['clock']!r}, not one of U, I, S and R")
    return Claims(
        name(claims[cose.ISS], "iss"),
        name(claims[cose.SUB], "sub"),
        time_s(claims[cose.IAT], "iat"),
        uint(claims["up"], "up"),
        uint(claims["seq"], "seq"),
        blob(claims["epoch"], "epoch", 8),
        blob(claims["prev"], "prev", 32) if "prev" in claims else None,
        claims["clock"],
        uint(claims["err"], "err") if "err" in claims else None,
        blob(claims["salt"], "salt", 16) if "salt" in claims else None,
    )


class HeaderWriter:
    """Writes the protected headers of one meter's records of one content type by one key, without an encoder."""

    def __init__(self, gateway: str, meter: str, alg: int, content: str, kid: bytes) -> None:
        """``EncodeError``, or ``Malformed`` for names and an alg that no record may bear."""
        header = {cose.ALG: alg, cose.CONTENT_TYPE: content, cose.KID: blob(kid, "kid", 32), cose.CWT_CLAIMS: None}
        cose.header_alg(header)
        self._fixed = cbor.encode(header)[:-1]  # up to the claims, whose map follows
        owner = cbor.encode(name(gateway, "iss")), cbor.encode(name(meter, "sub"))
        self._names = b"\x01%b\x02%b\x06" % owner

    def encode(self, claims: Claims) -> bytes:
        """The header of claims of this owner; ``Unusual`` for claims that ``sign_record`` is to judge."""
        count = 7 + (claims.err_ms is not None) + (claims.prev is not None)
        prev = claims.prev
        if claims.clock not in CLOCKS or claims.salt is not None or claims.iat > MAX_TIME_S:
            raise Unusual
        if len(claims.epoch) != 8 or not (prev is None or len(prev) == 32):
            raise Unusual
        return b"".join(
            (
                self._fixed,
                bytes((0xA0 + count,)),
                self._names,
                uint_bytes(claims.iat),
                b"\x62up",
                uint_bytes(claims.up_ms),
                b"" if claims.err_ms is None else b"\x63err" + uint_bytes(claims.err_ms),
                b"\x63seq",
                uint_bytes(claims.seq),
                b"" if prev is None else b"\x64prev\x58\x20" + prev,
                b"\x65clock\x61",
                claims.clock.encode(),
                b"\x65epoch\x48",
                claims.epoch,
            )
        )
