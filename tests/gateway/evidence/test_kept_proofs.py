"""The proof of a commissioning record outlives its batch, which is pruned only when the proof is on the disk."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from gateway.accounting.statements.retention import Retention
from gateway.commissioning.record.configured import record_of
from gateway.commissioning.record.in_force import in_force
from gateway.config.model import Config
from gateway.errors import GatewayError, StoreError
from gateway.evidence import kept_proofs, prove
from gateway.records import MeterEvent
from gateway.storage.capacity import pruning
from gateway.storage.database import Database
from ledger_client.formats.cose_key import ES256
from ledger_client.formats.record import Event
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.verify import verify
from tests.support.evidence import key
from tests.support.samples import START_S, Hands, settle, site

METER, FAR_MS = "export-main", 1 << 62
LEDGER = key("ledger", ES256)


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    """Three anchored batches; in the first a commissioning record, and a first identity of another meter."""
    made = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    with made.trust.open("a") as file:
        file.write(key_entry("ledger", LEDGER.public, 1_700_000_000, ledger="demo-ledger"))
    hands = Hands(made)
    record = record_of(made, METER, identity="serial_number=1", by="somebody", at_ms=START_S * 1000)
    hands.journal.happened(MeterEvent(METER, record.event()))
    hands.journal.happened(MeterEvent("stack-co2", Event("commissioned", {"identity": "serial_number=2"})))
    hands.poll(20)
    settle(hands.store, [0, 1], LEDGER)
    hands.end()
    return made


def pruned(store: Database) -> None:
    keep = partial(kept_proofs.keep, store)
    while pruning.prune(store, ["demo-ledger"], FAR_MS, Retention().waits, keep):
        pass


def test_a_record_is_proven_when_its_batch_is_gone(loaded: Config) -> None:
    store = Database(loaded.database)
    before = in_force(store, METER)
    assert before is not None
    assert (before.state, before.batch, before.ledgers) == ("anchored", 0, ("demo-ledger",))
    bundle = prove.prove(store, before.row)
    pruned(store)
    assert store.batches.numbered(0) is None
    after = in_force(store, METER)
    assert after is not None
    assert (after.state, after.record, after.row) == ("pruned", before.record, before.row)
    assert prove.prove(store, after.row) == bundle
    proven = verify(bundle, load_trust(loaded.trust), START_S + 86_400)
    assert (proven.meter, proven.kind) == (METER, "event")
    assert [file.name for file in (loaded.data / "commissioning").iterdir()] == [
        f"{before.row.id.replace('/', '-')}.mseal"
    ]
    store.close()


def test_a_kept_file_that_is_not_the_proof_is_no_proof(loaded: Config) -> None:
    store = Database(loaded.database)
    found = in_force(store, METER)
    assert found is not None
    pruned(store)
    path = prove.kept_path(store, found.row)
    for wrong in (b"", b"\xa0", path.read_bytes()[:-1]):
        path.write_bytes(wrong)
        with pytest.raises(GatewayError, match="its batch was pruned"):
            prove.prove(store, found.row)
    path.unlink()
    with pytest.raises(GatewayError, match="its batch was pruned"):
        prove.prove(store, found.row)
    store.close()


def test_a_batch_stays_while_the_proof_cannot_be_written(loaded: Config) -> None:
    (loaded.data / "commissioning").write_text("in the way")
    store = Database(loaded.database)
    with pytest.raises(StoreError, match="cannot be kept"):
        pruned(store)
    assert store.batches.numbered(0) is not None
    assert store.records.pruned() == (0, 0)
    store.close()
