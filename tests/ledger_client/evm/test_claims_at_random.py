"""Two thousand random claims: contract, embedded ledger and a model of single units agree after each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ledger_client.claims import registry
from tests.ledger_client.evm.chain import chain
from tests.ledger_client.evm.claim_walk import AGAIN, DONE, walk

OPERATIONS = 2_000
MOVES = ("transfer", "retire", "export")
EVERYWHERE = (DONE, registry.NUMBER_TAKEN, registry.OUT_OF_ORDER, registry.UNKNOWN_PARTY, registry.FINAL)
THERE = {
    "issue": (*EVERYWHERE, registry.MALFORMED, registry.NOT_THE_ISSUER, registry.ORIGIN_TAKEN, AGAIN),
    "withdraw": (*EVERYWHERE, registry.NOT_THE_ISSUER, registry.NOT_THE_HOLDER),
    **dict.fromkeys(MOVES, (*EVERYWHERE, registry.MALFORMED, registry.NOT_THIS_SLICE, registry.NOT_THE_HOLDER)),
}  # fmt: skip


def test_all_agree_after_every_claim(tmp_path: Path) -> None:
    with chain(tmp_path, "--hardfork", "london", "--accounts", "200") as (_, node):
        done = walk(node, tmp_path / "ledger", 15, OPERATIONS)
    assert set(done.seen) - {("own", DONE)} == {(what, why) for what, reasons in THERE.items() for why in reasons}
    units = Counter(status for status, _ in done.model.units.values())
    assert units.total() == sum(cert.units for cert in done.certs)
    assert len(units) == 4
