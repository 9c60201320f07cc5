"""Audits of order and coverage: chains of numbers, coverage that tiles time, and what a loss leaves behind."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.record import Event, record_hash
from ledger_client.formats.senml import Reading, Value
from tests.support.audit_batches import CONFIG, EVERY_MS, OTHER, Gateway, audited, findings
from tests.support.evidence import EPOCH, METER, parts_of


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def name(seq: int, meter: str = METER, epoch: bytes = EPOCH) -> str:
    return f"{meter}/{epoch.hex()}/{seq}"


# — chains —


@pytest.mark.parametrize(
    ("what", "changes"),
    [("left out", {"seq": 6}), ("another story", {"prev": bytes(32)}), ("no past", {"prev": None})],
)
def test_a_broken_chain_of_records(gateway: Gateway, what: str, changes: dict[str, Any]) -> None:
    first, chain = gateway.write(), gateway.chains[METER]
    seq = chain.seq + (1 if what == "left out" else 0)
    chain.due_ms = gateway.clock.now_ms + 1
    gateway.chains[OTHER].miss()
    gateway.chains[OTHER].due_ms = chain.due_ms
    row = chain.reading(**changes)
    result = audited(first, gateway.write([row, *gateway.cut()]))
    assert findings(result) == [(1, name(seq), "chain")]


def test_a_number_is_used_once(gateway: Gateway) -> None:
    """Also where a batch goes on after a loss: else that would be the way to two records of one id."""
    for resume in (None, "the database was put back"):
        again = replace(gateway, folder=gateway.folder, chains={}, batch=0, prev=None, began=False)
        again.clock.letter = "S"
        first, chain = again.write(), again.chains[METER]
        chain.seq -= 2
        result = audited(first, again.write(again.usual(), resume=resume), allow_resume=True)
        assert (1, name(3), "chain") in findings(result)


def test_an_epoch_that_was_left_never_returns(gateway: Gateway) -> None:
    rows = gateway.usual()
    rows += gateway.restart(1)
    chain = gateway.chains[METER]
    chain.epoch, chain.seq = EPOCH, 5
    result = audited(gateway.write(rows), gateway.write(gateway.cut()))
    assert (1, name(5), "chain") in findings(result)
    assert result.findings[0].detail == "its epoch was left, and has returned"


def test_the_first_record_of_all_has_no_past(gateway: Gateway) -> None:
    gateway.chains[METER].prev = bytes(32)
    assert findings(audited(gateway.write())) == [(0, name(0), "chain")]


# — coverage —


@pytest.mark.parametrize("shift", [-1, 1])
def test_coverage_that_does_not_tile(gateway: Gateway, shift: int) -> None:
    first, chain = gateway.write(), gateway.chains[METER]
    chain.covered_to_ms = (chain.covered_to_ms or 0) + shift
    found = findings(audited(first, gateway.write()))
    assert found[0] == (1, name(8), "coverage")
    assert found[1:] == ([(1, name(8), "due")] if shift < 0 else [])  # the last poll lies in it a second time


def test_coverage_that_counts_what_is_not_there(gateway: Gateway) -> None:
    rows = gateway.usual()
    first = gateway.write(rows)
    gateway.chains[METER].since += 1
    gateway.chains[METER].missed["timeout"] -= 1
    result = audited(first, gateway.write())
    assert findings(result) == [(1, name(8), "coverage")]
    assert result.findings[0].detail == "it counts 4 readings as recorded, and there are 3"


def test_each_batch_holds_coverage_of_each_configured_meter(gateway: Gateway) -> None:
    result = audited(gateway.write(), gateway.write(gateway.polls(3)), gateway.write())
    assert findings(result) == [(1, None, "coverage")] * 2
    assert result.findings[0].detail == f"it holds no coverage record of meter {METER}, which is configured"


def test_a_meter_that_vanishes_is_missed_in_each_batch_and_at_the_end(gateway: Gateway) -> None:
    first = gateway.write()
    del gateway.chains[OTHER]
    result = audited(first, gateway.write(), gateway.write(gateway.usual(9)))
    assert findings(result) == [(1, None, "coverage"), (2, None, "coverage"), (2, None, "coverage")]
    assert result.findings[-1].detail.startswith("the last batch ends at ")


def test_a_meter_that_is_taken_out_and_put_in_again(gateway: Gateway) -> None:
    paths = [
        gateway.write(),
        gateway.write([*gateway.polls(2), *gateway.take_out(OTHER, bytes(32)), *gateway.polls(5), *gateway.cut()]),
        gateway.write(),
        gateway.write([*gateway.polls(2), *gateway.put_in(OTHER, CONFIG), *gateway.usual()]),
        gateway.write(),
    ]
    result = audited(*paths)
    assert findings(result) == []
    assert result.meters[OTHER].due == result.meters[METER].due - 5 - 4 - 2  # what was due without it


def test_the_first_record_of_an_epoch_is_coverage(gateway: Gateway) -> None:
    first = gateway.write()
    gateway.restart(1)
    chain = gateway.chains[METER]
    chain.seq, chain.prev = 0, record_hash([*BatchFile.open(first).records()][-2])
    rows = [chain.reading(), gateway.configuration("start"), *gateway.usual()]
    found = findings(audited(first, gateway.write(rows, meters=parts_of(rows))))
    assert (1, name(0, epoch=gateway.epoch), "coverage") in found


def test_coverage_that_stands_still_does_not_reach_the_end(gateway: Gateway) -> None:
    paths, chain = [gateway.write()], gateway.chains[METER]
    for _ in range(3):
        kept = chain.seq, chain.prev
        rows = [row for row in gateway.polls(4) if OTHER.encode() in row]
        (chain.seq, chain.prev), chain.since, chain.due_ms = kept, 0, chain.covered_to_ms or 0
        paths.append(gateway.write([*rows, *gateway.cut()]))
    result = audited(*paths)
    assert findings(result) == [(3, None, "coverage")]
    assert "the rest is missing" in result.findings[0].detail


@pytest.mark.parametrize(("shift_ms", "where"), [(-60_000, "before"), (3_000, "after")])
def test_a_reading_lies_within_the_coverage_that_counts_it(gateway: Gateway, shift_ms: int, where: str) -> None:
    first, chain = gateway.write(), gateway.chains[METER]
    time_ms = gateway.clock.now_ms + shift_ms
    chain.due_ms = gateway.clock.now_ms + 1
    gateway.chains[OTHER].miss()
    gateway.chains[OTHER].due_ms = chain.due_ms
    row = chain.add(Reading(time_ms, (Value("count", 1, "count"),)))
    chain.since += 1
    result = audited(first, gateway.write([row, *gateway.cut()]))
    outside = [f for f in result.findings if f.step == "coverage"]
    assert [f.record for f in outside] == [name(5)]
    assert f" is {where} " in outside[0].detail


def test_coverage_does_not_speak_of_the_time_after_it_was_signed(gateway: Gateway) -> None:
    first, rows = gateway.write(), gateway.polls(1)
    for chain in gateway.meters:
        chain.due_ms += 30_000
        chain.missed["line-down"] = 3
    found = findings(audited(first, gateway.write([*rows, *gateway.cut()])))
    assert found == [(1, name(6, meter), "coverage") for meter in (METER, OTHER)]


# — losses —


def put_back(gateway: Gateway, *, rounds: int = 4) -> tuple[list[Path], Gateway]:
    """Batches 0 and 1; then the database as it was behind batch 0 goes on, as epoch 5, behind the ledger's batch 1."""
    paths = [gateway.write()]
    kept = deepcopy(gateway)
    paths.append(gateway.write(gateway.usual(rounds)))
    kept.clock.now_ms, kept.batch, kept.prev = gateway.clock.now_ms, gateway.batch, gateway.prev
    paths.append(kept.write([*kept.restart(5, stopped_ms=33_000), *kept.usual()], resume="restored"))
    return [*paths, kept.write()], kept


