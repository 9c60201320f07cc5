"""Audits of times: they agree along a meter's numbers, and with the course that clock events tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger_client.formats.record import Event
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.audit_batches import BEGIN_MS, EVERY_MS, OTHER, Gateway, audited, findings, trusted
from tests.support.evidence import EPOCH, METER, receipt_for


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def name(seq: int, meter: str = METER, epoch: bytes = EPOCH) -> str:
    return f"{meter}/{epoch.hex()}/{seq}"


def with_reading(gateway: Gateway, body: Reading | None = None, **changes: Any) -> list[tuple[int, str | None, str]]:
    """What is found of a second batch that begins with one poll of the first meter, of this body and with these
    claims; the poll is counted."""
    first, chain, other = gateway.write(), gateway.chains[METER], gateway.chains[OTHER]
    other.miss()
    chain.due_ms = other.due_ms = gateway.clock.now_ms + 1
    row = chain.reading(**changes) if body is None else chain.add(body, **changes)
    chain.since += body is not None
    gateway.clock.passes(EVERY_MS)
    result = audited(first, gateway.write([row, *gateway.cut()]))
    return [f for f in findings(result) if f[2] != "coverage"]  # type: ignore[misc]


def test_readings_are_in_the_order_of_their_times_unless_they_are_late(gateway: Gateway) -> None:
    early_ms = gateway.clock.now_ms + 20_000
    not_due = 1, name(6), "due"  # by the coverage that counts it
    found = with_reading(gateway, Reading(early_ms, (Value("count", 1, "count"),)))
    assert found == [(1, name(5), "times"), not_due]
    late = Reading(early_ms, (Value("count", 1, "count", quality=Quality.LATE),))
    assert with_reading(Gateway(gateway.folder), late) == [not_due]


def test_up_never_falls_within_an_epoch(gateway: Gateway) -> None:
    first, chain, up_ms = gateway.write(), gateway.chains[METER], gateway.clock.up_ms
    rows = [chain.add(Event("commissioned", {}), up_ms=up) for up in (up_ms, up_ms - 4)]
    result = audited(first, gateway.write([*rows, *gateway.usual()]))
    assert findings(result) == [(1, name(6), "times")]
    assert "up falls from 40000 to 39996 ms" in result.findings[0].detail


@pytest.mark.parametrize("off_s", [-5, 3])
def test_iat_and_up_go_on_alike_between_clock_events(gateway: Gateway, off_s: int) -> None:
    now_s = gateway.clock.now_ms // 1000 + 40
    assert with_reading(gateway, iat=now_s + off_s)[0] == (1, name(5), "times")
    assert with_reading(Gateway(gateway.folder), iat=now_s + 1) == []


def test_a_clock_that_is_corrected_in_both_directions_holds(gateway: Gateway) -> None:
    gateway.behind_s = 3600
    paths = [gateway.write()]
    rows = gateway.polls(2)
    gateway.behind_s = 0
    paths += [
        gateway.write([*rows, *gateway.correct(3_600_000), *gateway.usual()]),
        gateway.write([*gateway.polls(4), *gateway.correct(0, slow=True), *gateway.polls(30), *gateway.cut()]),
        gateway.write([*gateway.correct(0), *gateway.usual()]),
    ]
    result = audited(*paths)
    assert findings(result) == []
    assert result.notes == ["the clock was set forward by 1 h 0 min, at once by 1 h 0 min at most: nothing was due"]
    later = audited(paths[2], paths[3])
    assert {f[2] for f in findings(later)} == {"due"}  # it is not known how far the epoch was slowed before


def test_files_may_begin_where_record_times_run_slowed(gateway: Gateway) -> None:
    gateway.write([*gateway.usual(), *gateway.correct(0, slow=True)])
    paths = [gateway.write([gateway.configuration("day"), *gateway.usual(30)])]
    paths.append(gateway.write([*gateway.polls(30), *gateway.correct(0), *gateway.usual(9)]))
    assert findings(audited(*paths)) == []


def test_a_correction_that_no_event_tells_is_found(gateway: Gateway) -> None:
    first = gateway.write()
    gateway.clock.now_ms += 3_600_000
    assert {f[2] for f in findings(audited(first, gateway.write()))} == {"times", "due"}


def test_a_clock_event_says_what_record_times_were(gateway: Gateway) -> None:
    first = gateway.write()
    clock = {"before": gateway.clock.now_ms - 60_000, "after": gateway.clock.now_ms, "up": gateway.clock.up_ms}
    event = gateway.event("clock", **clock, clock="S", grids=gateway.new_grids())
    found = findings(audited(first, gateway.write([event, *gateway.usual()])))
    assert found == [(1, name(1, "gateway"), "times")]


def test_a_reading_is_signed_within_its_period_and_a_minute(gateway: Gateway) -> None:
    for ago_s, found in ((69, []), (71, [(1, name(5), "times")])):
        site = Gateway(gateway.folder)
        signed_ms = site.clock.now_ms + 40_000
        late = Reading(signed_ms - ago_s * 1000, (Value("count", 1, "count", quality=Quality.LATE),))
        assert with_reading(site, late) == found


def test_a_reading_may_be_signed_behind_a_jump_of_the_clock(gateway: Gateway) -> None:
    gateway.behind_s = 3600
    first, due_ms, clock = gateway.write(), gateway.clock.now_ms, gateway.clock
    gateway.behind_s = 0
    rows = gateway.cut()
    for chain in gateway.meters:
        chain.due_ms = due_ms + 1  # this poll has not finished
    clock.passes(20)
    read_ms, clock.now_ms = clock.now_ms, clock.now_ms + 3_600_000
    facts = {"before": read_ms, "after": clock.now_ms, "up": clock.up_ms, "clock": "S"}
    rows.append(gateway.event("clock", **facts, grids=gateway.new_grids()))
    rows += [chain.reading(time_ms=read_ms) for chain in gateway.meters]
    assert findings(audited(first, gateway.write([*rows, *gateway.usual()]))) == []


def test_time_that_cannot_have_passed_by_the_ledgers_times_is_found(gateway: Gateway) -> None:
    """An hour in which nothing was due, because the clock is said to have been slow."""
    first = gateway.write()
    second = gateway.write([*gateway.polls(2), *gateway.correct(3_600_000), *gateway.usual()])
    (finding,) = audited(first, second).findings
    assert (finding.batch, finding.step) == (1, "times")
    assert "by the ledgers' times" in finding.detail


@pytest.mark.parametrize("early_ms", [0, 60_000])
def test_an_epoch_began_when_its_up_says(gateway: Gateway, early_ms: int) -> None:
    first, clock = gateway.write(), gateway.clock
    facts = {"before": clock.now_ms, "after": clock.now_ms, "up": clock.up_ms, "clock": "S"}
    facts["began"] = clock.now_ms - clock.up_ms - early_ms
    event = gateway.event("clock", **facts, grids=gateway.new_grids())
    found = findings(audited(first, gateway.write([event, *gateway.usual()])))
    assert found == ([(1, name(1, "gateway"), "times")] if early_ms else [])


def test_a_reading_is_not_signed_before_it_was_read(gateway: Gateway) -> None:
    ahead = Reading(gateway.clock.now_ms + 40_000 + 2_500, (Value("count", 1, "count"),))
    assert with_reading(gateway, ahead) == [(1, name(5), "times")]


def test_nothing_is_signed_after_its_batch_was_on_a_ledger(gateway: Gateway) -> None:
    rows = [*gateway.usual(), *gateway.polls(40), *gateway.cut()]
    entry = gateway.entry(rows)
    gateway.batch, gateway.prev = 0, None
    early = receipt_for(entry, iat=gateway.clock.now_ms // 1000 - 305)
    result = audited(gateway.write(rows, [early]))
    late = {*(name(45, meter) for meter in (METER, OTHER)), None}  # and the statement
    assert {(f.record, f.step) for f in result.findings} == {(one, "validity") for one in late}
    assert any("it was signed at" in f.detail for f in result.findings)


def test_a_batch_that_was_held_back_for_longer_than_the_policy_allows(gateway: Gateway) -> None:
    rows = gateway.usual()
    entry = gateway.entry(rows)
    gateway.batch, gateway.prev = 0, None
    path = gateway.write(rows, [receipt_for(entry, iat=BEGIN_MS // 1000 + 500)])
    assert findings(audited(path, by=replace(trusted(), max_delay_s=500))) == []
    result = audited(path, by=replace(trusted(), max_delay_s=499))
    assert findings(result) == [(0, None, "validity")]
    assert "held back for 8 min 20 s" in result.findings[0].detail
    assert "policy.max_delay is 8 min 19 s" in result.findings[0].detail
