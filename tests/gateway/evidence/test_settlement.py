"""What settles a batch: a receipt by the ledger that was asked, for this statement; on a chain a place on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest

from gateway.config.ledger import Contract
from gateway.evidence.settlement import NotOurs, demand_settled
from ledger_client.formats import cbor, cose
from ledger_client.formats.bundle import Locator, encode_locator
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.statement import sign_statement, statement_id
from tests.support.evidence import LEDGER, NOW, T0, Site, key, limited, receipt_for, statement_of, trust

ENTRY = Site().entry()
OTHER = sign_statement(replace(statement_of(Site().batch), iat=T0 + 3), Site().statement_signer)
HERE = Contract(31337, bytes(range(20)))
PLACE = Locator(LEDGER, HERE.chain, HERE.address, bytes(32), 7, bytes(32))


def changed(change: Callable[[dict[Any, Any], dict[Any, Any]], object]) -> bytes:
    """A receipt with something else in its header."""
    sign1 = cose.Sign1.parse(receipt_for(ENTRY))
    header, unprotected = cbor.decode(sign1.protected_bytes), dict(sign1.unprotected)
    change(header, unprotected)
    protected = cbor2.dumps(header, canonical=True)
    return replace(sign1, protected_bytes=protected, unprotected=unprotected).encode()


RECEIPTS = {
    "another ledger's": (receipt_for(ENTRY, "elsewhere"), "from 'elsewhere': the ledger at this address does not"),
    "another statement's": (receipt_for(OTHER), "BadReceipt"),
    "vds 2": (changed(lambda p, u: p.update({395: 2})), "UnsupportedLog"),
    "a path that does not fit": (
        changed(lambda p, u: u.update({396: {-1: [cbor.encode([4, 2, [bytes(32)]])]}})),
        "BadReceipt",
    ),
    "another size than it claims": (changed(lambda p, u: p[15].update(size=5)), "the ledger signed 5"),
    "a key that nobody knows": (receipt_for(ENTRY, signer=key("thief")), "UnknownKey"),
    "of the future": (receipt_for(ENTRY, iat=NOW + 301), "in the future"),
    "a place": (encode_locator(PLACE), "receipt is invalid"),
    "nothing": (b"", "Malformed"),
}


def refusal(answer: bytes, contract: Contract | None = None) -> str:
    with pytest.raises(NotOurs) as caught:
        demand_settled(ENTRY, answer, LEDGER, trust(ledgers=(LEDGER, "elsewhere")), NOW, contract)
    return str(caught.value)


def test_its_own_receipt() -> None:
    demand_settled(ENTRY, receipt_for(ENTRY), LEDGER, trust(), NOW)


@pytest.mark.parametrize("name", RECEIPTS)
def test_no_other_receipt(name: str) -> None:
    answer, words = RECEIPTS[name]
    assert words in refusal(answer)


def test_no_receipt_by_a_key_that_was_not_valid_then_or_was_revoked() -> None:
    stale = limited(LEDGER, valid_to=T0)
    revoked = limited(LEDGER, "revoked = 2026-01-01T00:00:00Z")
    for believed in (stale, revoked):
        with pytest.raises(NotOurs, match="KeyNotValid"):
            demand_settled(ENTRY, receipt_for(ENTRY), LEDGER, believed, NOW)


def test_a_place_on_the_chain_and_contract_of_the_configuration() -> None:
    tree = Tree([leaf_hash(bytes(32)), leaf_hash(statement_id(ENTRY)), leaf_hash(bytes(32))])
    for place in (PLACE, replace(PLACE, inclusion=(3, 1, tuple(tree.path(1))))):
        demand_settled(ENTRY, encode_locator(place), LEDGER, trust(), NOW, HERE)


def test_no_other_place() -> None:
    others: list[dict[str, Any]] = [{"ledger": "elsewhere"}, {"chain": 1}, {"contract": bytes(20)}]
    for other in others:
        problem = refusal(encode_locator(replace(PLACE, **other)), HERE)
        assert "configured are 'demo-ledger', 31337, 0x0001" in problem
    for path in ((), (bytes(32),) * 3):
        assert "no root" in refusal(encode_locator(replace(PLACE, inclusion=(3, 1, path))), HERE)
    for answer in (receipt_for(ENTRY), b"", b"\xa0"):
        assert "not a place on a chain" in refusal(answer, HERE)
