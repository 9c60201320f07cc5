"""What a driver says of batches, and what it has noted."""

from __future__ import annotations

from ledger_client.formats import cbor
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.evm.driver import EvmLedger
from ledger_client.ledgers.interface import Pending
from tests.ledger_client.evm.evm_site import EvmSite

SUBMITTED = Pending(0.001)


def sent(site: EvmSite, batch: int) -> list[bytes]:
    """The hashes of what was signed for a statement, as the memory has them."""
    note = site.book.recall(statement_id(site.gateway.statement(batch)))
    assert note is not None
    return [version[1] for version in cbor.decode(note)["sent"]]


def included(driver: EvmLedger, site: EvmSite, *batches: int) -> bool:
    answers = looks(driver, site, *batches)
    return all(isinstance(answer, Pending) and answer.state == "included" for answer in answers)


def looks(driver: EvmLedger, site: EvmSite, *batches: int) -> set[bytes | Pending | None]:
    return {driver.lookup(statement_id(site.gateway.statement(batch))) for batch in batches}


def settled(driver: EvmLedger, site: EvmSite, *batches: int) -> bool:
    return all(isinstance(answer, bytes) for answer in looks(driver, site, *batches))
