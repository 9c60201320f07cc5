"""Files of a comparison: formats that are read, names and factors, and what is refused, where and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from firmware_sim.cli.app import main
from firmware_sim.compare.run import Wanted
from firmware_sim.compare.run import compare as compare_files
from tests.firmware_sim.compare.logs import BEGIN_MS, answer, counts, time_text, write_log, write_readings

POINTS = {"power": 1000.5, "volts": "230.1"}
LINES = [answer(n, {"power": 1000.5 + n, "volts": f"230.{n}"}) for n in range(9)]
ROWS = [(n, "main", point, LINES[n]["values"][point]) for n in range(9) for point in POINTS]


def run(folder: Path, *options: object, log: str | None = None, readings: str | None = None) -> Result:
    """The command on the log and readings above, or on these texts."""
    write_log(folder / "log.jsonl", LINES)
    write_readings(folder / "readings.csv", ROWS)
    if log is not None:
        (folder / "log.jsonl").write_text(log)
    if readings is not None:
        (folder / "readings.csv").write_text(readings)
    words = ["compare", folder / "log.jsonl", folder / "readings.csv", *options]
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_command_says_how_it_went(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", "--within", "500ms", "--every", "main=1")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output)
    assert (facts["holds"], facts["right"], facts["within_s"]) == (True, 18, 0.5)
    assert facts["meters"][0]["every_by"] == "option"
    text = (tmp_path / "readings.csv").read_text()
    done = run(tmp_path, readings=text.replace("1003.5", "1003.25"))
    assert done.exit_code == 1
    row = next(line.split() for line in done.output.splitlines() if line.startswith("main"))
    assert row == ["main", "none", "17", "0", "0", "0", "1", "0", "0", "0"]


def test_json_lines_and_what_readings_writes_are_read(tmp_path: Path) -> None:
    lines = [
        {"time": "2026-11-25T00:35:42.500Z", "meter": "main", "point": "power", "value": 1000.5, "unit": "W",
         "quality": "good", "bits": 0, "words": "", "record": "main/00/1", "clock": "S"},
        {"time": BEGIN_MS + 1000, "meter": "main", "point": "power", "value": "1001.5", "quality": None},
        {"time": time_text(2), "meter": "main", "point": "power", "value": None, "quality": "missing"},
    ]  # fmt: skip
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = write_log(tmp_path / "log.jsonl", LINES[:3])
    found = counts(compare_files(Wanted(log, tmp_path / "r.jsonl", {})))
    assert found == {"right": 2, "missing_said": 1}
    header = "time,meter,point,value,unit,quality,bits,words,record,clock"
    (tmp_path / "r.csv").write_text(
        f"\ufeff{header}\r\n2026-11-25T08:35:42.500+08:00,main,power,1000.5,W,good,0,,main/00/1,S\r\n"
    )
    assert counts(compare_files(Wanted(log, tmp_path / "r.csv", {})))["right"] == 1


def test_names_columns_and_factors_are_translated(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(
        '[columns]\ntime = "ts"\nvalue = "v"\n[meters]\nM1 = "main"\n[points]\nP = "power"\n"M1/U" = "volts"\n'
        '[factors]\n"M1/P" = 1000\n[ignore]\npoints = ["remark"]\n'
    )
    rows = "".join(f"{time_text(n)},M1,P,{(1000.5 + n) / 1000}\n{time_text(n)},M1,U,230.{n}\n" for n in range(9))
    done = run(
        tmp_path, "--map", tmp_path / "map.toml", "--json",
        readings=f"ts,meter,point,v\n{rows}{time_text(3)},M1,remark,by hand\n",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["right"] == 18


def test_a_log_that_is_cut_off_in_its_last_line_is_compared_and_said_to_be(tmp_path: Path) -> None:
    text = write_log(tmp_path / "whole", LINES).read_text()
    done = run(tmp_path, "--json", log=text + '{"v": 2, "t_ms": 179556')
    assert done.exit_code == 0
    (note,) = json.loads(done.output)["notes"]
    assert "line 10" in note


HEADER = "time,meter,point,value,quality\n"
T = time_text(1)


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        ("", ["line 1"]),
        (HEADER, ["no reading"]),
        ("zeit,meter,point,value\n", ["line 1", "'time'"]),
        ("ts;meter;point;value\n", ["line 1", "commas"]),
        (f"{HEADER}{T},main,power,\"230,5\",good\n", ["line 2", "decimal comma"]),
        (f"{HEADER}{T},main,power,230,5,good\n", ["line 2", "6 cells"]),
        (f"{HEADER},main,power,1,good\n", ["line 2", "no time"]),
        (f"{HEADER}2026-11-25T00:35:42,main,power,1,good\n", ["line 2", "offset"]),
        (f"{HEADER}yesterday,main,power,1,good\n", ["line 2", "offset"]),
        (f"{HEADER}{T},,power,1,good\n", ["line 2", "no meter"]),
        (f"{HEADER}{T},mane,power,1,good\n", ["line 2", "did you mean 'main'?"]),
        (f"{HEADER}{T},main,voltz,1,good\n", ["line 2", "did you mean 'volts'?"]),
        (f"{HEADER}{T},main,power,1,good\nreadings-pruned: gone\n", ["line 3", "ended early"]),
        (f"{HEADER}{T - 9000},main,power,1,good\n", ["the log is of", "one run"]),
        ('{"time": 1, "meter": "main"}\n', ["line 1", "'value'"]),
        ('{"time": 1, "meter"\n', ["line 1", "not JSON"]),
        ('{"code": "readings-pruned", "detail": "gone"}\n', ["line 1", "ended early"]),
    ],
)  # fmt: skip
def test_readings_that_cannot_be_compared_are_refused(tmp_path: Path, readings: str, words: list[str]) -> None:
    refused(run(tmp_path, readings=readings), words)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ["no answer"]),
        ('{"t_ms": 1, "meter": "main", "values": {}}\n', ["line 1", "version 2"]),
        ('{"v": 2, "meter": "main", "values": {}}\n', ["line 1", "lacks"]),
        ('{"v": 2\n{"v": 2}\n', ["line 1", "not JSON"]),
    ],
)
def test_a_log_that_is_none_is_refused(tmp_path: Path, log: str, words: list[str]) -> None:
    refused(run(tmp_path, log=log), words)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("[factor]\n", ["'factor'", "did you mean 'factors'?"]),
        ("[factors]\npower = 0\n", ["factors.power"]),
        ("[factors]\npower = nan\n", ["factors.power"]),
        ("[factors]\npower = 1e30\n", ["factors.power", "no two units"]),
        ('[factors]\npower = "kW"\n', ["factors.power", "no number"]),
        ("[factors]\npower = true\n", ["factors.power", "no number"]),
        ('[points]\na = "power"\nb = "power"\n', ["'a'", "'b'"]),
        ('[points]\na = "power"\n"main/b" = "power"\n', ["both 'power'"]),
        ('[meters]\na = ""\n', ["meters.a"]),
        ("[ignore]\nmeters = 3\n", ["ignore.meters"]),
        ("[columns]\ntimes = 'ts'\n", ["columns.times", "'time'"]),
        ("points = 3", ["points is no table"]),
        ("[points\n", ["not valid TOML"]),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(tmp_path: Path, names: str, words: list[str]) -> None:
    (tmp_path / "map.toml").write_text(names)
    refused(run(tmp_path, "--map", tmp_path / "map.toml"), words)


AUDIT = {"sound": True, "meters": [{"name": "main", "missed": {"timeout": 2, "skipped": 1}}], "findings_total": 0}


@pytest.mark.parametrize(
    ("missed", "words"),
    [
        ("main,3\n", ["line 1", "meter,polls"]),
        ("meter,polls\nmain,-3\n", ["line 2"]),
        ("meter,polls\nmain,many\n", ["line 2"]),
        ("meter,polls\nmain,3\nmain,3\n", ["twice"]),
        ("meter,polls\nmane,3\n", ["did you mean 'main'?"]),
        ("{", ["not JSON"]),
        ('{"meters": []}', ["no answer of an audit"]),
        (json.dumps(AUDIT | {"sound": False, "findings_total": 4}), ["found 4"]),
        (json.dumps(AUDIT | {"meters": [{"name": "main"}]}), ["without its name"]),
    ],
)
def test_counts_of_missed_polls_that_prove_nothing_are_refused(tmp_path: Path, missed: str, words: list[str]) -> None:
    (tmp_path / "missed").write_text(missed)
    refused(run(tmp_path, "--missed", tmp_path / "missed"), words)


def test_what_an_audit_counts_as_missed_is_admitted(tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text(json.dumps(AUDIT))
    text = write_readings(tmp_path / "r.csv", [row for row in ROWS if row[0] not in (2, 3, 4)]).read_text()
    done = run(tmp_path, "--missed", tmp_path / "audit.json", "--json", readings=text)
    assert (done.exit_code, json.loads(done.output)["missing_said"]) == (0, 6)


@pytest.mark.parametrize(
    "options",
    [("--within", "0s"), ("--within", "2h"), ("--within", "long"), ("--every", "main"), ("--every", "main=0")],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert run(tmp_path, *options).exit_code == 2


def test_a_period_of_no_meter_is_missing_as_a_whole_or_near_to_one(tmp_path: Path) -> None:
    """A meter that never answered is not in the log: its period says that it was due."""
    done = run(tmp_path, "--every", "dead=1", "--json")
    assert done.exit_code == 1
    assert json.loads(done.output)["missing_unsaid"] == 6


def refused(result: Result, words: list[str]) -> None:
    """It must have said no, in one message that has these words."""
    assert result.exit_code == 2, result.output
    assert result.output.startswith("meterseal-sim: ")
    assert result.output.count("fix: ") == 1
    assert [word for word in words if word not in result.output] == []
