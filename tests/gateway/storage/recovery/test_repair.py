"""Databases that are damaged on the disk, in every part of the file, and what becomes of them at the next start.

The files are real ones that SQLite wrote. Where a record lies in them is found by its bytes, not by our own reader.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from gateway.accounting.statements.retention import Retention
from gateway.agent.database_check import check_database
from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import Damaged, Declined, DiskFull, StoreError
from gateway.evidence.prove import find, prove
from gateway.process.failpoints import STATIONS
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.records import StoredRecord
from gateway.status.collect import collect
from gateway.storage.capacity import pruning
from gateway.storage.database import Database
from gateway.storage.recovery import repair
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.statement import parse_statement
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.verify import verify
from tests.contract.memory import NearLedger
from tests.support.books import check_books, open_alarms
from tests.support.gateways.sites import believed
from tests.support.samples import Hands, Machine, site
from tests.system.demo_site import until
from tests.system.disk.small import small_disk

PAGE, FRAME, LOG_HEADER = 4096, 4096 + 24, 32
METER = "export-main"
_epochs = count(1)


@dataclass(frozen=True, slots=True)
class Killed:
    """A site whose gateway was killed: a database and its log, most batches anchored, the last records in none."""

    folder: Path
    machine: Machine
    rows: dict[int, StoredRecord]

    def copy(self, target: Path) -> Config:
        shutil.copytree(self.folder, target)
        return load_config(target / "gateway.toml")


def settle(store: Database, loaded: Config, ledger: NearLedger) -> None:
    """Anchor what waits."""
    for waiting, batch in store.anchors.pending("demo-ledger", 1 << 30):
        receipt = ledger.submit(batch.entry)
        assert isinstance(receipt, bytes)
        with store.transaction():
            store.anchors.mark(waiting.batch, "demo-ledger", "settled", 1, receipt=receipt)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("killed")
    loaded = site(folder / "live", {'every = "60s"': 'every = "10s"'})
    believed(folder / "ledger", loaded)
    ledger, machine = NearLedger(folder / "ledger"), Machine()
    machine.wall_ms = int(time.time() - 7 * 86_400) * 1000  # receipts bear the real time, and tests let days go by
    for polls in (40, 80):
        hands = Hands(loaded, machine, epoch=next(_epochs).to_bytes(8, "big"))
        hands.poll(polls)
        if polls == 40:
            hands.end()
        machine.passes(30)
    settle(hands.store, loaded, ledger)
    hands.store.one("PRAGMA wal_checkpoint")
    hands.poll(70)
    settle(hands.store, loaded, ledger)
    hands.poll(4)
    rows = {int(row[0]): StoredRecord(*row[1:]) for row in hands.store.all(
        "SELECT id, meter, epoch, seq, kind, time_ms, data FROM records")}  # fmt: skip
    shutil.copytree(folder / "live", folder / "killed")  # as it lies on the disk at this moment
    hands.store.close()
    ledger.close()
    assert (folder / "killed" / "data" / "meterseal.db-wal").stat().st_size > 100 * FRAME
    return Killed(folder / "killed", machine, rows)


def log_of(loaded: Config) -> Path:
    return loaded.database.with_name(loaded.database.name + "-wal")


def overwrite(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def checkpointed(loaded: Config) -> None:
    """All of it in the database file, no log beside it: as after an orderly stop."""
    database = sqlite3.connect(loaded.database)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    assert not log_of(loaded).exists()


def open_again(loaded: Config) -> Database:
    return repair.open_store(loaded, load_keys(loaded), load_trust(loaded.trust))


def places(store: Database) -> dict[int, StoredRecord]:
    found = store.all("SELECT id, meter, epoch, seq, kind, time_ms, data FROM records")
    return {int(row[0]): StoredRecord(*row[1:]) for row in found}


def aside(loaded: Config) -> list[Path]:
    return sorted(loaded.data.glob("meterseal.db.damaged-*"))


def go_on(loaded: Config, killed: Killed, polls: int = 20) -> Hands:
    """A new epoch on the recovered database: it records and seals, and its books hold."""
    hands = Hands(loaded, killed.machine, epoch=(1000 + next(_epochs)).to_bytes(8, "big"))
    before = hands.store.batches.count()
    hands.poll(polls)
    assert hands.journal.trouble is None
    assert hands.store.batches.count() > before
    hands.end()
    check_books(loaded)
    return hands


def intact(content: bytes, damaged: list[tuple[int, int]], rows: dict[int, StoredRecord]) -> set[int]:
    """The places of the records of which some page that holds them whole has not been touched."""
    content = content[: len(content) // PAGE * PAGE]
    hit = {page for begin, end in damaged for page in range(begin // PAGE, (end - 1) // PAGE + 1)}
    found = set()
    for place, row in rows.items():
        at = content.find(row.data)
        while at >= 0:
            pages = {at // PAGE, (at + len(row.data) - 1) // PAGE}
            if len(pages) == 1 and not pages & hit:
                found.add(place)
                break
            at = content.find(row.data, at + 1)
    return found


def test_a_sound_database_is_left_as_it_is(killed: Killed, tmp_path: Path) -> None:
    loaded = killed.copy(tmp_path / "site")
    store = open_again(loaded)
    assert places(store) == killed.rows
    assert store.repairs.all() == []
    store.close()
    assert aside(loaded) == []
    check_books(loaded)


@pytest.mark.parametrize("seed", range(8))
def test_every_record_whose_page_is_intact_is_recovered_and_none_is_invented(
    killed: Killed, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    loaded = killed.copy(tmp_path / "site")
    checkpointed(loaded)
    content = loaded.database.read_bytes()
    damaged = []
    for _ in range(chance.randint(1, 6)):
        length = chance.choice([16, 512, PAGE, 3 * PAGE])
        begin = chance.randrange(PAGE, len(content) - length)
        begin -= begin % min(length, PAGE)
        noise = bytes(length) if chance.random() < 0.3 else chance.randbytes(length)
        overwrite(loaded.database, begin, noise)
        damaged.append((begin, begin + length))
    broken = loaded.database.read_bytes()
    must = intact(content, damaged, killed.rows)
    repair.note_flaws(loaded.database, ["the test has done it"])
    store = open_again(loaded)
    if not store.repairs.all():  # what was hit was not part of the tree
        assert Database.look(loaded.database, check="quick") == []
        store.close()
        return
    found = places(store)
    assert {place: killed.rows.get(place) for place in found} == found
    assert must <= set(found)
    (repaired,) = store.repairs.all()
    assert (repaired.records, repaired.lost) == (len(found), len(killed.rows) - len(found))
    assert store.batches.waiting() == sum(place > store.batches.sealed_to() for place in found)
    lost = {killed.rows[place][:3] for place in set(killed.rows) - set(found)}
    assert lost == {(m, e, seq) for m, e, first, last in store.repairs.lost() for seq in range(first, last + 1)}
    store.close()
    assert aside(loaded)[0].read_bytes() == broken
    go_on(loaded, killed)


DAMAGES: dict[str, Callable[[Config], None]] = {
    "header destroyed": lambda loaded: overwrite(loaded.database, 0, os.urandom(100)),
    "first page destroyed": lambda loaded: overwrite(loaded.database, 0, os.urandom(PAGE)),
    "schema zeroed": lambda loaded: overwrite(loaded.database, 100, bytes(PAGE - 100)),
    "truncated": lambda loaded: os.truncate(loaded.database, loaded.database.stat().st_size * 2 // 3 + 77),
    "text": lambda loaded: (loaded.database.write_text("this is no database\n" * 500), None)[1],
    "empty": lambda loaded: os.truncate(loaded.database, 0),
}


WITH_A_LOG = ("truncated", "text", "empty")  # what is destroyed in the first page stands in the log as well


@pytest.mark.parametrize(
    ("name", "logged"), [*((name, False) for name in DAMAGES), *((name, True) for name in WITH_A_LOG)]
)
def test_what_is_left_of_a_file_is_recovered(killed: Killed, tmp_path: Path, name: str, logged: bool) -> None:
    loaded = killed.copy(tmp_path / "site")
    if not logged:
        checkpointed(loaded)
    before = loaded.database.read_bytes()
    DAMAGES[name](loaded)
    broken = {p.name: p.read_bytes() for p in (loaded.database, log_of(loaded)) if p.exists()}
    content = broken["meterseal.db"]
    must = intact(before[: len(content)], [], killed.rows) if name not in ("text", "empty") else set()
    if logged:
        log = broken["meterseal.db-wal"]
        frames = b"".join(log[i + 24 : i + FRAME] for i in range(LOG_HEADER, len(log) - FRAME + 1, FRAME))
        must |= intact(frames, [], killed.rows)
    readers_say(loaded)
    store = open_again(loaded)
    found = places(store)
    assert {place: killed.rows.get(place) for place in found} == found
    assert must <= set(found)
    assert len(store.repairs.all()) == 1
    store.close()
    kept = {p.name.replace(aside(loaded)[0].name, "meterseal.db"): p.read_bytes() for p in aside(loaded)}
    assert {name: kept.get(name) for name in broken} == broken
    go_on(loaded, killed)


def test_receipts_of_before_anchors_had_messages_are_recovered(killed: Killed, tmp_path: Path) -> None:
    loaded = killed.copy(tmp_path / "site")
    database = sqlite3.connect(loaded.database)
    database.execute("ALTER TABLE anchors DROP COLUMN message")  # each row is written again, and is shorter
    database.execute("ALTER TABLE anchors ADD COLUMN message TEXT")
    receipts = database.execute("SELECT batch, receipt FROM anchors WHERE state = 'settled'").fetchall()
    database.close()
    checkpointed(loaded)
    DAMAGES["schema zeroed"](loaded)
    store = open_again(loaded)
    assert receipts
    assert [(anchor.batch, anchor.receipt) for anchor in store.anchors.of() if anchor.state == "settled"] == receipts
    store.close()


def readers_say(loaded: Config) -> None:
    """While the gateway is stopped every reader says what is wrong and what to do, and changes nothing."""
    with pytest.raises(StoreError) as refused:
        ask(loaded)
    if isinstance(refused.value, Damaged):
        assert "recovers into a new one" in refused.value.way_out


def ask(loaded: Config) -> None:
    store = Database(loaded.database, read_only=True)
    try:
        collect(loaded, store, 0)
        for meter in loaded.meters:
            store.records.readings(meter, 1 << 30)
        store.records.rows(1, 1 << 60)
    finally:
        store.close()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("whole", [True, False], ids=["frame", "page"])
def test_a_log_that_is_damaged_before_its_end_is_not_cut_off_there(
    killed: Killed, tmp_path: Path, share: float, whole: bool
) -> None:
    """SQLite itself would pass over everything behind, and say nothing."""
    loaded = killed.copy(tmp_path / "site")
    log = log_of(loaded)
    content = log.read_bytes()
    salts = [content[at + 8 : at + 16] for at in range(LOG_HEADER, len(content) - FRAME + 1, FRAME)]
    frames = salts.count(content[16:24])
    number = int(frames * share)
    overwrite(log, LOG_HEADER + number * FRAME + (0 if whole else 24), os.urandom(FRAME if whole else PAGE))
    content = log.read_bytes()
    skipped = {number, number + 1} if whole else {number}  # behind a lost head one frame cannot be told from noise
    base = loaded.database.read_bytes()
    pages = {at // PAGE + 1: base[at : at + PAGE] for at in range(0, len(base), PAGE)}
    for i in set(range(frames)) - skipped:  # the newest of each page: what an older one holds may have moved
        frame = content[LOG_HEADER + i * FRAME : LOG_HEADER + (i + 1) * FRAME]
        pages[int.from_bytes(frame[:4])] = frame[24:]
    must = intact(b"".join(pages.values()), [], killed.rows)
    store = open_again(loaded)
    assert len(store.repairs.all()) == 1
    assert must <= set(places(store)) <= set(killed.rows)
    assert max(places(store)) == max(killed.rows)
    store.close()
    go_on(loaded, killed)


def test_a_log_that_a_power_cut_has_torn_at_its_end_is_no_damage(killed: Killed, tmp_path: Path) -> None:
    loaded = killed.copy(tmp_path / "site")
    log = log_of(loaded)
    overwrite(log, log.stat().st_size - FRAME // 2, os.urandom(FRAME // 2))
    store = open_again(loaded)
    assert store.repairs.all() == []
    store.close()
    assert aside(loaded) == []
    go_on(loaded, killed)


def test_a_record_that_does_not_hold_is_found_where_a_new_epoch_would_build_on_it(
    killed: Killed, tmp_path: Path
) -> None:
    """One byte of the newest reading: no check of SQLite sees it."""
    loaded = killed.copy(tmp_path / "site")
    checkpointed(loaded)
    newest = killed.rows[max(killed.rows)]
    content = loaded.database.read_bytes()
    at = content.index(newest.data)
    overwrite(loaded.database, at + len(newest.data) - 70, bytes([content[at + len(newest.data) - 70] ^ 1]))
    assert Database.look(loaded.database, check="integrity") == []
    store = open_again(loaded)
    assert set(places(store)) == set(killed.rows) - {max(killed.rows)}
    assert store.repairs.all()[0].why.startswith("the record at place")
    store.close()
    go_on(loaded, killed)


def hit_a_leaf(loaded: Config, killed: Killed, *, sealed: bool) -> int:
    """Overwrite a page that holds readings; returns the place of one of them."""
    checkpointed(loaded)
    store = Database(loaded.database, read_only=True)
    edge = store.batches.sealed_to()
    store.close()
    wanted = [p for p in killed.rows if (p <= edge) == sealed and killed.rows[p].kind == "reading"]
    place = wanted[len(wanted) // 2]
    at = loaded.database.read_bytes().index(killed.rows[place].data)
    overwrite(loaded.database, at // PAGE * PAGE, os.urandom(PAGE))
    return place


def test_the_signed_event_the_alarm_the_status_and_the_proofs_say_so(killed: Killed, tmp_path: Path) -> None:
    loaded = killed.copy(tmp_path / "site")
    place = hit_a_leaf(loaded, killed, sealed=True)
    store = open_again(loaded)
    found = places(store)
    lost = killed.rows[place]
    assert place not in found
    batch = store.batches.holding(place)
    assert batch is not None
    beside = next(found[p] for p in range(batch.first_id, batch.last_id + 1) if p in found)
    proven = next(
        found[b.first_id] for b in store.batches.all() if all(p in found for p in range(b.first_id, b.last_id + 1))
    )
    with pytest.raises(Declined, match="lost when the database was damaged"):
        find(store, lost.id)
    with pytest.raises(Declined, match="a proof needs all of them") as refused:
        prove(store, beside)
    assert aside(loaded)[0].name in refused.value.way_out
    verify(prove(store, find(store, proven.id)), load_trust(loaded.trust), 1 << 33)
    store.close()
    hands = go_on(loaded, killed)
    store = Database(loaded.database, read_only=True)
    epoch = hands.journal._pending.signer.epoch
    first, *_ = [row for row in store.records.rows(max(found) + 1, 1 << 60) if row.epoch == epoch]
    event = parse_record(first.data).body
    assert isinstance(event, Event)
    assert (first.meter, first.seq, event.name) == ("gateway", 0, "repaired")
    assert (event.fields["file"], event.fields["records"]) == (aside(loaded)[0].name, len(found))
    assert event.fields["lost"] == len(killed.rows) - len(found)
    assert any(m == lost.meter and e == lost.epoch and a <= lost.seq <= z for m, e, a, z in event.fields["ranges"])
    assert [alarm["code"] for alarm in open_alarms(store)] == ["database-repaired"]
    store.close()
    Hands(loaded, killed.machine, epoch=b"\xee" * 8).end()
    store = Database(loaded.database, read_only=True)
    status = collect(loaded, store, 0)
    assert [alarm.code for alarm in status.alarms] == []
    assert f"the damaged database is kept as {aside(loaded)[0].name}" in str(status.repairs[0])
    store.close()


def test_sealing_goes_on_over_a_hole_among_records_that_no_batch_holds(killed: Killed, tmp_path: Path) -> None:
    loaded = killed.copy(tmp_path / "site")
    place = hit_a_leaf(loaded, killed, sealed=False)
    store = open_again(loaded)
    assert place not in places(store)
    edge = store.batches.sealed_to()
    store.close()
    go_on(loaded, killed)
    store = Database(loaded.database, read_only=True)
    assert place > edge
    batch = store.batches.holding(place)
    assert batch is not None
    meters = parse_statement(batch.entry).statement.meters
    row = killed.rows[place]
    assert not any(r.first <= row.seq <= r.last for r in meters.get(row.meter, ()) if r.epoch == row.epoch)
    store.close()


@pytest.mark.parametrize("lost", [-1, 0, 1], ids=["sealed already", "in front of a batch", "within it"])
def test_a_batch_that_leaves_lost_numbers_out_says_so_and_is_taken(killed: Killed, tmp_path: Path, lost: int) -> None:
    loaded = killed.copy(tmp_path / "site")
    shutil.copytree(killed.folder.parent / "ledger", tmp_path / "ledger")
    hands = Hands(loaded, killed.machine, epoch=(500 + next(_epochs)).to_bytes(8, "big"))
    hands.poll(2)
    hands.journal.cut()
    hands.poll(4)
    edge = hands.store.batches.sealed_to()
    mine = sorted((place, row) for place, row in places(hands.store).items() if row.meter == METER)
    hands.store.close()  # killed
    begin = next(index for index, (place, _) in enumerate(mine) if place > edge)
    row = mine[begin + lost][1]
    content = loaded.database.read_bytes()
    at = content.index(row.data)
    overwrite(loaded.database, at + len(row.data) - 70, bytes([content[at + len(row.data) - 70] ^ 1]))
    overwrite(loaded.database, 0, os.urandom(16))
    store = open_again(loaded)
    assert (METER, row.epoch, row.seq, row.seq) in store.repairs.lost()
    store.close()
    go_on(loaded, killed)
    store = Database(loaded.database)
    batch = store.batches.holding(edge + 1)
    assert batch is not None
    statement = parse_statement(batch.entry).statement
    firsts = [r.first for r in statement.meters[METER] if r.epoch == row.epoch]
    assert firsts == ([row.seq - 1, row.seq + 1] if lost == 1 else [row.seq + 1])
    resumed = [b.batch for b in store.batches.all() if parse_statement(b.entry).statement.resume]
    assert resumed == ([] if lost == -1 else [batch.batch])
    ledger = NearLedger(tmp_path / "ledger")
    settle(store, loaded, ledger)
    assert ledger.last("test-gateway") == (store.batches.all()[-1].batch, store.batches.all()[-1].statement_id)
    ledger.close()
    store.close()


def test_a_second_damage_is_recovered_like_the_first(killed: Killed, tmp_path: Path) -> None:
    loaded = killed.copy(tmp_path / "site")
    hit_a_leaf(loaded, killed, sealed=True)
    store = open_again(loaded)
    first = places(store)
    store.close()
    go_on(loaded, killed)
    overwrite(loaded.database, 0, os.urandom(PAGE))
    store = open_again(loaded)
    assert set(first) <= set(places(store))
    assert [repair.id for repair in store.repairs.all()] == [1, 2]
    store.close()
    assert len([path for path in aside(loaded) if not path.name.endswith(("-wal", "-shm"))]) == 2
    go_on(loaded, killed)


OPEN = """
import sys
from pathlib import Path
from gateway.config.load import load_config
from gateway.storage.recovery import repair
from gateway.config.device_keys import load_keys
from ledger_client.verification.trust_file import load_trust
loaded = load_config(Path(sys.argv[1]))
repair.open_store(loaded, load_keys(loaded), load_trust(loaded.trust)).close()
"""


@pytest.mark.parametrize("moment", ["recover:1", "recover:2", "recovered:1", "aside:1", "aside:2", "repaired:1"])
def test_a_recovery_that_is_killed_is_finished_by_the_next_start(killed: Killed, tmp_path: Path, moment: str) -> None:
    loaded = killed.copy(tmp_path / "site")
    overwrite(log_of(loaded), LOG_HEADER + 20 * FRAME + 24, os.urandom(PAGE))
    broken = {p.name: p.read_bytes() for p in (loaded.database, log_of(loaded))}
    assert moment.partition(":")[0] in STATIONS
    flag = tmp_path / "held"
    env = dict(os.environ) | {"METERSEAL_HOLD": f"{moment}:{flag}"}
    process = subprocess.Popen([sys.executable, "-c", OPEN, str(loaded.path)], env=env)
    until(f"the recovery to reach {moment}", flag.exists)
    process.kill()
    process.wait()
    store = open_again(loaded)
    assert len(store.repairs.all()) == 1
    assert len(store.repairs.unreported()) == 1
    assert set(places(store)) <= set(killed.rows)
    assert len(places(store)) > len(killed.rows) * 0.9
    store.close()
    stem = aside(loaded)[0].name
    kept = {p.name.replace(stem, "meterseal.db"): p.read_bytes() for p in aside(loaded)}
    assert {name: kept.get(name) for name in broken} == broken
    assert not list(loaded.data.glob("*.recover*"))
    go_on(loaded, killed)


def test_without_room_for_the_recovery_nothing_changes_and_the_start_says_so(killed: Killed, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "6m") as disk:
        loaded = killed.copy(tmp_path / "site")
        hit_a_leaf(loaded, killed, sealed=True)
        shutil.move(loaded.path.parent, disk / "site")
        loaded = load_config(disk / "site" / "gateway.toml")
        broken = loaded.database.read_bytes()
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "another's").write_bytes(bytes(free - 200_000))
        with pytest.raises(DiskFull, match="is damaged and cannot be recovered now") as refused:
            open_again(loaded)
        assert "then start the gateway again" in refused.value.way_out
        assert loaded.database.read_bytes() == broken
        assert not list(loaded.data.glob("meterseal.db.*"))
        (disk / "another's").unlink()
        store = open_again(loaded)
        assert len(store.repairs.all()) == 1
        store.close()
        check_books(loaded)


def test_what_was_pruned_does_not_come_back(killed: Killed, tmp_path: Path) -> None:
    """Pages that pruning has freed still hold what it took away."""
    loaded = killed.copy(tmp_path / "site")
    checkpointed(loaded)
    store = Database(loaded.database)
    before_ms = store.batches.all()[4].sealed_ms + 1
    while pruning.prune(store, ["demo-ledger"], before_ms, Retention().waits):
        pass
    pruned, rows, totals = store.records.pruned(), places(store), store.totals()
    assert pruned[1] > 50
    store.close()
    overwrite(loaded.database, 0, os.urandom(PAGE))
    store = open_again(loaded)
    assert store.records.pruned() == pruned
    assert places(store) == rows
    assert store.totals() == totals
    assert (store.repairs.all()[0].lost, store.repairs.all()[0].lost_batches, store.repairs.lost()) == (0, 0, [])
    store.close()
    go_on(loaded, killed)


def root_page(loaded: Config, table: str) -> int:
    """The page of a table of one row."""
    database = sqlite3.connect(loaded.database)
    (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    database.close()
    return int(page) - 1


def test_where_it_is_lost_how_far_pruning_went_no_record_is_taken_for_pruned(killed: Killed, tmp_path: Path) -> None:
    """The oldest batch that is left does not tell: those before it may be lost as well."""
    loaded = killed.copy(tmp_path / "site")
    checkpointed(loaded)
    first = Database(loaded.database, read_only=True).batches.all()[0]
    at = loaded.database.read_bytes().find(first.entry) // PAGE
    for page in (0, root_page(loaded, "pruned"), at):
        overwrite(loaded.database, page * PAGE, os.urandom(PAGE))
    store = open_again(loaded)
    (repaired,) = store.repairs.all()
    assert store.batches.first() != first
    assert repaired.lost_batches > 0
    assert (places(store), repaired.lost) == (killed.rows, 0)
    store.close()
    go_on(loaded, killed)


def test_of_what_pruning_took_nothing_is_called_lost_where_it_is_lost_how_far_it_went(
    killed: Killed, tmp_path: Path
) -> None:
    """What it took may come back from freed pages: each such record is proven."""
    loaded = killed.copy(tmp_path / "site")
    checkpointed(loaded)
    store = Database(loaded.database)
    before_ms = store.batches.all()[4].sealed_ms + 1
    while pruning.prune(store, ["demo-ledger"], before_ms, Retention().waits):
        pass
    rows = places(store)
    store.close()
    for page in (0, root_page(loaded, "pruned")):
        overwrite(loaded.database, page * PAGE, os.urandom(PAGE))
    store = open_again(loaded)
    assert rows.items() <= places(store).items() <= killed.rows.items()
    assert (store.repairs.all()[0].lost, store.repairs.lost()) == (0, [])
    store.close()
    go_on(loaded, killed)


def tokens(store: Database) -> set[tuple[int, str]]:
    """Place and meter of each message that is known by its token."""
    return set(store.all("SELECT id, meter FROM heard"))


def test_a_message_is_known_again_where_its_record_is_recovered_and_new_where_it_is_lost(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    hands = Hands(loaded)
    hands.poll(60, tokens=True)
    before, rows = tokens(hands.store), places(hands.store)
    assert before == {(place, row.meter) for place, row in rows.items() if row.kind == "reading"}
    hands.end()
    content = loaded.database.read_bytes()
    at = content.find(rows[100].data) // PAGE * PAGE
    overwrite(loaded.database, 0, os.urandom(PAGE))
    overwrite(loaded.database, at, os.urandom(PAGE))
    store = open_again(loaded)
    found = places(store)
    assert 100 not in found
    assert tokens(store) == {(place, meter) for place, meter in before if place in found}
    store.close()


def test_a_large_database_is_checked_in_the_background_and_the_next_start_recovers_it(
    killed: Killed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "AT_ONCE_BYTES", 0)
    loaded = killed.copy(tmp_path / "site")
    assert repair.check(loaded.database, whole=True) == repair.Checked((), whole=True)
    checkpointed(loaded)
    at = loaded.database.read_bytes().index(killed.rows[100].data)
    overwrite(loaded.database, at // PAGE * PAGE, os.urandom(PAGE))
    store = open_again(loaded)
    assert store.repairs.all() == []  # it does not keep the start waiting
    recorder = Recorder(store, load_keys(loaded), Rules.of(loaded), Clock(), b"\xdd" * 8)
    recorder.open()
    recorder.start()
    asyncio.run(check_database(loaded.database, recorder))
    recorder.call(lambda _: None).result(timeout=30)
    reader = Database(loaded.database, read_only=True)
    assert [alarm["code"] for alarm in open_alarms(reader)] == ["database-damaged"]
    reader.close()
    recorder.stop()
    store = open_again(loaded)
    assert len(store.repairs.all()) == 1
    assert not repair.flawed(loaded.database).exists()
    store.close()
