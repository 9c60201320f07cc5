"""The claim of a balance: it can be signed, says what it cites, and differs where the balance would."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import cbor2
import pytest

from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.balance.citing import claim_of, differences
from ledger_client.balance.reckoning import balance
from ledger_client.balance.result import Result
from ledger_client.balance.writing import as_json, hours_csv
from ledger_client.claims.claim import Balance, Claim, parse_claim, sign_claim
from ledger_client.formats.cose_key import PrivateKey
from tests.support.certificates.balanced import PARTY, hour, offset, retired, source, terms


def made(**changed: Any) -> Result:
    rows = [hour(12, 10_000_000), hour(20, 10_000_500)]
    return balance(terms(**changed), [source(rows)], [retired(12, 900, 100), retired(12, 100)], [offset(1, 4)])


def test_a_signed_claim_is_what_the_balance_makes() -> None:
    deed = claim_of(made())
    entry = sign_claim(Claim(PARTY, 0, "registry", 1_800_000_000, deed), PrivateKey.generate())
    read = parse_claim(entry).claim.deed
    assert isinstance(read, Balance)
    assert list(differences(read, claim_of(made()))) == []


def test_slices_are_a_tree_of_rfc_9162() -> None:
    """By hand: two leaves, [cert, a, b] in CBOR, in order of place."""
    cert = retired(12, 1).cert
    left, right = (
        hashlib.sha256(b"\x00" + cbor2.dumps([cert, *part], canonical=True)).digest()
        for part in ((0, 100), (100, 1000))
    )
    assert claim_of(made()).slices == (2, hashlib.sha256(b"\x01" + left + right).digest())


CHANGES: dict[str, Callable[[Balance], Balance]] = {
    "to": lambda deed: dataclasses.replace(deed, to_ms=deed.to_ms + 1),
    "boundary": lambda deed: dataclasses.replace(deed, boundary="less"),
    "exclusions": lambda deed: dataclasses.replace(deed, exclusions=("the kiln",)),
    "periods": lambda deed: dataclasses.replace(deed, periods=(bytes(32),)),
    "factors": lambda deed: dataclasses.replace(deed, factors=("other",)),
    "slices": lambda deed: dataclasses.replace(deed, slices=(1, deed.slices[1])),
    "offsets": lambda deed: dataclasses.replace(deed, offsets=()),
    "totals.covered_wh": lambda deed: dataclasses.replace(
        deed, totals={**deed.totals, "covered_wh": Decimal("1000.00")}
    ),
    "totals.more": lambda deed: dataclasses.replace(deed, totals={**deed.totals, "more": Decimal("1.000")}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_every_fact_of_a_claim_is_compared(what: str) -> None:
    deed = claim_of(made())
    assert [one.what for one in differences(CHANGES[what](deed), deed)] == [what]


def test_a_claim_needs_a_boundary() -> None:
    with pytest.raises(AccountingError, match="not named"):
        claim_of(made(boundary=""))


def test_json_and_csv_have_the_same_hours_and_totals() -> None:
    result = made()
    written = json.loads(as_json(result))
    lines = hours_csv(result).decode().splitlines()
    assert list(written["hours"][0].values())[:4] == lines[1].split(",")[:4]
    assert written["totals"]["covered_wh"] == "1000.000"
    assert written["totals"] == {key: f"{total:f}" for key, total in claim_of(result).totals.items()}
    assert written["slices"]["root"] == claim_of(result).slices[1].hex()
    assert f"{retired(12, 1).cert.hex()}:0-100 {retired(12, 1).cert.hex()}:100-1000" in lines[1]
    assert f"{result.statements[0].record.hex()}#0" in lines[1]
