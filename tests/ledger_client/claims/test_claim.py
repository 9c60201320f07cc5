"""Claims on the wire: what is written is read again, byte by byte; what is none is refused by its field."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ledger_client.claims.claim import (
    AUD,
    CONTENT_CLAIM,
    Attest,
    Balance,
    Claim,
    Deed,
    Export,
    Issue,
    Offset,
    Origin,
    Retire,
    Transfer,
    Withdraw,
    is_claim,
    parse_claim,
    sign_claim,
)
from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.cose_key import PrivateKey

KEY = PrivateKey.generate()
HASH = b"\x01" * 32
ORIGIN = Origin("plant-1", "hydro", "GS1-4711", 1_790_000_100_000 // 900_000 * 900_000, 0)
ORIGIN = replace(ORIGIN, to_ms=ORIGIN.from_ms + 900_000)
OFFSET = Offset("Verra", "VCS-1", 2025, 1, 500, HASH)
DEEDS: list[Deed] = [
    Issue(ORIGIN, 5_000, "holder-1", HASH, HASH),
    Issue(ORIGIN, 5_000, "holder-1", HASH, HASH, 1_900_000_000_000),
    Transfer(HASH, (0, 5), "holder-2"),
    Retire(HASH, (5, 9), "RE100", 0, 1),
    Retire(HASH, (5, 9), "RE100", 0, 1, HASH),
    Export(HASH, (0, 1), "I-REC", "I-77"),
    Withdraw(HASH, "restated"),
    Attest(HASH, "limited", "fair", HASH),
    Balance(
        0, 3_600_000, "the works", ("canteen",), (HASH,), ("CN-residual/2023",), (3, HASH), (OFFSET,),
        {"residual": Decimal("1.500")},
    ),
]  # fmt: skip


def signed(deed: Deed, number: int = 0) -> bytes:
    return sign_claim(Claim("party-1", number, "registry-1", 1_790_000_000, deed), KEY)


@pytest.mark.parametrize("deed", DEEDS)
def test_a_claim_is_read_as_it_was_written(deed: Deed) -> None:
    entry = signed(deed, 7)
    read = parse_claim(entry)
    assert read.claim == Claim("party-1", 7, "registry-1", 1_790_000_000, deed)
    read.sign1.verify(KEY.public)
    assert is_claim(entry)
    assert read.kid == KEY.public.kid


def crafted(payload: dict[str, Any], claims: dict[Any, Any] | None = None, content: str = CONTENT_CLAIM) -> bytes:
    claims_written = (
        {cose.ISS: "party-1", cose.SUB: "claim/0", AUD: "registry-1", cose.IAT: 1} if claims is None else claims
    )
    return cose.sign1({cose.CONTENT_TYPE: content, cose.CWT_CLAIMS: claims_written}, cbor.encode(payload), KEY)


TRANSFER = {"op": "transfer", "cert": HASH, "slice": [0, 1], "to": "holder-2"}
CLAIMS = {cose.ISS: "party-1", cose.SUB: "claim/0", AUD: "registry-1", cose.IAT: 1}


@pytest.mark.parametrize(
    ("payload", "claims", "problem"),
    [
        (TRANSFER | {"op": "burn"}, CLAIMS, "op is 'burn'"),
        (TRANSFER | {"op": 5}, CLAIMS, "op is 5"),
        (TRANSFER | {"more": 1}, CLAIMS, "unknown key"),
        (TRANSFER | {"slice": [1, 1]}, CLAIMS, "has no unit"),
        (TRANSFER | {"slice": [1]}, CLAIMS, "slice is not an array"),
        (TRANSFER | {"cert": b"x"}, CLAIMS, "cert is"),
        (TRANSFER | {"to": "a b"}, CLAIMS, "to is"),
        (TRANSFER, CLAIMS | {cose.SUB: "claim/01"}, "sub is"),
        (TRANSFER, CLAIMS | {cose.SUB: "batch/0"}, "sub is"),
        (TRANSFER, {cose.ISS: "party-1", cose.SUB: "claim/0", cose.IAT: 1}, "lacks 3"),
        (TRANSFER, CLAIMS | {AUD: "a b"}, "aud is"),
    ],
)
def test_what_is_no_claim_is_refused_by_its_field(
    payload: dict[str, Any], claims: dict[Any, Any], problem: str
) -> None:
    with pytest.raises(Malformed, match=problem):
        parse_claim(crafted(payload, claims))


def test_another_content_is_no_claim() -> None:
    entry = crafted(TRANSFER, content="application/vnd.meterseal.batch+cbor")
    assert not is_claim(entry)
    with pytest.raises(Malformed, match="content type"):
        parse_claim(entry)


@pytest.mark.parametrize(
    "origin",
    [
        replace(ORIGIN, to_ms=ORIGIN.from_ms),
        replace(ORIGIN, to_ms=ORIGIN.from_ms + 4_500_000),
        replace(ORIGIN, from_ms=ORIGIN.from_ms + 1),
        Origin("plant-1", "hydro", "GS1-4711", 86_400_000 - 1_800_000, 86_400_000 + 900_000),
    ],
)
def test_an_origin_off_the_grid_is_not_signed(origin: Origin) -> None:
    with pytest.raises(EncodeError, match="C2"):
        signed(Issue(origin, 1, "holder-1", HASH, HASH))


def test_no_units_and_empty_totals_are_not_signed() -> None:
    with pytest.raises(EncodeError, match="units is 0"):
        signed(Issue(ORIGIN, 0, "holder-1", HASH, HASH))
    with pytest.raises(EncodeError, match="totals"):
        signed(Balance(0, 1, "b", (), (HASH,), (), (0, HASH), (), {}))


def test_a_serial_that_stands_twice_in_a_balance_is_not_signed() -> None:
    balance = DEEDS[-1]
    assert isinstance(balance, Balance)
    with pytest.raises(EncodeError, match="C4"):
        signed(replace(balance, offsets=(OFFSET, replace(OFFSET, first=500, last=501))))
