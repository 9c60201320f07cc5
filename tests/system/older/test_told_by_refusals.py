"""A database that is older than a ledger that cannot be asked: what the ledger refuses says what it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.errors import Refused
from ledger_client.formats.statement import parse_statement
from tests.support.gateways.sites import believed
from tests.system.older.lives import METER, Ledger, Life, anchored, check_all, live, put_back, saved


@pytest.fixture
def older(loaded: Config, ledger: Ledger, tmp_path: Path) -> Config:
    """Restored from a backup with a tail of five readings, which the ledger holds, in batches 2 to 4."""
    ledger.tells_last = False
    live(loaded, ledger, 2, tail=5)
    backup = saved(loaded, tmp_path)
    live(loaded, ledger, 3)
    put_back(backup, loaded)
    return loaded


def refused(times: int) -> Callable[[Life], bool]:
    """The ledger has refused the first batch in line so many times."""
    return lambda life: bool(
        any(flight.refusals >= times for flight in life._uplinks[0]._flights.values())
        and life.reader.anchors.first_refused("demo-ledger")
    )


def detail(life: Life, ledger: str = "demo-ledger") -> str:
    anchor = life.reader.anchors.first_refused(ledger)
    assert anchor is not None
    assert anchor.detail is not None
    return anchor.detail


def test_it_leaves_out_what_the_ledger_holds_and_goes_on(older: Config, ledger: Ledger, tmp_path: Path) -> None:
    life = Life(older, ledger)
    life.record(4)
    life.until(refused(1))
    assert "Batch number taken" in detail(life)
    assert life.events("rollback") == []
    life.record(2)  # a second batch, which waits behind the refused one
    life.until(lambda life: life.events("rollback"))
    life.record(1)
    life.until(anchored)
    taken = ledger.signed_statements()
    assert [signed.statement.batch for signed in taken] == list(range(8))
    assert [s.statement.batch for s in taken if s.statement.resume] == [5]
    assert taken[5].statement.resume == "restored: the database ended with batch 1, ledger demo-ledger held batch 4"
    assert (taken[5].statement.prev, taken[6].statement.prev) == (taken[4].id, taken[5].id)
    (event,) = life.events("rollback")
    facts = dict(event.fields)
    ranges = facts.pop("ranges")
    left = sum(last - first + 1 for _, _, first, last in ranges)
    assert facts == {"ledger": "demo-ledger", "ours": 1, "theirs": 4, "statement": taken[4].id, "records": left}
    main = next(hole for hole in ranges if hole[0] == METER)
    held = [r for signed in taken[:5] for r in signed.statement.meters[METER] if r.epoch == main[1]]
    assert main[3] == held[-1].last
    assert life.reader.elsewhere.count() == (0, left)
    assert life.alarms() == ["rollback"]
    life.stop()
    check_all(older, ledger, tmp_path)


def test_one_refusal_is_not_believed(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    """Nobody has signed it: whoever can speak on the wire could have old records left out by one message."""
    ledger.tells_last = False
    live(loaded, ledger, 2, tail=5)
    wire = Wire(ledger, [lie(loaded)])
    life = Life(loaded, wire)
    life.record(3)
    life.until(anchored)
    assert wire.lies == []
    assert life.events("rollback") == []
    assert life.reader.elsewhere.count() == (0, 0)
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_nothing_of_the_present_epoch_is_ever_left_out(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    ledger.tells_last = False
    live(loaded, ledger, 2, tail=5)
    wire = Wire(ledger, [])
    life = Life(loaded, wire)
    life.record(3)
    epoch = life.recorder._journal._pending.signer.epoch
    wire.lies = [lie(loaded, [METER, epoch, 2, 7])] * 4
    life.until(anchored)
    assert wire.lies == []
    assert life.events("rollback") == []
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_what_another_ledger_has_is_not_sealed_anew(older: Config, ledger: Ledger, tmp_path: Path) -> None:
    """Then the refused batch stands first in line, as it did before, and an alarm says so."""
    believed(tmp_path / "second", older, "second-ledger")
    text = older.path.read_text()
    older.path.write_text(f'{text}\n[[ledger]]\nname = "second-ledger"\ntype = "http"\nurl = "http://127.0.0.1:9"\n')
    both, second = load_config(older.path), Ledger(tmp_path / "second", "second-ledger")
    second.tells_last = False
    life = Life(both, second, ledger)
    life.record(4)
    life.until(lambda life: life.reader.anchors.last_settled("second-ledger") == 2)
    life.until(lambda life: any(flight.refusals > 2 for flight in life._uplinks[1]._flights.values()))
    assert "Batch number taken" in detail(life)
    assert life.events("rollback") == []
    life.stop()
    second.close()


def test_of_two_that_run_at_once_the_one_whose_batches_were_taken_stands_still(
    older: Config, ledger: Ledger, tmp_path: Path
) -> None:
    """A ledger that took a batch of this epoch knows this gateway as it is: what it holds beside is another's."""
    life = Life(older, ledger)
    life.record(4)
    life.until(lambda life: life.events("rollback"))
    life.record(2)
    life.until(anchored)
    last = ledger.signed_statements()[-1]
    other = parse_statement(last.entry).statement
    lies = [Refused("Batch number taken", "", {"held": {"batch": other.batch + 3, "id": bytes(32), "ranges": []}})] * 4
    wire = Wire(ledger, lies)
    life._ledgers = (wire,)
    life.record(2)
    life.until(refused(3))
    assert len(life.events("rollback")) == 1
    life.until(anchored)
    life.stop()
    check_all(older, ledger, tmp_path)


class Wire(Ledger):
    """On the way to a ledger somebody answers first."""

    def __init__(self, ledger: Ledger, lies: list[Refused]) -> None:
        self.__dict__.update(ledger.__dict__)
        self.lies = lies

    def submit(self, entry: bytes) -> Any:
        if self.lies:
            raise self.lies.pop(0)
        return super().submit(entry)


def lie(loaded: Config, *ranges: list[object]) -> Refused:
    """A refusal in the ledger's form: everything that was not sealed yet is said to be held."""
    store = Database(loaded.database, read_only=True)
    unsealed = {(row.meter, row.epoch) for row in store.records.rows(store.batches.sealed_to() + 1, 1 << 60)}
    last = store.batches.last()
    store.close()
    assert last is not None
    lies = [[meter, epoch, 1 << 40, last.batch + 5] for meter, epoch in sorted(unsealed)]
    held = {"batch": last.batch + 5, "id": bytes(32), "ranges": [*lies, *ranges]}
    return Refused("Batch number taken", "it is taken", {"held": held})
