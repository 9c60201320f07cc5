"""Databases that are older than their ledger, or another's: the ledger is asked before anything is sealed.

A real log in this process, real databases; a restored one is a copy that was taken earlier.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import config as configuration
from gateway import refusals, report, uplink
from gateway.clock import Clock
from gateway.commits import Rules
from gateway.comparison import conflict_text
from gateway.config import Config
from gateway.journal import seal_next
from gateway.keys import load_keys
from gateway.prove import prove
from gateway.reconcile import Reconciliation
from gateway.store import Store
from gateway.uplink import Uplink
from ledger_client.errors import LedgerUnavailable, Unsupported
from ledger_client.record import Event, parse_record
from ledger_client.statement import SignedStatement, parse_statement
from ledger_client.trust import load_trust
from tests.contract.memory import NearLedger
from tests.gateway.books import check_books, check_each_record_is_sealed_once, open_alarms
from tests.gateway.samples import believed, finished, recorder, site

METER = "export-main"
_now_ns = [time.time_ns()]  # of all lives: it goes on by a period with each poll


class Ledger(NearLedger):
    """It may be away, and may know less of what it holds than the embedded one does."""

    def __init__(self, folder: Path, name: str = "demo-ledger") -> None:
        super().__init__(folder, name)
        self._name = name
        self.away, self.tells_last, self.tells_statements = False, True, True

    @property
    def name(self) -> str:
        return self._name

    def _there(self, able: bool = True) -> None:
        if self.away:
            raise LedgerUnavailable("nobody answers")
        if not able:
            raise Unsupported("it cannot tell")

    def submit(self, entry: bytes) -> Any:
        self._there()
        return super().submit(entry)

    def lookup(self, statement_id: bytes) -> Any:
        self._there()
        return super().lookup(statement_id)

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        self._there(self.tells_last)
        return super().last(gateway)

    def statements(self, gateway: str, after: int) -> list[bytes]:
        self._there(self.tells_statements)
        return super().statements(gateway, after)

    def told(self) -> list[SignedStatement]:
        return [parse_statement(entry) for entry in self.service.statements("test-gateway", -1)]


class Life:
    """A gateway without meters from start to stop: it records when told to, everything else is as in the agent."""

    def __init__(self, loaded: Config, *ledgers: Ledger) -> None:
        self.loaded, self.clock = loaded, Clock(wall_ns=lambda: _now_ns[0], monotonic=lambda: _now_ns[0] / 1e9)
        never = {"seal_count": 10**6, "seal_every_ms": 10**12}  # by itself: the test says where a batch ends
        self.recorder, self.anchor_ms = recorder(loaded, self.clock, secrets.token_bytes(8), **never)
        self.reader = Store(loaded.database, read_only=True)
        self._ledgers, self._trust = ledgers, load_trust(loaded.trust)
        self.reconciliation = Reconciliation(loaded, self.recorder, self._trust, self.clock, self.reader.conflicts())
        self._uplinks: list[Uplink] = []
        self.polls = 0
        self._runner = asyncio.Runner()  # one event loop for the whole life: an uplink is not moved to another
        self.recorder.start()

    def record(self, polls: int, *, cut: bool = True) -> None:
        """Take so many polls; a batch ends behind them."""
        for _ in range(polls):
            self.recorder.put(finished(METER, self.anchor_ms + 10_000 * self.polls, self.clock, self.polls))
            self.polls += 1
            _now_ns[0] += 10 * 10**9
        self.recorder.call(lambda _: self.recorder._journal.cut() if cut else None).result(timeout=30)

    def until(self, *whats: Callable[[Life], object]) -> None:
        """Let the uplinks work until something is true, and then the next, in one run."""

        async def run() -> None:
            loop = asyncio.get_running_loop()  # another one each time, and an uplink belongs to one
            self._uplinks = [
                Uplink(x, self.recorder, self._trust, self.clock, self.reconciliation) for x in self._ledgers
            ]
            tasks = [asyncio.create_task(x.run()) for x in self._uplinks]
            wake = [lambda x=x: loop.call_soon_threadsafe(x.wake) for x in self._uplinks]
            self.recorder.on_seal.extend(wake)
            try:
                async with asyncio.timeout(30):
                    for what in whats:
                        while not what(self):
                            assert not [task.result() for task in tasks if task.done()]  # it raises what ended it
                            await asyncio.sleep(0.01)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self.recorder.on_seal.clear()

        self._runner.run(run())

    def status(self) -> dict[str, Any]:
        return report.status(self.loaded, self.reader, self.clock.now_ms(), self.recorder.health())

    def events(self, name: str) -> list[Event]:
        bodies = [parse_record(row.data).body for row in self.reader.epoch_events()]
        return [body for body in bodies if isinstance(body, Event) and body.name == name]

    def alarms(self) -> list[str]:
        return [alarm["code"] for alarm in open_alarms(self.reader)]

    def stop(self) -> None:
        self._runner.close()
        self.reader.close()
        self.recorder.stop()  # the last to close takes the write-ahead log along


def free(life: Life) -> bool:
    """Nothing holds the seals."""
    return life.recorder.health()["sealing"] is None


def anchored(life: Life) -> bool:
    """All that was cut is sealed and has every receipt."""
    if life.reader.cuts():  # looked at first: what is sealed between two looks is then among the anchors
        return False
    return all(anchor.state == "settled" for anchor in life.reader.anchors())


def stopped(life: Life) -> bool:
    return bool(life.reader.conflicts())


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(uplink, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(refusals, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(refusals, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(refusals, "FIRST_DOUBT_S", 0.01)


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    config = site(tmp_path / "site")
    believed(tmp_path / "ledger", config)
    return config


@pytest.fixture
def ledger(loaded: Config, tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger")
    yield made
    made.close()


def live(loaded: Config, ledger: Ledger, batches: int, *, tail: int = 0) -> None:
    """Record and anchor so many batches, and leave a tail that no batch holds."""
    life = Life(loaded, ledger)
    life.until(free)
    for _ in range(batches):
        life.record(3)
    life.until(anchored)
    life.record(tail, cut=False)
    life.stop()


def saved(loaded: Config, tmp_path: Path) -> Path:
    """A backup of a stopped gateway's database."""
    return Path(shutil.copy(loaded.database, tmp_path / f"backup-{secrets.token_hex(4)}.db"))