def test_time_that_is_told_twice_is_named_and_counted_once(gateway: Gateway) -> None:
    paths, _ = put_back(gateway)
    result = audited(*paths)
    assert {f[2] for f in findings(result)} == {"resume"}
    assert findings(result)[0] == (2, None, "resume")
    twice = [f.detail for f in result.findings if "twice" in f.detail]
    assert twice == ["the time from 2026-11-18T09:27:10.001Z to 2026-11-18T09:28:00.001Z is told twice; counted as it "
                     "was anchored first"] * 2  # fmt: skip
    allowed = audited(*paths, allow_resume=True)
    assert findings(allowed) == []
    assert any("told twice" in note for note in allowed.notes)
    meter = allowed.meters[METER]
    elapsed = (meter.to_ms or 0) - (meter.from_ms or 0)
    assert meter.due == sum(meter.missed.values()) + meter.recorded
    assert abs(meter.due - elapsed / EVERY_MS) < 2
    assert meter.readings == meter.recorded == 3 + 4 + 3 + 3
    assert allowed.as_json()["meters"][0]["told_twice"] == [
        {"from": "2026-11-18T09:27:10.001Z", "to": "2026-11-18T09:28:00.001Z"}
    ]


def test_batches_that_a_lost_database_had_are_named(gateway: Gateway) -> None:
    paths, _ = put_back(gateway)
    alone = audited(paths[0], paths[2], paths[3])
    assert findings(alone)[0] == (2, None, "resume")
    assert alone.findings[0].detail == "batch 1 is missing before it; a lost database had what it tells"
    assert findings(audited(paths[0], paths[2], paths[3], allow_resume=True)) == []
    assert (3, None, "chain") in findings(audited(paths[0], paths[3], allow_resume=True))


