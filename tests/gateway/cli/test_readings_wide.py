"""`meterseal readings --wide`, `--points` and several meters: no value under a head that is not its own, no formula."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config.model import Config
from gateway.errors import Pruned
from gateway.history.point_columns import configured_columns
from gateway.history.value_lines import Walk, Wanted, readings
from gateway.records import PollResult, Timestamp
from gateway.storage.capacity.pruning import prune
from gateway.storage.database import Database
from gateway.storage.record_tables import _readings_of
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.senml import Quality, Reading, Value
from ledger_client.times import rfc3339_ms
from tests.support.commands import Answer, gateway_command
from tests.support.samples import Hands, settle, site

MAIN, PV, GONE = "export-main", "pv-inverter", "taken-away"
FORMULA = "=cmd|' /C calc'!A0"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Of export-main a bad value, an uncertain one, one in another unit than now, one of a point that is no more, and a
    text; of pv-inverter a plain one; and a meter that is no more."""
    made = site(tmp_path_factory.mktemp("wide") / "site", {'every = "60s"': 'every = "10s"'})
    first, second, third, fourth = configured_columns(made, [MAIN])[:4]
    (pv,) = configured_columns(made, [PV])[:1]
    hands = Hands(made)
    for n in range(3):
        now = Timestamp.now(hands.clock)
        values = (
            Value(first.point, Decimal("-12.50"), first.unit),
            Value(second.point, 7, second.unit, int(Quality.RANGE_HIGH)),
            Value(third.point, Decimal("1.5"), third.unit, int(Quality.FROZEN)),
            Value(fourth.point, 99, "kW" if fourth.unit != "kW" else "W"),
            Value("old_point", FORMULA),
        )
        hands.journal.poll(PollResult(MAIN, now.time_ms, Reading(now.time_ms, values[: 4 + n % 2]), now))
        plain = Reading(now.time_ms, (Value(pv.point, n, pv.unit),))
        hands.journal.poll(PollResult(PV, now.time_ms, plain, now))
        hands.machine.passes(10)
        hands.journal.keep_time()
    hands.machine.passes(120)  # the minute is summarised
    hands.journal.keep_time()
    now = Timestamp.now(hands.clock)
    plain = Reading(now.time_ms, (Value(pv.point, 3, pv.unit),))
    hands.journal.poll(PollResult(PV, now.time_ms, plain, now))
    hands.journal.poll(PollResult(MAIN, now.time_ms, Reading(now.time_ms, (Value("old_point", FORMULA),)), now))
    hands.end()
    return made


def run(loaded: Config, *words: object) -> Answer:
    return gateway_command("readings", loaded.path, *words)


def rows_of(answer: Answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.ended().out)))


def test_a_row_is_a_reading_and_bad_values_and_those_in_another_unit_are_left_out(loaded: Config) -> None:
    answer = run(loaded, MAIN, "--wide", "--from", "2020-01-01")
    rows, columns = rows_of(answer), configured_columns(loaded, [MAIN])
    assert list(rows[0]) == ["time", "meter", *(c.header for c in columns), "quality", "record", "clock"]
    first, second, third, fourth = (column.header for column in columns[:4])
    assert [rows[0][head] for head in (first, second, third, fourth)] == ["-12.50", "", "1.5", ""]
    assert [row["quality"] for row in rows] == ["bad", "bad", "bad", "missing"]
    assert len({row["record"] for row in rows}) == 4
    assert (f"{columns[3].point} [kW] (3)" in answer.err, "old_point (2)" in answer.err) == (True, True), answer.err


def test_points_in_their_order_of_several_meters_in_every_format(loaded: Config) -> None:
    (main, *_), (pv, *_) = configured_columns(loaded, [MAIN]), configured_columns(loaded, [PV])
    both = MAIN, PV, "--points", f"old_point,{main.point},{pv.point}", "--from", "2020-01-01"
    rows = rows_of(run(loaded, *both, "--wide"))
    heads = dict.fromkeys(["old_point", main.header, pv.header])
    assert list(rows[0])[2:-3] == list(heads)
    assert [row["old_point"] for row in rows if row["old_point"]] == [f"'{FORMULA}"] * 2
    lines = [json.loads(line) for line in run(loaded, *both, "--format", "jsonl").ended().out.splitlines()]
    assert {line["point"] for line in lines} == {"old_point", main.point, pv.point}
    assert [line["value"] for line in lines if line["point"] == "old_point"] == [FORMULA] * 2
    assert [line["record"] for line in lines if line["meter"] == PV][-1] == rows[-2]["record"]
    long = rows_of(run(loaded, *both))
    assert [row["value"] for row in long if row["point"] == "old_point"] == [f"'{FORMULA}"] * 2
    assert {row["value"] for row in long if row["point"] == main.point and row["meter"] == MAIN} == {"-12.50"}
    newest = json.loads(run(loaded, "--points", pv.point, "-n", 1, "--json").ended().out)["readings"]
    assert {(value["meter"], value["name"]) for value in newest} >= {(PV, pv.point)}


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["--wide", "--format", "jsonl"], 2, "--wide"),
        (["--wide", "-o", "x.parquet"], 2, "--wide"),
        (["--points", "a,,b"], 2, "a,,b"),
        (["--points", "voltage_l9"], 2, "voltage_l9"),
        ([MAIN, GONE], 2, GONE),
    ],
)
def test_what_cannot_be_exported_is_refused(loaded: Config, words: list[str], code: int, problem: str) -> None:
    assert problem in run(loaded, *words).ended(code).err


def test_meters_are_merged_in_the_order_of_commits_without_reading_others(loaded: Config) -> None:
    store = Database(loaded.database, read_only=True)
    every, last = store.readings.after(None, 0, 1 << 60, 100), 1 << 60
    assert store.readings.after([PV, MAIN], 0, last, 100) == every
    many = [*(f"meter-{n}" for n in range(200)), PV, MAIN]
    assert store.readings.after(many, 0, last, 100) == every
    assert store.readings.after([PV, MAIN], every[2][0], last, 2) == every[3:5]
    sql, values = _readings_of("id", [PV, MAIN], 0, last)
    plan = " ".join(str(row[-1]) for row in store.all(f"EXPLAIN QUERY PLAN {sql} ORDER BY id LIMIT 5", *values))
    store.close()
    assert ("MERGE" in plan, "TEMP B-TREE" in plan) == (True, False), plan


def test_what_is_pruned_while_it_is_read_ends_the_list(tmp_path: Path) -> None:
    made = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    hands = Hands(made)
    hands.poll(24)
    ledger = PrivateKey.generate()
    settle(hands.store, [0, 1, 2], ledger)
    walk = Walk(Wanted((MAIN,)))
    begun = walk.take(hands.store, 3)
    later = Walk(Wanted((MAIN,)), place=begun[-1][0])
    while prune(hands.store, [], 1 << 60, lambda store, batch: None):
        pass
    assert hands.store.records.pruned()[0] > begun[-1][0]
    for one in (walk, later):
        with pytest.raises(Pruned) as ended:
            one.take(hands.store, 3)
        assert ended.value.message is not None
        assert ended.value.message.code == "readings-pruned"
    fresh = list(readings(hands.store, Wanted((MAIN,))))
    assert fresh[0].time_ms > begun[-1][1].time_ms
    resumed = Walk(Wanted((MAIN,)), place=0, pruned_to=hands.store.records.pruned()[0])
    assert [rfc3339_ms(row.time_ms) for _, row in resumed.take(hands.store)] == [rfc3339_ms(r.time_ms) for r in fresh]
    hands.end()
