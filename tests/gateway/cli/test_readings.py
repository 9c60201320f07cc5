"""`meterseal readings` for any time: what stands in the files is what the records say."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from gateway.api.shapes.reading_lines import COLUMNS
from gateway.cli.readings_view import print_readings
from gateway.config.model import Config
from gateway.process.console import console
from gateway.records import PollResult, Timestamp
from gateway.status.readings import reading_values
from gateway.storage.database import Database
from gateway.verdicts import verdict
from ledger_client.formats.record import parse_record
from ledger_client.formats.senml import Columns, Reading, Value
from ledger_client.times import rfc3339_ms
from ledger_client.verification.value_words import quality_phrases
from tests.support.commands import Answer, gateway_command
from tests.support.samples import START_S, Hands, site

METER = "export-main"
VALUES = (
    Value("energy", Decimal("1234.50"), "kWh", 1 << 16),
    Value("power", 12.25, "W", 0, 130),
    Value("count", 7, "count"),
    Value("door", True),
    Value("serial", 'a "b", c\n', None),
    Value("gone", None, "V", 1 | 1 << 40),
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Three meters of 200 readings, of which one is not in the configuration of today."""
    made = site(tmp_path_factory.mktemp("readings") / "site", {'every = "60s"': 'every = "10s"'})
    hands = Hands(made)
    hands.store.run("PRAGMA synchronous = OFF")
    for n in range(200):
        now = Timestamp.now(hands.clock)
        plain = Columns(("a", "b"), (n, n / 8), ("V", None))
        hands.journal.poll(PollResult(METER, now.time_ms, Reading(now.time_ms, VALUES), now))
        hands.journal.poll(PollResult("pv-inverter", now.time_ms, Reading(now.time_ms, plain), now))
        hands.machine.passes(10)
        hands.journal.keep_time()
    hands.end()
    return made


def _run(loaded: Config, *words: object) -> Answer:
    return gateway_command("readings", loaded.path, *words)


def _records(loaded: Config, meter: str | None = None) -> list[dict[str, Any]]:
    """Every value of every reading by the strict parser."""
    store = Database(loaded.database, read_only=True)
    rows = [row for row in store.records.rows(0, 1 << 60) if row.kind == "reading" and meter in (None, row.meter)]
    store.close()
    return [
        {
            "time": rfc3339_ms(row.time_ms + v.offset_ms), "meter": row.meter, "point": v.name, "value": v.value,
            "unit": v.unit, "quality": verdict(v.quality), "bits": int(v.quality),
            "words": "; ".join(quality_phrases(v.quality)), "record": row.id, "clock": "S",
        }
        for row in rows
        for v in parse_record(row.data).body.values  # type: ignore[union-attr]
    ]  # fmt: skip


def test_csv_holds_every_value_with_its_decimals(loaded: Config, tmp_path: Path) -> None:
    result = _run(loaded, "-o", tmp_path / "all.csv")
    assert result.code == 0, result.output
    assert "400 readings, 1600 values" in result.output
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    expected = _records(loaded)
    assert len(found) == len(expected) == 1600
    for line, row in zip(found, expected, strict=True):
        value = row["value"]
        written = "" if value is None else "true" if value is True else str(value)
        assert line == {k: "" if v is None else str(v) for k, v in row.items()} | {"value": written}


def test_json_lines_hold_the_same(loaded: Config) -> None:
    result = _run(loaded, METER, "--format", "jsonl", "--from", "2020-01-01")
    assert result.code == 0, result.output
    found = [json.loads(line, parse_float=Decimal) for line in result.out.splitlines()]
    expected = _records(loaded, METER)
    assert found == expected
    assert str(found[0]["value"]) == "1234.50"


def test_parquet_holds_the_same(loaded: Config, tmp_path: Path) -> None:
    assert _run(loaded, "-o", tmp_path / "all.parquet").code == 0
    table = pyarrow.parquet.read_table(tmp_path / "all.parquet")
    found = table.to_pylist()
    expected = _records(loaded)
    assert [row["record"] for row in found] == [row["record"] for row in expected]
    first = found[0] | {"time": rfc3339_ms(int(found[0]["time"].timestamp() * 1000))}
    assert first == expected[0] | {"value": "1234.50", "number": 1234.5}
    assert found[5]["value"] is None
    assert (found[5]["bits"], found[3]["value"]) == (1 | 1 << 40, "true")


def test_a_time_begins_with_from_and_ends_before_to(loaded: Config) -> None:
    begin, end = rfc3339_ms((START_S + 100) * 1000), rfc3339_ms((START_S + 120) * 1000)
    result = _run(loaded, "pv-inverter", "--from", begin, "--to", end)
    times = [line.split(",")[0] for line in result.out.splitlines()[1:]]
    assert sorted(set(times)) == [begin, rfc3339_ms((START_S + 110) * 1000)]
    assert _run(loaded, "--to", "2020-01-01T00:00:00+08:00").out.splitlines()[1:] == []


