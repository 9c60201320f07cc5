"""The CDDL of claims, as another implementation reads it, agrees with what is written and with what is refused."""

from __future__ import annotations

from pathlib import Path

import pycddl
import pytest

from ledger_client.claims.claim import Deed, parse_claim
from ledger_client.formats import cbor
from tests.ledger_client.claims.test_claim import DEEDS, TRANSFER, signed

CDDL = (Path(__file__).parents[3] / "docs" / "accounting.cddl").read_text()


@pytest.mark.parametrize("deed", DEEDS)
def test_a_claim_fits_its_cddl(deed: Deed) -> None:
    entry = signed(deed)
    pycddl.Schema("start = claim-envelope\n" + CDDL).validate_cbor(entry)
    pycddl.Schema("start = claim\n" + CDDL).validate_cbor(parse_claim(entry).sign1.payload)
    pycddl.Schema("start = claim-header\n" + CDDL).validate_cbor(parse_claim(entry).sign1.protected_bytes)


@pytest.mark.parametrize("change", [{"op": "burn"}, {"slice": [0]}, {"cert": b""}, {"more": 1}])
def test_what_is_no_claim_does_not(change: dict[str, object]) -> None:
    with pytest.raises(pycddl.ValidationError):
        pycddl.Schema("start = claim\n" + CDDL).validate_cbor(cbor.encode(TRANSFER | change))
