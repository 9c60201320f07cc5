"""Batches that are lost with a page of the database: the ledger has them, or nobody has, and their numbers are used."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.evidence.prove import find, prove
from gateway.evidence.sealing import ranges
from gateway.status.collect import collect
from gateway.storage.database import Database
from gateway.storage.recovery.repair import note_flaws, open_store
from ledger_client.verification.trust_file import load_trust
from tests.support.books import check_books, check_each_record_is_sealed_once
from tests.system.older.lives import METER, Ledger, Life, free, live

PAGE = 4096


def destroy(loaded: Config, what: Callable[[Database], bytes]) -> None:
    """Overwrite every page in which these bytes stand."""
    store = Database(loaded.database)
    part = what(store)
    store.close()
    content = bytearray(loaded.database.read_bytes())
    at = content.find(part)
    assert at >= 0
    while at >= 0:
        content[at // PAGE * PAGE : (at // PAGE + 1) * PAGE] = os.urandom(PAGE)
        at = content.find(part)
    loaded.database.write_bytes(content)
    note_flaws(loaded.database, ["the test has done it"])


def last_entry(store: Database) -> bytes:
    last = store.batches.last()
    assert last is not None
    return last.entry[-64:]


def recovered(loaded: Config) -> Database:
    return open_store(loaded, load_keys(loaded), load_trust(loaded.trust))


def check_ledger(loaded: Config, ledger: Ledger) -> None:
    check_books(loaded)
    check_each_record_is_sealed_once(loaded, [signed.entry for signed in ledger.signed_statements()])


def test_batches_that_only_the_ledger_holds_are_continued_and_nothing_is_sealed_twice(
    loaded: Config,
    ledger: Ledger,
) -> None:
    live(loaded, ledger, 3, tail=2)
    destroy(loaded, last_entry)
    store = recovered(loaded)
    (repair,) = store.repairs.all()
    assert (repair.batches, repair.lost_batches, repair.last_batch, repair.lost) == (0, 3, 2, 0)
    readings = store.records.readings(METER, 100)
    store.close()
    live(loaded, ledger, 2)
    check_ledger(loaded, ledger)
    statements = [signed.statement for signed in ledger.signed_statements()]
    assert [statement.batch for statement in statements] == [0, 1, 2, 3, 4]
    assert [statement.batch for statement in statements if statement.resume] == [3]
    store = Database(loaded.database, read_only=True)
    with pytest.raises(GatewayError, match="in a batch that this database lost"):
        prove(store, readings[0])
    store.close()


def test_a_number_is_not_used_again_whose_batch_nobody_holds_any_more(
    loaded: Config,
    ledger: Ledger,
) -> None:
    live(loaded, ledger, 30)  # the entries fill more than a page
    life = Life(loaded, ledger)
    life.until(free)
    ledger.away = True
    life.record(3)
    life.recorder.call(lambda _: None).result(timeout=30)
    while life.reader.batches.cuts():
        life.recorder.call(lambda _: None).result(timeout=30)
    life.stop()
    ledger.away = False
    destroy(loaded, last_entry)
    store = recovered(loaded)
    (repair,) = store.repairs.all()
    assert repair.batches > 0
    assert repair.lost_batches > 0
    store.close()
    live(loaded, ledger, 2)
    check_ledger(loaded, ledger)
    statements = [signed.statement for signed in ledger.signed_statements()]
    (resumed,) = [statement for statement in statements if statement.resume]
    assert resumed.batch == repair.last_batch + 1
    assert "were lost with a damaged database" in str(resumed.resume)


def test_lost_anchors_are_looked_up_again(loaded: Config, ledger: Ledger) -> None:
    live(loaded, ledger, 3)

    def receipt(store: Database) -> bytes:
        found = store.anchors.of()[-1].receipt
        assert found is not None
        return found[-64:]

    destroy(loaded, receipt)
    store = recovered(loaded)
    assert {anchor.state for anchor in store.anchors.of()} == {"submitted"}
    record = store.records.readings(METER, 100)[0]
    store.close()
    before = ledger.submissions
    live(loaded, ledger, 1)
    assert ledger.submissions == before + 1  # the new batch; the others were looked up
    check_ledger(loaded, ledger)
    store = Database(loaded.database, read_only=True)
    prove(store, find(store, record.id))
    store.close()


def test_an_unnoted_hole_is_never_sealed(loaded: Config, ledger: Ledger) -> None:
    live(loaded, ledger, 1)
    store = Database(loaded.database, read_only=True)
    rows = [row for row in store.records.rows(1, 1 << 60) if row.meter == METER]
    store.close()
    holed = [rows[0], *rows[2:]]
    with pytest.raises(ValueError, match="the sequence is broken"):
        ranges(holed)
    hole = (METER, rows[1].epoch, 1, 1)
    stretches = ranges(holed, [hole])[METER]
    assert [(s.first, s.last) for s in stretches] == [(0, 0), (2, len(rows) - 1)]
    assert sum(map(len, stretches)) == len(holed)


def test_records_of_lost_batches_stay_unsealed_where_a_ledger_cannot_tell(loaded: Config, ledger: Ledger) -> None:
    live(loaded, ledger, 3, tail=2)
    destroy(loaded, last_entry)
    recovered(loaded).close()
    ledger.tells_last = False
    life = Life(loaded, ledger)
    life.until(free)
    life.stop()
    store = Database(loaded.database, read_only=True)
    marked, repair = store.elsewhere.count()[1], store.repairs.all()[0]
    assert marked == repair.sealed_to == sum(signed.statement.size for signed in ledger.signed_statements())
    assert f"{marked} records of lost batches stay unsealed permanently" in str(collect(loaded, store, 0).repairs[1])
    with pytest.raises(GatewayError, match="no ledger can tell"):
        prove(store, store.records.readings(METER, 100)[0])
    store.close()
    check_books(loaded)