def put_back(backup: Path, loaded: Config) -> None:
    assert not loaded.database.with_name("meterseal.db-wal").exists()
    shutil.copy(backup, loaded.database)


def check_all(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    """After a last start that seals whatever is left, each record is sealed exactly once."""
    life = Life(loaded, ledger)
    life.record(1)
    life.until(anchored)
    life.recorder.call(lambda _: life.recorder._journal.finish()).result(timeout=30)
    life.record(0)
    life.until(anchored)
    life.stop()
    agent_left = Store(loaded.database)
    with agent_left.transaction():
        agent_left.cut()
    while seal_next(agent_left, load_keys(loaded), Rules.of(loaded), Clock().now_ms()):
        pass
    for batch in agent_left.batches():
        ledger.submit(batch.entry)
    agent_left.close()
    check_books(loaded)
    check_each_record_is_sealed_once(loaded, [signed.entry for signed in ledger.told()])


def test_a_restored_database_marks_what_is_sealed_and_goes_on_from_the_ledger(
    loaded: Config, ledger: Ledger, tmp_path: Path
) -> None:
    live(loaded, ledger, 2, tail=5)
    backup = saved(loaded, tmp_path)
    live(loaded, ledger, 3)  # its first batch holds the tail of five
    put_back(backup, loaded)
    life = Life(loaded, ledger)
    life.record(4)
    assert life.reader.last_batch().batch == 1  # type: ignore[union-attr]
    life.until(anchored)
    last = ledger.told()[-1].statement
    assert (last.batch, last.prev) == (5, ledger.told()[-2].id)
    assert last.resume == "restored: the database ended with batch 1, ledger demo-ledger held batch 4"
    (event,) = life.events("rollback")
    tail = [row for row in life.reader.rows(1, 1 << 60) if life.reader.elsewhere(life.reader.find(*row[:3])[0])]  # type: ignore[index]
    assert dict(event.fields) == {
        "ledger": "demo-ledger",
        "ours": 1,
        "theirs": 4,
        "statement": ledger.told()[-2].id,
        "records": len(tail),
    }
    assert sum(row.kind == "reading" for row in tail) == 5
    with pytest.raises(Exception, match="this database lost when it was restored"):
        prove(life.reader, tail[0])
    facts = life.status()
    assert facts["restored"]["sealed_elsewhere"] == len(tail)
    assert facts["restored"]["unsealed_for_ever"] == 0
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
    store = Store(loaded.database)
    assert seal_next(store, load_keys(loaded), Rules.of(loaded), Clock().now_ms())
    sealed = store.last_batch()
    assert sealed is not None
    ledger.submit(sealed.entry)
    store.close()
    put_back(backup, loaded)
    life = Life(loaded, ledger)
    life.until(anchored)
    first, second = life.reader.batches()
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
        facts = life.status()
        for _ in range(10):
            life.record(3)
        assert len(life.reader.batches()) == 2
        assert len(life.reader.cuts()) == 10 * starts
        assert facts["sealing"].startswith("sealing waits until ledger demo-ledger has answered once since the start")
        assert facts["sealing"] not in facts["problems"]
        assert facts["sealing"] in life.status()["problems"]  # that was five minutes
        if starts == 1:
            life.stop()
    ledger.away = False
    life.until(anchored)
    assert life.status()["sealing"] is None
    assert [s.statement.batch for s in ledger.told()] == list(range(3 + 20))
    assert [s.statement.resume is not None for s in ledger.told()] == [False] * 3 + [True] + [False] * 19
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_a_new_database_goes_on_from_what_the_ledger_knows(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    live(loaded, ledger, 4)
    loaded.database.unlink()
    life = Life(loaded, ledger)
    life.record(3)
    life.until(anchored)
    assert ledger.told()[-1].statement.resume == "restored: the database was new, ledger demo-ledger held batch 3"
    assert life.events("rollback")[0].fields["records"] == 0
    assert "ours" not in life.events("rollback")[0].fields
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_nothing_found_nothing_said(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    live(loaded, ledger, 2)
    life = Life(loaded, ledger)
    life.record(2)
    life.until(anchored)
    assert (life.alarms(), life.status()["restored"], life.status()["conflicts"]) == ([], None, [])
    life.stop()
    check_all(loaded, ledger, tmp_path)


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
    held = [signed.id for signed in ledger.told()]
    life = Life(loaded, ledger)
    life.record(3)
    life.until(stopped)
    life.record(3)
    (conflict,) = life.reader.conflicts()
    assert (conflict.batch, conflict.statement_id) == (2, held[2])
    (event,) = life.events("equivocation")
    assert event.fields["ours"] == life.reader.batch(2).statement_id  # type: ignore[union-attr]
    assert life.alarms() == ["equivocation"]
    facts = life.status()
    text = conflict_text("test-gateway", conflict, str(loaded.database))
    assert facts["conflicts"] == [text]
    assert facts["problems"].count(text) == 1
    assert (len(life.reader.batches()), len(life.reader.cuts())) == (3, 2)
    assert life.reader.totals()["readings"] == 6 + 3 + 6
    life.stop()
    life = Life(loaded, ledger)  # the next start knows it from the database, asks nobody and stays stopped
    life.record(1)
    assert life.recorder.health()["sealing"] == text
    life.until(lambda life: life.reconciliation.stopped)
    assert len(life.reader.batches()) == 3
    life.stop()
    assert [signed.id for signed in ledger.told()] == held
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
        ledger.submit(lives[0].reader.batches()[-1].entry)
        lives[1].record(3)
        return True

    lives[0].until(free)
    lives[1].until(free, first, stopped)
    assert lives[0].status()["conflicts"] == []
    assert lives[1].reader.conflicts()[0].statement_id == lives[0].reader.batch(1).statement_id  # type: ignore[union-attr]
    refused = [anchor.detail for anchor in lives[1].reader.anchors() if anchor.state == "refused"]
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
    last = ledger.told()[-1].statement
    assert (last.batch, last.resume is not None) == (3, True)
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_a_ledger_that_lost_data_is_given_it_again(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    live(loaded, ledger, 2)
    ledger.close()
    early = shutil.copytree(tmp_path / "ledger", tmp_path / "early")
    ledger = Ledger(tmp_path / "ledger")
    live(loaded, ledger, 3)
    entries = [signed.entry for signed in ledger.told()]
    ledger.close()
    poor = Ledger(early)
    life = Life(loaded, poor)
    life.record(2)
    life.until(anchored)
    assert life.alarms() == ["ledger-lost"]
    (alarm,) = open_alarms(life.reader)
    assert "gave receipts up to batch 4 and holds nothing above batch 1" in alarm["text"]
    assert [signed.entry for signed in poor.told()][:5] == entries
    assert [signed.statement.resume for signed in poor.told()] == [None] * 6
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
    assert [signed.statement.batch for signed in poor.told()] == [0, 1, 2, 3]
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
    old = life.reader.count_unsealed_before()
    life.record(3)
    life.until(anchored)
    assert life.events("rollback")[0].fields["untold"] == old > 5
    facts = life.status()["restored"]
    assert (facts["sealed_elsewhere"], facts["unsealed_for_ever"]) == (0, old)
    assert f"{old} of its records stay unsealed for ever" in facts["text"]
    row = life.reader.leaves(1, 1 << 60)
    assert len(list(row)) == life.reader.totals()["records"] - old
    last = life.reader.last_batch()
    assert last is not None
    untold = life.reader.rows(last.first_id, last.first_id)[0]
    with pytest.raises(Exception, match="no ledger can tell"):
        prove(life.reader, untold)
    life.stop()
    check_all(loaded, ledger, tmp_path)


def test_a_ledger_that_cannot_tell_anything_holds_nothing(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    ledger.tells_last = False
    live(loaded, ledger, 2)
    assert [signed.statement.batch for signed in ledger.told()] == [0, 1]
    check_all(loaded, ledger, tmp_path)


def test_without_ledgers_nothing_is_held(tmp_path: Path) -> None:
    config = site(tmp_path / "site")
    text = config.path.read_text()
    config.path.write_text(text[: text.index("[[ledger]]")])
    config = configuration.load(config.path)
    life = Life(config)
    assert life.recorder.health()["sealing"] is None
    life.record(3)
    life.recorder.call(lambda _: life.recorder._journal.keep_time()).result(timeout=30)
    assert len(life.reader.batches()) == 1
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
    both = configuration.load(loaded.path)
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
    assert "ledgers demo-ledger, second-ledger" in str(life.status()["sealing"])

    def only_the_required_one_is_missing(life: Life) -> bool:
        ledger.away = "ledger demo-ledger has" not in str(life.status()["sealing"])
        return not ledger.away

    life.until(only_the_required_one_is_missing, lambda life: len(second.told()) == 3 and anchored(life))
    life.stop()
    put_back(backup, both)
    second.away = True
    life = Life(both, ledger, second)
    life.record(2)

    def the_required_one_has_all(_: Life) -> bool:
        second.away = len(ledger.told()) < 4
        return not second.away

    life.until(free, the_required_one_has_all, anchored)
    assert [signed.id for signed in second.told()] == [signed.id for signed in ledger.told()]
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
    life.until(lambda life: "tells of none above" in str(life.status()["sealing"]))
    life.record(2)
    assert life.alarms() == ["ledger-odd"]
    assert life.reader.batches() == []
    monkeypatch.setattr(ledger, "statements", honest)
    life.until(anchored)
    assert life.alarms() == ["rollback"]
    assert ledger.told()[-1].statement.batch == 2
    life.stop()