def lost(gateway: Gateway, *, announced: bool, resume: str | None) -> list[Path]:
    """Of the second batch two readings are lost with a damaged database, which an event says, or not."""
    paths, rows = [gateway.write()], gateway.polls(4)
    chain = gateway.chains[METER]
    mine = [row for row in rows if OTHER.encode() not in row]
    kept = [row for row in rows if row not in mine[1:3]]
    ranges = [[METER, EPOCH, chain.seq - 3, chain.seq - 2]]
    event = [gateway.event("repaired", ranges=ranges, lost=2)] if announced else []
    start = gateway.restart(1, stopped_ms=20_000)
    batch = [*kept, *event, *start, *gateway.usual()]
    paths.append(gateway.write(batch, resume=resume, meters=parts_of(batch)))
    return [*paths, gateway.write()]


def test_numbers_that_a_signed_event_calls_lost_are_named(gateway: Gateway) -> None:
    paths = lost(gateway, announced=True, resume="lost with a damaged database")
    result = audited(*paths)
    assert {f[2] for f in findings(result)} == {"resume"}
    assert any("numbers 6 to 7 are lost before it, as a signed event says" in f.detail for f in result.findings)
    assert findings(audited(*paths, allow_resume=True)) == []


@pytest.mark.parametrize(("announced", "resume"), [(False, "lost"), (True, None), (False, None)])
def test_numbers_that_are_left_out_otherwise_are_missing(gateway: Gateway, announced: bool, resume: str | None) -> None:
    found = findings(audited(*lost(gateway, announced=announced, resume=resume), allow_resume=True))
    assert (1, name(8), "chain") in found


def test_batches_of_which_records_are_lost_cannot_be_given_any_more(gateway: Gateway) -> None:
    for seq, found in ((9, []), (7, [(2, None, "chain")])):
        site = Gateway(gateway.folder)
        first, second = site.write(), site.write()
        assert second.exists()
        event = site.itself.add(Event("repaired", {"ranges": [[METER, EPOCH, 4, seq - 3]], "lost": 1}))
        third = site.write([*site.polls(2), event, *site.restart(1, stopped_ms=20_000), *site.usual()])
        result = audited(first, third, allow_resume=True)
        assert findings(result) == found
        assert not audited(first, third).sound
