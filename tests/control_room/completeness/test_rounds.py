"""Rounds over batches: proven and in the archive, or what is missing or wrong is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from control_room.store import statements
from control_room.store.asking import Again
from ledger_client.cli.proofs import audit
from ledger_client.errors import FileError
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.record import parse_record
from ledger_client.formats.statement import Range, parse_statement, sign_statement
from ledger_client.verification.trust_text import key_entry
from tests.control_room.completeness.room import Room, room
from tests.support.audit_batches import OTHER, Gateway, audited, findings, signer_of, trusted
from tests.support.brokers import postgres as engine
from tests.support.evidence import GATEWAY, METER, T0, VALID_FROM, key, receipt_for, statement_of, trust_text

GRACE_MS = 3000


@pytest.fixture
def control(database: engine.Database, tmp_path: Path) -> Iterator[Room]:
    with room(database, tmp_path / "archive") as made:
        yield made


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    (tmp_path / "exported").mkdir()
    return Gateway(tmp_path / "exported")


def test_batches_are_proven_and_in_the_archive_as_the_gateway_exports_them(control: Room, gateway: Gateway) -> None:
    exported = [gateway.write() for _ in range(3)]
    for path in exported:
        control.file(path)
    assert control.round() == 3
    assert control.batches() == dict.fromkeys(range(3), ("proven", None, None))
    assert control.alarms() == set()
    month = "yunnan-hydro-07/2026-11"
    assert control.files() == [f"{month}/{n}.mbatch" for n in range(3)]
    archived = [control.folder / month / f"{n}.mbatch" for n in range(3)]
    assert [path.read_bytes() for path in archived] == [path.read_bytes() for path in exported]
    assert findings(audited(*archived)) == []


def test_a_missing_record_is_a_hole_that_is_asked_for_later_and_later_until_it_comes(
    control: Room, gateway: Gateway
) -> None:
    path = gateway.write()
    batch = control.file(path, without=[3])
    lost = [*batch.records()][3]
    name = parse_record(lost).claims
    assert control.round() == 0
    assert control.holes() == []  # another receiver may hold it
    control.round(GRACE_MS)
    assert control.batches() == {0: ("open", "control-batch-lacks", "records-missing")}
    assert control.holes() == [(name.meter, f"{{[{name.seq},{name.seq + 1})}}", None)]
    assert control.alarms() == {"records-missing"}
    pauses, asked_ms = [], control.now_ms
    for _ in range(9):
        while not (asked := control.asked()):
            control.now_ms += 1000
        assert asked == [Again(GATEWAY, ((name.meter, name.epoch, name.seq, name.seq),), ())]
        pauses.append((control.now_ms - asked_ms) // 1000)
        asked_ms = control.now_ms
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    control.records([(4, lost)])
    assert control.round() == 1
    assert (control.holes(), control.alarms()) == ([], set())
    control.now_ms += 7_200_000
    assert control.asked() == []


def test_a_gateway_that_comes_online_is_asked_at_once_but_not_for_each_time_that_it_does(
    control: Room, gateway: Gateway
) -> None:
    control.status(online=True)
    control.file(gateway.write(), without=[3])
    control.round(GRACE_MS)
    control.now_ms += 600_000
    asked = 0
    for _ in range(6):
        asked += len(control.asked())
        control.now_ms += 300_000
    assert asked == 5  # it waits longer and longer
    control.status(online=False)
    control.status(online=True)
    assert len(control.asked()) == 1
    for _ in range(29):
        control.now_ms += 1000
        control.status(online=False)
        control.status(online=True)
        assert control.asked() == []
    control.now_ms += 1000
    assert len(control.asked()) == 1


def test_what_comes_while_nobody_looks_closes_no_hole_that_is_still_there(control: Room, gateway: Gateway) -> None:
    batch = control.file(gateway.write(), without=[1, 2, 5])
    rows = [*batch.records()]
    control.round(GRACE_MS)
    control.records([(3, rows[2])])
    assert control.round() == 0
    assert sum(last - first + 1 for first, last in control.missing()) == 2
    control.records([(2, rows[1]), (6, rows[5])])
    assert control.round() == 1


def test_what_a_gateway_says_is_gone_stays_a_hole(control: Room, gateway: Gateway) -> None:
    batch = control.file(gateway.write(), without=[3, 5, 7])
    claims = [parse_record(row).claims for row in batch.records()]
    control.round(GRACE_MS)
    first, second = claims[3], claims[5]
    assert (first.meter, first.epoch) == (second.meter, second.epoch)
    control.gone("pruned", [(first.meter, first.epoch, first.seq, first.seq)])
    assert (first.meter, f"{{[{first.seq},{first.seq + 1})}}", "pruned") in control.holes()
    for why in ("lost", "unknown", "pruned") * 5:  # a flood of claims makes no flood of rows
        control.gone(why, [(first.meter, first.epoch, 0, 2**62), (second.meter, second.epoch, second.seq, second.seq)])
    assert {gone for _, _, gone in control.holes()} == {"pruned"}
    assert len(control.holes()) <= 4
    control.gone("lost", [("no-such-meter", first.epoch, 0, 5)], [(0, 2**62)])
    made = control.db.all("SELECT id FROM meters WHERE name = 'no-such-meter'")
    assert made == []
    control.now_ms += 30_000
    assert sum(last - start + 1 for _, _, start, last in control.asked()[0].ranges) == 3


def test_places_that_do_not_give_the_root_are_asked_for_again_and_the_new_ones_count(
    control: Room, gateway: Gateway
) -> None:
    batch = BatchFile.open(gateway.write())
    rows = [*batch.records()]
    control.records((100 - i, data) for i, data in enumerate(rows))  # the wrong way round
    control.statement(batch.entry, batch.receipts)
    control.round()
    assert control.batches() == {0: ("open", "control-batch-root", "batch-differs")}
    assert control.alarms() == {"batch-differs"}
    pauses = []
    for _ in range(4):
        since = control.now_ms
        while not (asked := control.asked()):
            control.now_ms += 1000
        pauses.append((control.now_ms - since) // 1000)
        assert sum(last - first + 1 for _, _, first, last in asked[0].ranges) == len(rows)
        control.records((100 - i, data) for i, data in enumerate(rows))  # it repeats them as they were
        control.round()
    assert pauses == [30, 60, 120, 240]
    control.records(enumerate(rows))
    assert control.round() == 1
    assert (control.holes(), control.alarms()) == ([], set())


def test_places_that_are_wrong_again_once_the_root_was_given_prove_nothing(control: Room, gateway: Gateway) -> None:
    batch = control.file(gateway.write(receipts=[]))
    rows = [*batch.records()]
    control.round()
    assert control.batches()[0][0] == "complete"
    control.records((100 - i, data) for i, data in enumerate(rows))
    control.statement(batch.entry, [receipt_for(batch.entry)])
    assert control.round() == 0
    assert control.batches() == {0: ("open", "control-batch-root", "batch-differs")}
    assert control.files() == []
    control.records(enumerate(rows))
    assert control.round() == 1


def test_a_missing_batch_is_a_hole_and_the_first_statement_begins_anywhere(control: Room, gateway: Gateway) -> None:
    paths = [gateway.write() for _ in range(8)]
    for number in (2, 6):
        control.file(paths[number], first_place=100 * number)
    assert control.round() == 2
    assert control.holes() == [(None, "{[3,6)}", None)]
    assert control.alarms() == {"batches-missing"}
    control.now_ms += 30_000
    assert control.asked() == [Again(GATEWAY, (), ((3, 5),))]
    control.gone("unknown", batches=[(4, 4)])
    control.file(paths[3], first_place=300)
    control.file(paths[7], first_place=700)
    assert control.round() == 2
    assert control.holes() == [(None, "{[4,5)}", "unknown"), (None, "{[5,6)}", None)]
    for number in (5, 4):
        control.file(paths[number], first_place=100 * number)
        control.round()
    assert (control.holes(), control.alarms()) == ([], set())


def test_a_record_that_the_gateway_leaves_out_is_seen(control: Room, gateway: Gateway) -> None:
    first, rows = gateway.write(), gateway.usual()
    left_out = parse_record(rows.pop(0))
    second = gateway.write(rows)
    control.file(second, first_place=100)
    control.round()
    assert control.alarms() == set()  # what was before the first statement is not known
    control.file(first)
    control.round()
    third = gateway.write(gateway.usual()[1:])
    control.file(third, first_place=200)
    control.round(GRACE_MS)
    assert control.alarms() == {"numbers-left-out"}
    assert control.batches()[2][1:] == ("control-batch-left-out", "numbers-left-out")
    assert left_out.claims.seq > 0


def test_the_end_of_an_epoch_that_the_gateway_leaves_out_is_seen(control: Room, gateway: Gateway) -> None:
    control.file(gateway.write())
    control.file(gateway.write([*gateway.restart(1), *gateway.polls(2), *gateway.cut()]), first_place=1000)
    rows = [*gateway.polls(2), *gateway.cut()]
    control.file(gateway.write(rows[:-1]), first_place=2000)  # and is killed
    control.round(GRACE_MS)
    assert control.alarms() == set()
    batch = control.file(gateway.write([*gateway.restart(2), *gateway.polls(2), *gateway.cut()]), first_place=3000)
    assert control.round() == 1
    seen = {3: ("proven", "control-batch-restart", "numbers-left-out")}
    assert {number: of for number, of in control.batches().items() if of[2]} == seen
    control.db.run("DELETE FROM records")
    control.statement(batch.entry, [receipt_for(batch.entry, iat=T0 + 900)])
    control.round()
    assert control.alarms() == {"numbers-left-out"}


def test_after_an_announced_loss_a_meter_may_go_on_from_an_older_record(control: Room, gateway: Gateway) -> None:
    control.file(gateway.write())
    lost = deepcopy(gateway)
    control.file(gateway.write(), first_place=1000)
    lost.batch, lost.prev = gateway.batch, gateway.prev  # as its ledger knows them
    control.file(lost.write(lost.restart(7) + lost.usual(), resume="restored"), first_place=2000)
    assert control.round() == 3
    assert control.alarms() == set()


def test_a_second_statement_under_a_number_is_seen_and_never_proven(control: Room, gateway: Gateway) -> None:
    path = gateway.write()
    batch = control.file(path)
    control.round()
    control.now_ms += 1
    entry = sign_statement(replace(parse_statement(batch.entry).statement, iat=T0 + 60), signer_of("gateway"))
    control.statement(entry, [receipt_for(entry)])
    assert control.round() == 0
    assert control.batches() == {0: ("open", "control-batch-other", "batch-forked")}
    assert control.alarms() == {"batch-forked"}
    assert BatchFile.open(control.folder / control.files()[0]).entry == batch.entry


def test_a_statement_that_does_not_follow_the_one_before_is_seen(control: Room, gateway: Gateway) -> None:
    control.file(gateway.write())
    control.file(gateway.write(prev=bytes(32)), first_place=100)
    assert control.round() == 1
    assert control.batches()[1] == ("complete", "control-batch-prev", "chain-broken")
    assert control.alarms() == {"chain-broken"}


def test_a_batch_waits_for_receipts_and_more_of_them_go_into_its_file(control: Room, gateway: Gateway) -> None:
    batch = control.file(gateway.write(receipts=[]))
    control.round()
    assert control.batches() == {0: ("complete", "verify-policy", None)}
    control.round(3_600_000)
    assert control.alarms() == {"receipts-missing"}
    strange = receipt_for(batch.entry, "unknown-ledger")
    control.statement(batch.entry, [strange])
    control.round()
    assert control.batches() == {0: ("complete", "at", "receipts-wrong")}
    counts = receipt_for(batch.entry)
    control.statement(batch.entry, [counts])
    assert control.round() == 1
    assert control.alarms() == set()
    name = control.folder / control.files()[0]
    assert set(BatchFile.open(name).receipts) == {strange, counts}
    later = receipt_for(batch.entry, iat=T0 + 500)
    control.db.run("DELETE FROM records")  # their day has gone
    control.statement(batch.entry, [later, counts])
    control.round()
    assert set(BatchFile.open(name).receipts) == {strange, counts, later}
    assert [*BatchFile.open(name).records()] == [*batch.records()]


def test_a_flood_of_receipts_leaves_the_newest(control: Room, gateway: Gateway) -> None:
    batch = control.file(gateway.write(receipts=[]))
    for number in range(40):
        control.statement(batch.entry, [b"none %d" % number])
    counts = receipt_for(batch.entry)
    control.statement(batch.entry, [counts])
    assert control.round() == 1
    assert control.db.one("SELECT cardinality(receipts) FROM batches") == (16,)


def test_a_batch_that_was_held_back_is_late(database: engine.Database, tmp_path: Path, gateway: Gateway) -> None:
    with room(database, tmp_path / "archive", trusted(policy='max_delay = "1h"\n')) as control:
        rows = gateway.usual()
        gateway.clock.passes(3_700_000)
        control.file(gateway.write(rows))
        control.round()
        assert control.batches() == {0: ("complete", "verify-held-back", "batch-late")}
        assert control.alarms() == {"batch-late"}
        assert control.files() == []


def test_keys_count_at_the_time_of_the_receipts(database: engine.Database, tmp_path: Path, gateway: Gateway) -> None:
    path = gateway.write()
    ended = key_entry("meter", key("meter").public, VALID_FROM, gateway=GATEWAY, meter=METER, valid_to=T0 - 5990)
    with room(database, tmp_path / "archive", trusted(keys={"meter": ended})) as control:
        control.file(path)
        control.round()
        assert control.batches() == {0: ("complete", "verify-key-late", "batch-differs")}
        control.trust = trusted()
        statements.look_at_unproven(control.db, control.now_ms)
        assert control.round() == 1


def test_an_archive_that_cannot_be_written_is_an_alarm_of_its_own_and_loses_nothing(
    control: Room, gateway: Gateway
) -> None:
    control.folder.write_text("a file where the folder should be")
    control.file(gateway.write())
    control.round()
    assert control.batches() == {0: ("open", None, None)}
    assert control.alarms() == {"archive-failed"}
    control.folder.unlink()
    assert control.round(60_000) == 1
    assert control.alarms() == set()


def test_a_forged_statement_of_numbers_without_end_costs_rows_within_bounds(control: Room, gateway: Gateway) -> None:
    control.file(gateway.write())
    whole = statement_of(gateway.usual())
    many = {METER: tuple(Range(bytes((n >> 8, n & 255)) * 4, 0, 2**40) for n in range(3000))}
    signed = replace(whole, batch=2**50, prev=bytes(32), meters=many, size=3000 * (2**40 + 1), to_ms=whole.to_ms)
    control.statement(sign_statement(signed, signer_of("gateway")))
    control.round(GRACE_MS)
    control.round()
    assert control.alarms() == {"records-missing", "batches-missing"}
    assert control.db.one("SELECT count(*) FROM holes") == (1000,)
    control.now_ms += 30_000
    asked = [again for _ in range(30) if (again := control.asked())]
    control.now_ms += 5_000
    assert [len(again.ranges) + len(again.batches) for (again,) in asked] == [100]
    assert sum(len(again.ranges) for again in control.asked()) == 100


def test_a_statement_of_too_many_ranges_is_seen_and_not_looked_into(control: Room, gateway: Gateway) -> None:
    control.file(gateway.write())
    whole = statement_of(gateway.usual())
    many = {METER: tuple(Range(n.to_bytes(8, "big"), 0, 0) for n in range(20_001))}
    signed = replace(whole, batch=1, prev=gateway.prev, meters=many, size=20_001)
    control.statement(sign_statement(signed, signer_of("gateway")))
    assert control.round() == 1
    assert control.batches()[1] == ("open", "control-batch-ranges", "batch-differs")
    epochs = control.db.all("SELECT id FROM epochs")
    assert len(epochs) == 1


def test_a_flood_of_one_gateway_holds_up_no_other(control: Room) -> None:
    for name in ("one", "other"):
        control.db.run("INSERT INTO gateways (name) VALUES (%s)", name)
    for number, name in enumerate(("one", "one", "one", "one", "other")):
        control.db.run(
            "INSERT INTO batches (gateway, batch, statement_id, entry, from_at, to_at, size, iat, arrived, look) "
            "SELECT id, %s, '', '', now(), now(), 1, now(), now(), to_timestamp(%s) FROM gateways WHERE name = %s",
            number, number, name,
        )  # fmt: skip
    taken = [statements.claim(control.db, 100_000, 200_000, 2) for _ in range(3)]
    assert [[key.batch for key in keys] for keys in taken] == [[0, 4], [1], [2]]


def test_two_receivers_come_to_the_same(control: Room, gateway: Gateway, database: engine.Database) -> None:
    paths = [gateway.write() for _ in range(30)]
    for number, path in enumerate(paths):
        control.file(path, first_place=100 * number)
    with room(database, control.folder) as other:
        other.now_ms = control.now_ms
        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(each.round) for each in (control, other)]
            assert sum(future.result() for future in done) == 30
    assert control.batches() == dict.fromkeys(range(30), ("proven", None, None))
    assert control.alarms() == set()


def test_an_audit_reads_the_archive_folder_as_it_is(control: Room, gateway: Gateway, tmp_path: Path) -> None:
    for number in range(3):
        control.file(gateway.write(), first_place=100 * number)
    control.round()
    assert len(control.files()) == 3
    (control.folder / GATEWAY / "2026-11" / ".9.mbatch.x.new").write_bytes(b"\xa4av half written")
    trust = tmp_path / "trust.toml"
    trust.write_text(trust_text(extra=key_entry("meter", key(OTHER).public, VALID_FROM, gateway=GATEWAY, meter=OTHER)))
    ran = CliRunner().invoke(audit, [str(control.folder / GATEWAY), "--trust", str(trust), "--json"])
    assert [batch["batch"] for batch in json.loads(ran.output)["batches"]] == [0, 1, 2]
    (tmp_path / "empty").mkdir()
    ran = CliRunner().invoke(audit, [str(tmp_path / "empty"), "--trust", str(trust)])
    assert isinstance(ran.exception, FileError)
