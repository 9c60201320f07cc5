"""Two gateways from one card: they part at the first conflict, and no record is sealed twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.anchoring.ledger_comparison import equivocation
from gateway.config.model import Config
from tests.support.books import check_books
from tests.support.samples import site
from tests.system.older.lives import Ledger, Life, anchored, check_all, free, live, put_back, saved, stopped


def fork(loaded: Config, ledger: Ledger, tmp_path: Path) -> Path:
    """Two cards from one: the first has anchored batch 2, the second has sealed its own. Returns the first's database;
    the second's is in place, stopped."""
    live(loaded, ledger, 2)
    backup = saved(loaded, tmp_path)
    ledger.away = True
    life = Life(loaded)  # it knows of no ledger: nothing is held
    life.recorder.hold_seals(None)
    life.record(3)
    life.recorder.call(lambda _: life.recorder._journal.keep_time()).result(timeout=30)
    life.stop()
    second = saved(loaded, tmp_path)
    put_back(backup, loaded)
    ledger.away = False
    live(loaded, ledger, 1)
    first = saved(loaded, tmp_path)
    put_back(second, loaded)
    return first


@pytest.mark.parametrize("further", [0, 2])
def test_a_cloned_gateway_stops_sealing_and_anchoring_and_goes_on_recording(
    further: int, loaded: Config, ledger: Ledger, tmp_path: Path
) -> None:
    first = fork(loaded, ledger, tmp_path)
    if further:
        second = saved(loaded, tmp_path)
        put_back(first, loaded)
        live(loaded, ledger, further)
        put_back(second, loaded)
    held = [signed.id for signed in ledger.signed_statements()]
    life = Life(loaded, ledger)
    life.record(3)
    life.until(stopped)
    life.record(3)
    (conflict,) = life.reader.anchors.conflicts()
    assert (conflict.batch, conflict.statement_id) == (2, held[2])
    (event,) = life.events("equivocation")
    assert event.fields["ours"] == life.reader.batches.numbered(2).statement_id  # type: ignore[union-attr]
    assert life.alarms() == ["equivocation"]
    assert life.reconciliation.conflicts == [conflict]  # which the next one of this epoch is told of
    status = life.status()
    problem = equivocation("test-gateway", conflict, str(loaded.database))
    assert status.conflicts == [problem]
    assert status.problems().count(problem) == 1
    assert (len(life.reader.batches.all()), len(life.reader.batches.cuts())) == (3, 2)
    assert life.reader.totals()["readings"] == 6 + 3 + 6
    life.stop()
    life = Life(loaded, ledger)  # the next start knows it from the database, asks nobody and stays stopped
    life.record(1)
    assert life.recorder.health()["sealing"] == str(problem)
    life.until(lambda life: life.reconciliation.stopped)
    assert len(life.reader.batches.all()) == 3
    life.stop()
    assert [signed.id for signed in ledger.signed_statements()] == held
    check_books(loaded)


def test_two_that_run_at_once_part_at_the_first_refusal(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    live(loaded, ledger, 1)
    other = site(tmp_path / "other")
    for folder in (loaded.keys, loaded.data):
        shutil.copytree(folder, other.path.parent / folder.name, dirs_exist_ok=True)
    shutil.copy(loaded.trust, other.trust)
    lives = [Life(loaded, ledger), Life(other, ledger)]

    def first(_: Life) -> bool:
        lives[0].record(3)
        lives[0].recorder.call(lambda _: lives[0].recorder._journal.keep_time()).result(timeout=30)
        ledger.submit(lives[0].reader.batches.all()[-1].entry)
        lives[1].record(3)
        return True

    lives[0].until(free)
    lives[1].until(free, first, stopped)
    assert lives[0].status().conflicts == []
    assert lives[1].reader.anchors.conflicts()[0].statement_id == lives[0].reader.batches.numbered(1).statement_id  # type: ignore[union-attr]
    refused = [anchor.detail for anchor in lives[1].reader.anchors.of() if anchor.state == "refused"]
    assert "Batch number taken" in (refused[0] or "")
    for life in lives:
        life.stop()
    check_all(loaded, ledger, tmp_path)


def test_the_way_out_of_a_conflict_works_and_costs_what_was_recorded_since(
    loaded: Config, ledger: Ledger, tmp_path: Path
) -> None:
    fork(loaded, ledger, tmp_path)
    life = Life(loaded, ledger)
    life.until(stopped)
    life.stop()
    loaded.database.rename(loaded.database.with_name("aside.db"))
    life = Life(loaded, ledger)
    life.record(3)
    life.until(anchored)
    last = ledger.signed_statements()[-1].statement
    assert (last.batch, last.resume is not None) == (3, True)
    life.stop()
    check_all(loaded, ledger, tmp_path)
