"""Exports: whole batches leave the database as files before pruning takes them, and never half of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.accounting.statements.retention import Retention
from gateway.cli.demo import finish
from gateway.config.model import Config
from gateway.errors import GatewayError, NotYet
from gateway.evidence.export import export, export_to, file_name
from gateway.storage.capacity import pruning
from gateway.storage.database import Database
from ledger_client.audit.run import audit
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.trust_text import key_entry
from tests.support.clock_history import LIMIT
from tests.support.gateways.apart import apart
from tests.support.samples import START_S, Hands, Machine, settle, site

LEDGER = PrivateKey.generate()
FAR_S = START_S + 10**8


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    """A site that knows its ledger, with three batches."""
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    with loaded.trust.open("a") as file:
        file.write(key_entry("ledger", LEDGER.public, 1_700_000_000, ledger="demo-ledger"))
    hands = Hands(loaded)
    hands.poll(18)
    hands.end()
    return loaded


def trust(loaded: Config) -> Trust:
    return load_trust(loaded.trust)


def test_a_period_that_was_exported_holds(loaded: Config, tmp_path: Path) -> None:
    store = Database(loaded.database)
    numbers = [batch.batch for batch in store.batches.all()]
    assert len(numbers) >= 3
    settle(store, numbers, LEDGER)
    done = list(export_to(store, "test-gateway", store.batches.receipted(1 << 62), tmp_path / "out"))
    assert [x.batch for x in done] == numbers
    assert [x.size for x in done] == [x.path.stat().st_size for x in done]
    assert done[0].path.stat().st_mode & 0o777 == 0o600
    result = audit([x.path for x in done], trust(loaded), FAR_S)
    assert result.findings == []
    assert sum(result.kinds.values()) == sum(x.records for x in done)
    assert list(export_to(store, "test-gateway", numbers, tmp_path / "out")) == []  # a second time there is nothing new
    files = sorted(path.suffix for path in (tmp_path / "out").iterdir())
    assert files == [".mbatch"] * len(numbers) + [".mseal"]  # of what was configured at the start, for those behind
    store.close()


def test_only_what_has_a_receipt_and_is_old_enough_is_chosen(loaded: Config, tmp_path: Path) -> None:
    store = Database(loaded.database)
    settle(store, [0, 1], LEDGER)
    first = store.batches.numbered(0)
    assert first is not None
    assert store.batches.receipted(1 << 62) == [0, 1]
    assert store.batches.receipted(first.sealed_ms + 1) == [0]
    with pytest.raises(NotYet, match="batch 2 has no receipt yet"):
        export(store, 2, tmp_path / "x.mbatch")
    assert list(tmp_path.glob("*.mbatch*")) == []
    store.close()


def test_without_an_age_the_clock_is_not_asked(loaded: Config, tmp_path: Path) -> None:
    """Batches that were sealed later than it is now by this machine have their receipts all the same."""
    store = Database(loaded.database)
    with store.transaction():
        store.run("DROP TRIGGER batches_stay")
        store.run("UPDATE batches SET sealed_ms = sealed_ms + 1000000000000")
    settle(store, [0, 1], LEDGER)
    store.close()
    done = apart("gateway.cli", "export", loaded.path, "-o", tmp_path / "out", "--json")
    assert [written["batch"] for written in done.facts["written"]] == [0, 1]


def test_what_pruning_has_touched_is_refused_and_the_file_that_was_made_before_still_proves(
    loaded: Config, tmp_path: Path
) -> None:
    store = Database(loaded.database)
    settle(store, [0, 1], LEDGER)
    path = tmp_path / file_name("test-gateway", 0)
    export(store, 0, path)
    while pruning.prune(store, ["demo-ledger"], 1 << 62, Retention().waits):
        if store.records.pruned()[0] and store.batches.numbered(0) is not None:
            with pytest.raises(GatewayError, match="batch 0: it has been pruned"):
                export(store, 0, tmp_path / "x")
    for number, problem in ((0, "pruned"), (99, "has no such batch")):
        with pytest.raises(GatewayError, match=problem):
            export(store, number, tmp_path / "x")
    assert list(export_to(store, "test-gateway", [0, 1], tmp_path / "out", pruning=True)) == []
    assert audit([path], trust(loaded), FAR_S).sound
    store.close()


def test_a_database_that_was_tampered_with_gives_no_file(loaded: Config, tmp_path: Path) -> None:
    store = Database(loaded.database)
    settle(store, [0], LEDGER)
    store.run("DROP TRIGGER records_stay")
    store.run("UPDATE records SET data = (SELECT data FROM records WHERE id = 6) WHERE id = 5")
    (tmp_path / "x.mbatch").write_bytes(b"an earlier one")
    with pytest.raises(GatewayError, match="tampered with"):
        export(store, 0, tmp_path / "x.mbatch")
    assert (tmp_path / "x.mbatch").read_bytes() == b"an earlier one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site", "x.mbatch"]
    with pytest.raises(GatewayError, match="Not a directory"):
        export(store, 0, tmp_path / "x.mbatch" / "y")
    store.close()


def test_a_batch_alone_is_audited_with_the_proofs_that_are_written_beside_it(loaded: Config, tmp_path: Path) -> None:
    machine = Machine()
    machine.passes(600)
    hands = Hands(loaded, machine, epoch=b"\x02" * 8)
    hands.poll(3)
    hands.journal._record_every(2, LIMIT)
    hands.journal.cut()
    hands.poll(20)
    hands.end()
    store = Database(loaded.database)
    numbers = [batch.batch for batch in store.batches.all()]
    settle(store, numbers, LEDGER)
    out = tmp_path / "out"
    (done,) = export_to(store, "test-gateway", numbers[-1:], out)
    assert done.unproven is None
    assert len(done.proofs) == 3  # what was configured at the start, and the grids of the thinning and of its end
    alone = audit([done.path], trust(loaded), FAR_S)
    assert any("earlier batches" in finding.detail for finding in alone.findings)
    assert audit(sorted(out.iterdir()), trust(loaded), FAR_S).findings == []
    times = {path: path.stat().st_mtime_ns for path in done.proofs}
    (again,) = export_to(store, "test-gateway", numbers[-2:-1], out)
    assert {path: path.stat().st_mtime_ns for path in again.proofs} == times
    store.close()


def test_a_batch_that_begins_with_a_start_is_audited_with_what_was_configured_before(
    loaded: Config, tmp_path: Path
) -> None:
    machine = Machine()
    machine.passes(600)
    for number in (2, 3):  # each is killed where a batch ends
        hands = Hands(loaded, machine, epoch=bytes((number,)) * 8)
        hands.poll(12)
        hands.journal.cut()
        hands.store.close()
        machine.passes(60)
    hands = Hands(loaded, machine, epoch=b"\x04" * 8)
    hands.poll(3)
    hands.end()
    store = Database(loaded.database)
    numbers = [batch.batch for batch in store.batches.all()]
    settle(store, numbers, LEDGER)
    for number in numbers:
        out = tmp_path / f"out-{number}"
        assert len(list(export_to(store, "test-gateway", [number], out))) == 1
        assert audit(sorted(out.iterdir()), trust(loaded), FAR_S).findings == []
    store.close()


def test_a_configuration_that_is_not_anchored_is_said_not_to_be_proven(loaded: Config, tmp_path: Path) -> None:
    store = Database(loaded.database)
    settle(store, [1], LEDGER)
    (done,) = export_to(store, "test-gateway", [1], tmp_path / "out")
    assert done.proofs == ()
    assert done.unproven is not None
    assert "has no receipt yet" in str(done.unproven)
    store.close()


def test_what_a_killed_gateway_has_not_covered_waits_for_the_next_start(loaded: Config) -> None:
    machine = Machine()
    machine.passes(600)
    hands = Hands(loaded, machine, epoch=b"\x02" * 8)
    hands.poll(2)
    hands.journal.flush()
    hands.store.close()  # killed
    finish.finish(loaded, within_s=0.1)
    store = Database(loaded.database, read_only=True)
    assert store.batches.unsealed() is not None
    assert store.batches.cuts() == []
    store.close()
    Hands(loaded, machine, epoch=b"\x03" * 8).end()
    finish.finish(loaded, within_s=0.1)
    store = Database(loaded.database, read_only=True)
    assert store.batches.unsealed() is None
    store.close()
