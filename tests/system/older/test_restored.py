"""Databases that are older than their ledger: the ledger is asked before anything is sealed."""

from __future__ import annotations

# not quick: the ledger's answer is waited for
import shutil
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.evidence.prove import prove
from gateway.evidence.sealing import seal_next
from gateway.recording.rules import Rules
from gateway.storage.database import Database
from tests.support.books import check_books, open_alarms
from tests.support.gateways.sites import believed
from tests.support.samples import site
from tests.system.older.lives import Ledger, Life, anchored, check_all, free, live, put_back, saved


def test_a_restored_database_marks_what_is_sealed_and_goes_on_from_the_ledger(
    loaded: Config, ledger: Ledger, tmp_path: Path
) -> None:
    live(loaded, ledger, 2, tail=5)
    backup = saved(loaded, tmp_path)
    live(loaded, ledger, 3)  # its first batch holds the tail of five
    put_back(backup, loaded)
    life = Life(loaded, ledger)
    life.record(4)
    assert life.reader.batches.last().batch == 1  # type: ignore[union-attr]
    life.until(anchored)
    last = ledger.signed_statements()[-1].statement
    assert (last.batch, last.prev) == (5, ledger.signed_statements()[-2].id)
    assert last.resume == "restored: the database ended with batch 1, ledger demo-ledger held batch 4"
    (event,) = life.events("rollback")
    db = life.reader
    tail = [
        row
        for row in db.records.rows(1, 1 << 60)
        if (found := db.records.find(*row[:3])) and db.elsewhere.statement_of(found[0])
    ]
    assert dict(event.fields) == {
        "ledger": "demo-ledger",
        "ours": 1,
        "theirs": 4,
        "statement": ledger.signed_statements()[-2].id,
        "records": len(tail),
    }
    assert sum(row.kind == "reading" for row in tail) == 5
    with pytest.raises(Exception, match="this database lost when it was restored"):
        prove(life.reader, tail[0])
    restored = life.status().restored
    assert restored is not None
    assert (restored.sealed_elsewhere, restored.unsealed_for_ever) == (len(tail), 0)
    assert life.alarms() == ["rollback"]
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_of_two_cuts_only_the_one_that_the_ledger_holds_is_marked(
    loaded: Config, ledger: Ledger, tmp_path: Path
) -> None:
    """The machine died after one of two waiting batches was anchored, and its disk forgot both seals."""
    live(loaded, ledger, 1)
    life = Life(loaded, ledger)  # held: no uplink works
    life.record(3)
    life.record(3)
    life.record(2, cut=False)
    life.stop()
    backup = saved(loaded, tmp_path)
    store = Database(loaded.database)
    assert seal_next(store, Rules.of(loaded).issuer(load_keys(loaded).statement), Clock().now_ms())
    sealed = store.batches.last()
    assert sealed is not None
    ledger.submit(sealed.entry)
    store.close()
    put_back(backup, loaded)
    life = Life(loaded, ledger)
    life.until(anchored)
    first, second = life.reader.batches.all()
    assert (first.batch, second.batch, second.first_id) == (0, 2, sealed.first_id)
    assert life.events("rollback")[0].fields["records"] == sealed.size
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_while_the_ledger_is_away_a_start_keeps_and_cuts_and_seals_nothing(
    loaded: Config, ledger: Ledger, tmp_path: Path
) -> None:
    live(loaded, ledger, 2, tail=5)
    backup = saved(loaded, tmp_path)
    live(loaded, ledger, 1)
    put_back(backup, loaded)
    ledger.away = True
    for starts in (1, 2):  # a second start changes nothing of that
        life = Life(loaded, ledger)
        life.until(lambda life: life._uplinks[0]._failures > 3)
        status = life.status()
        waits = str(status.recording.sealing_waits)
        for _ in range(10):
            life.record(3)
        assert len(life.reader.batches.all()) == 2
        assert len(life.reader.batches.cuts()) == 10 * starts
        assert waits.startswith("sealing waits until ledger demo-ledger has answered once since the start")
        assert status.recording.sealing_waits not in status.problems()
        assert status.recording.sealing_waits in life.status().problems()  # that was five minutes
        if starts == 1:
            life.stop()
    ledger.away = False
    life.until(anchored)
    assert life.status().recording.sealing_waits is None
    assert [s.statement.batch for s in ledger.signed_statements()] == list(range(3 + 20))
    assert [s.statement.resume is not None for s in ledger.signed_statements()] == [False] * 3 + [True] + [False] * 19
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_a_new_database_goes_on_from_what_the_ledger_knows(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    live(loaded, ledger, 4)
    loaded.database.unlink()
    life = Life(loaded, ledger)
    life.record(3)
    life.until(anchored)
    assert (
        ledger.signed_statements()[-1].statement.resume
        == "restored: the database was new, ledger demo-ledger held batch 3"
    )
    assert life.events("rollback")[0].fields["records"] == 0
    assert "ours" not in life.events("rollback")[0].fields
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_nothing_found_nothing_said(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    live(loaded, ledger, 2)
    life = Life(loaded, ledger)
    life.record(2)
    life.until(anchored)
    assert (life.alarms(), life.status().restored, life.status().conflicts) == ([], None, [])
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_a_ledger_that_lost_data_is_given_it_again(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    live(loaded, ledger, 2)
    ledger.close()
    early = shutil.copytree(tmp_path / "ledger", tmp_path / "early")
    ledger = Ledger(tmp_path / "ledger")
    live(loaded, ledger, 3)
    entries = [signed.entry for signed in ledger.signed_statements()]
    ledger.close()
    poor = Ledger(early)
    life = Life(loaded, poor)
    life.record(2)
    life.until(anchored)
    assert life.alarms() == ["ledger-lost"]
    (alarm,) = open_alarms(life.reader)
    assert "gave receipts up to batch 4 and holds nothing above batch 1" in alarm["text"]
    assert [signed.entry for signed in poor.signed_statements()][:5] == entries
    assert [signed.statement.resume for signed in poor.signed_statements()] == [None] * 6
    life.stop()
    check_all(loaded, poor, tmp_path)
    poor.close()


def test_a_ledger_that_loses_data_while_the_gateway_runs_is_given_it_again(
    loaded: Config, ledger: Ledger, tmp_path: Path
) -> None:
    live(loaded, ledger, 1)
    ledger.close()
    early = shutil.copytree(tmp_path / "ledger", tmp_path / "early")
    poor = Ledger(early)
    now = Ledger(tmp_path / "ledger")
    life = Life(loaded, now)
    life.record(2)
    life.record(2)

    def loss(life: Life) -> bool:
        now.log = poor.log
        life.record(2)
        return True

    life.until(anchored, loss, anchored)
    assert [signed.statement.batch for signed in poor.signed_statements()] == [0, 1, 2, 3]
    assert life.alarms() == ["ledger-lost"]
    life.stop()
    for opened in (now, poor):
        opened.close()


def test_where_nobody_can_tell_what_is_sealed_the_old_stays_unsealed_for_ever(
    loaded: Config, ledger: Ledger, tmp_path: Path
) -> None:
    live(loaded, ledger, 2, tail=5)
    backup = saved(loaded, tmp_path)
    live(loaded, ledger, 2)
    put_back(backup, loaded)
    ledger.tells_statements = False
    life = Life(loaded, ledger)
    old = life.reader.elsewhere.count_unsealed_before()
    life.record(3)
    life.until(anchored)
    assert life.events("rollback")[0].fields["untold"] == old > 5
    restored = life.status().restored
    assert restored is not None
    assert (restored.sealed_elsewhere, restored.unsealed_for_ever) == (0, old)
    assert f"{old} of its records stay unsealed permanently" in restored.message.problem
    row = life.reader.batches.leaves(1, 1 << 60)
    assert len(list(row)) == life.reader.totals()["records"] - old
    last = life.reader.batches.last()
    assert last is not None
    untold = life.reader.records.rows(last.first_id, last.first_id)[0]
    with pytest.raises(Exception, match="no ledger can tell"):
        prove(life.reader, untold)
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_a_ledger_that_cannot_tell_anything_holds_nothing(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    ledger.tells_last = False
    live(loaded, ledger, 2)
    assert [signed.statement.batch for signed in ledger.signed_statements()] == [0, 1]
    check_all(loaded, ledger, tmp_path)


def test_without_ledgers_nothing_is_held(tmp_path: Path) -> None:
    config = site(tmp_path / "site")
    text = config.path.read_text()
    config.path.write_text(text[: text.index("[[ledger]]")])
    config = load_config(config.path)
    life = Life(config)
    assert life.recorder.health()["sealing"] is None
    life.record(3)
    life.recorder.call(lambda _: life.recorder._journal.keep_time()).result(timeout=30)
    assert len(life.reader.batches.all()) == 1
    life.stop()
    check_books(config)


def test_two_ledgers_of_which_one_knows_more_and_one_may_be_away(
    loaded: Config, ledger: Ledger, tmp_path: Path
) -> None:
    """The optional one was asked once and is not waited for; what it holds above is found when it answers."""
    believed(tmp_path / "second", loaded, "second-ledger")
    text = loaded.path.read_text()
    more = '[[ledger]]\nname = "second-ledger"\ntype = "http"\npolicy = "optional"\nurl = "http://127.0.0.1:9"\n'
    loaded.path.write_text(f"{text}\n{more}")
    both = load_config(loaded.path)
    second = Ledger(tmp_path / "second", "second-ledger")
    life = Life(both, ledger, second)
    life.record(3)
    life.record(3)
    life.until(anchored)
    life.stop()
    backup = saved(both, tmp_path)
    ledger.away = True  # the required one is away, so that only the optional one hears of batch 2
    life = Life(both, ledger, second)
    life.record(3)
    assert "ledgers demo-ledger, second-ledger" in str(life.status().recording.sealing_waits)

    def only_the_required_one_is_missing(life: Life) -> bool:
        ledger.away = "ledger demo-ledger has" not in str(life.status().recording.sealing_waits)
        return not ledger.away

    life.until(only_the_required_one_is_missing, lambda life: len(second.signed_statements()) == 3 and anchored(life))
    life.stop()
    put_back(backup, both)
    second.away = True
    life = Life(both, ledger, second)
    life.record(2)

    def the_required_one_has_all(_: Life) -> bool:
        second.away = len(ledger.signed_statements()) < 4
        return not second.away

    life.until(free, the_required_one_has_all, anchored)
    assert [signed.id for signed in second.signed_statements()] == [signed.id for signed in ledger.signed_statements()]
    life.stop()
    second.close()


def test_a_ledger_whose_answer_cannot_be_true_holds_the_seals_and_says_why(
    loaded: Config, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(loaded, ledger, 2)
    loaded.database.unlink()
    honest = ledger.statements
    monkeypatch.setattr(ledger, "statements", lambda gateway, after: [])
    life = Life(loaded, ledger)
    life.until(lambda life: "returns none above" in str(life.status().recording.sealing_waits))
    life.record(2)
    assert life.alarms() == ["ledger-odd"]
    assert life.reader.batches.all() == []
    monkeypatch.setattr(ledger, "statements", honest)
    life.until(anchored)
    assert life.alarms() == ["rollback"]
    assert ledger.signed_statements()[-1].statement.batch == 2
    life.stop()