@pytest.mark.parametrize(("zone", "hour"), [("Asia/Shanghai", 16), ("America/New_York", 3), (None, 8)])
def test_a_time_without_a_zone_is_one_of_the_sites_zone_and_of_utc_without_one(
    loaded: Config, zone: str | None, hour: int
) -> None:
    there = loaded.path.with_name("there.toml")
    key = f'[gateway]\ntimezone = "{zone}"' if zone else "[gateway]"
    there.write_text(loaded.path.read_text().replace("[gateway]", key, 1))
    span = "--from", f"2027-01-15 {hour:02}:01:40", "--to", f"2027-01-15T{hour:02}:02"
    result = gateway_command("readings", there, "pv-inverter", *span)
    times = [line.split(",")[0] for line in result.out.splitlines()[1:]]
    assert sorted(set(times)) == [rfc3339_ms((START_S + s) * 1000) for s in (100, 110)]


def test_a_time_that_clocks_show_twice_names_the_second_and_one_that_they_skip_is_refused(loaded: Config) -> None:
    there = loaded.path.with_name("berlin.toml")
    there.write_text(loaded.path.read_text().replace("[gateway]", '[gateway]\ntimezone = "Europe/Berlin"', 1))
    twice = gateway_command("readings", there, "--to", "2026-10-25 02:30")
    assert (twice.code, twice.out.splitlines()[1:]) == (0, [])
    assert [time for time in ("2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z") if time not in twice.err] == []
    gateway_command("readings", there, "--to", "2026-03-29 02:30").ended(2)


def test_the_last_are_shown_as_ever(loaded: Config) -> None:
    assert _run(loaded, METER, "-n", 2).out.count("record ") == 2
    readings = json.loads(_run(loaded, METER, "-n", 2, "--json").out)["readings"]
    assert len(readings) == 2 * len(VALUES)
    assert readings[0]["value"] == "1234.50"
    lines = _run(loaded, METER, "-n", 1, "--format", "csv").out.splitlines()
    assert lines[0].startswith("time,meter,point,value,unit,quality,bits,words,record,clock")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["-n", "2", "--from", "-1h"], "not both"),
        (["--from", "-1h", "--to", "-2h"], "must be before"),
        (["--from", "yesterday"], "is not a time such as"),
        (["-o", "readings.xml"], "a name that ends in"),
        (["--json", "--from", "-1h"], "shows only the last readings"),
        (["--format", "parquet"], "give -o FILE"),
        (["no-such-meter"], "no meter"),
    ],
)
def test_what_does_not_go_together_is_said(loaded: Config, words: list[str], problem: str) -> None:
    result = _run(loaded, *words)
    assert result.code == 2
    assert problem in result.output
    assert "Traceback" not in result.output


def test_without_the_library_the_way_out_is_told(
    loaded: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = _run(loaded, "-o", tmp_path / "x.parquet")
    assert result.code == 2
    assert "meterseal[parquet]" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_whole_or_the_old_one(loaded: Config, tmp_path: Path) -> None:
    old = f"{','.join(COLUMNS)}\r\nthe old one"
    (tmp_path / "all.csv").write_text(old, newline="")
    copy = tmp_path / "site"
    made = site(copy, {'every = "60s"': 'every = "10s"'})
    made.data.mkdir(exist_ok=True)
    source, target = sqlite3.connect(loaded.database), sqlite3.connect(made.database)
    source.backup(target)
    target.execute("DROP TRIGGER records_stay")
    target.execute("UPDATE records SET data = substr(data, 1, 40) WHERE id = (SELECT max(id) - 5 FROM records)")
    target.execute("UPDATE records SET data = substr(data, 1, 40) WHERE id = 300")
    target.commit()
    target.close()
    source.close()
    result = _run(made, "-o", tmp_path / "all.csv")
    assert result.code == 1
    assert "cannot read record" in result.output
    assert (tmp_path / "all.csv").read_bytes() == old.encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.csv", "site"]


def test_what_a_meter_says_neither_styles_nor_steers_the_terminal() -> None:
    values = Value("text", "[/red]\x1b[2J"), Value("large", Decimal("1E+3")), Value("door", True)
    reading = Reading(1_800_000_000_000, values)
    terminal = io.StringIO()
    print_readings(console(terminal), reading_values(reading, "export-main", "not recorded"))
    printed = terminal.getvalue()
    assert "[/red]" in printed
    assert "\\[/red]" not in printed
    assert "\x1b[2J" not in printed
    assert [text in printed for text in ("1000", "yes")] == [True, True]
