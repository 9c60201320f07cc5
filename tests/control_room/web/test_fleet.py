"""How gateways stand, the worst first, and a meter's newest reading, chart and list: by a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control_room.store import alarms, listed, meters
from control_room.store.connection import Database
from control_room.store.incoming import hours
from control_room.store.recorded import recorded
from control_room.web.findings import Level, level_of
from control_room.web.fleet import fleet, gateway
from tests.control_room.web.filled import (
    AWAY,
    EVERY_MS,
    FORKED,
    HOLED,
    LISTED,
    METER,
    MISSED,
    NOW_MS,
    READINGS,
    STRANGE,
    UNHEARD,
    WELL,
    fill,
)


def test_every_gateway_is_there_the_worst_first(db: Database) -> None:
    fill(db)
    found = fleet(db, LISTED, NOW_MS)
    assert [one.name for one in found.gateways] == [FORKED, HOLED, UNHEARD, AWAY, STRANGE, WELL]
    assert {one.name: level_of(one, NOW_MS) for one in found.gateways} == {
        **dict.fromkeys((FORKED, HOLED, UNHEARD, AWAY), Level.BAD), **dict.fromkeys((STRANGE, WELL), Level.WARN)
    }  # fmt: skip
    by_name = {one.name: one for one in found.gateways}
    well, unheard = by_name[WELL], by_name[UNHEARD]
    assert (well.row.due, well.row.recorded, well.share, well.clock) == (1000, 990, 0.99, "synchronised")
    assert (unheard.row.due, unheard.share, unheard.age_ms(NOW_MS), unheard.version) == (None, None, None, None)
    assert (by_name[HOLED].row.unproven, by_name[HOLED].oldest_ms) == (1, NOW_MS - 60_000)
    assert [one.code for one in found.room_alarms] == ["odd"]
    alone = gateway(db, LISTED, FORKED, NOW_MS)
    assert alone is not None
    assert replace(alone, row=alone.row._replace(status=None)) == by_name[FORKED]
    assert gateway(db, LISTED, "nobody", NOW_MS) is None


def test_alarms_are_as_bad_as_their_codes(db: Database) -> None:
    fill(db)
    db.run("UPDATE alarms SET code = 'forked' WHERE code = 'clock'")
    db.run("UPDATE alarms SET code = 'of-a-newer-gateway' WHERE code = 'equivocation'")
    alarms_of = {one.name: dict(one.alarms) for one in fleet(db, LISTED, NOW_MS).gateways}
    assert alarms_of[WELL] == {"critical": 1, "error": 0, "warning": 0, "notice": 0}
    assert alarms_of[FORKED] == {"critical": 0, "error": 1, "warning": 0, "notice": 0}


def test_the_newest_reading_comes_back_as_it_was_recorded(db: Database) -> None:
    written = fill(db).readings
    (with_readings, without) = sorted(meters.meters(db, 10), key=lambda row: row.newest_ms is None)
    newest = meters.newest(db, [with_readings, without])
    row = newest[with_readings.id]
    assert (row.time_ms, row.seq, without.newest_ms) == (written[-1].time_ms, READINGS - 1, None)
    assert tuple(recorded(db, row)) == tuple(written[-1].values)
    assert [(value.value, str(value.value)) for value in recorded(db, row)] == [
        (value.value, str(value.value)) for value in written[-1].values
    ]


def test_readings_come_in_order_and_go_on_behind_any_of_them(db: Database) -> None:
    written = fill(db).readings
    meter = meters.meter_of(db, WELL, METER)
    assert meter is not None
    found, after = [], (-1, 0, 0)
    while page := meters.readings(db, meter.id, 0, NOW_MS, after, 77):
        found += page
        after = (page[-1].time_ms, page[-1].epoch_id, page[-1].seq)
    assert [tuple(recorded(db, row)) for row in found] == [tuple(reading.values) for reading in written]


@pytest.mark.parametrize(("step_ms", "are_made"), [(60_000, False), (3_600_000, False), (3_600_000, True)])
def test_steps_leave_out_what_is_bad_and_say_that_it_was(db: Database, step_ms: int, are_made: bool) -> None:
    fill(db)
    while are_made and hours.make(db, NOW_MS):
        pass
    if are_made:
        db.run("DELETE FROM readings")
    meter = meters.meter_of(db, WELL, METER)
    assert meter is not None
    begin_ms = NOW_MS - READINGS * EVERY_MS
    steps = meters.steps(db, meter.id, "active_power", begin_ms // step_ms * step_ms, NOW_MS, step_ms)
    assert sum(step.count for step in steps) == READINGS - 1
    holding = next(s for s in steps if s.start_ms <= begin_ms + MISSED * EVERY_MS < s.start_ms + step_ms)
    assert holding.readings == holding.count + 1
    assert holding.bits
    first = steps[0]
    assert (first.first, first.low, steps[-1].last, steps[-1].high) == (0.0, 0.0, 747.5, 747.5)
    assert meters.steps(db, meter.id, "nothing", begin_ms, NOW_MS, step_ms) == []


def test_lists_go_on_in_front_of_any_of_theirs(db: Database) -> None:
    fill(db)
    whole = listed.batches(db, 10)
    assert [row.batch for row in whole] == [2, 1, 0]
    assert listed.batches(db, 10, before=whole[0].place) == whole[1:]
    refused = listed.refused(db, 10, gateway=FORKED)
    assert [row.step for row in refused] == [3, 2, 1]
    assert listed.refused(db, 10, before=refused[1].id) == refused[2:]
    (hole,) = listed.holes(db, 10)
    assert (hole.gateway, hole.first_batch, hole.last_batch, hole.first) == (HOLED, 4, 6, None)


def test_an_alarm_is_acknowledged_once_and_here_alone(db: Database) -> None:
    fill(db)
    newest = alarms.alarms(db, 1)[0]
    assert alarms.unacknowledged(db) == 3
    assert alarms.acknowledge(db, newest.id, "ada", "seen", NOW_MS)
    assert not alarms.acknowledge(db, newest.id, "bob", "again", NOW_MS)
    found = alarms.alarm(db, newest.id)
    assert found is not None
    assert (found.acked_by, found.acked_note, found.acked_ms, found.cleared_ms) == ("ada", "seen", NOW_MS, None)
    assert alarms.unacknowledged(db) == 2
