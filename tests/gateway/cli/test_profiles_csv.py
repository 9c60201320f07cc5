"""`meterseal profiles --csv` and `--from-csv`: there and back for the whole catalog, and tables that are not right."""

from __future__ import annotations

import random
import re
import struct
from dataclasses import fields
from pathlib import Path

import pytest

from gateway.cli.profiles.csv_columns import as_csv, left_out
from gateway.cli.profiles.csv_import import Refused, read_csv
from gateway.devices.points import Profile
from gateway.devices.profile import SKELETON, catalog, load_profile, parse_profile
from gateway.devices.profile_text import decoding_hash, format_profile
from tests.gateway.cli.test_read import made, read
from tests.gateway.fieldbus.devices import answer
from tests.support.commands import gateway_command

MODBUS = [name for name in catalog() if load_profile(name).protocol == "modbus"]
HELD = {"name", "points", "format", "kind_unsaid", "word_order_unsaid"}
"""Fields of a profile that the columns hold, or that follow from its text."""
TABLE = """Description;Register;Data type;Function;Name;Unit;scale;low;high;kind;raises
volts of phase 1;30001;UINT16;4;voltage_ln_l1;V;-1;0;400,5;;
"energy; both tariffs";30003;uint32;;energy_import;kWh;-2;;;counter;
;40101;enum16;;x_state;;;;;;"{ 1 = ""MAINTENANCE"" }"
"""


def imported(folder: Path, text: str | bytes, base: str = "0") -> Profile:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_csv(path, base)


def refusals(folder: Path, text: str | bytes, base: str = "0") -> list[str]:
    with pytest.raises(Refused) as refused:
        imported(folder, text, base)
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize("name", MODBUS)
def test_a_profile_of_the_catalog_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    profile = load_profile(name)
    back = imported(tmp_path, as_csv(profile))
    assert back.points == profile.points
    plain = Profile(name="", vendor="", device="", source="", points=())
    lost = {f.name for f in fields(Profile) if getattr(profile, f.name) != getattr(plain, f.name)} - HELD
    assert set(left_out(profile)) == lost


def test_the_table_of_a_manual_becomes_a_profile(tmp_path: Path) -> None:
    (path := tmp_path / "my meter.csv").write_text(TABLE, encoding="utf-8-sig")
    target = tmp_path / "em3.toml"
    code, out, err = gateway_command("profiles", "--from-csv", path, "--base", "4xxxx", "-o", target)
    assert (code, out, "3 points" in err) == (0, "", True), err
    profile = load_profile(str(target))
    volts, energy, state = profile.points
    assert (volts.fc, volts.address, volts.type, str(volts.high)) == (4, 0, "uint16", "400.5")
    assert (energy.fc, energy.address, energy.note, energy.kind) == (4, 2, "energy; both tariffs", "counter")
    assert (state.fc, state.address, state.raises) == (3, 100, ((1, "MAINTENANCE"),))
    code, text, _ = gateway_command("profiles", "--from-csv", path, "--base", "4xxxx")
    assert (code, text) == (0, target.read_text())
    assert gateway_command("profiles", "--check", target)[0] == 0


def test_bases(tmp_path: Path) -> None:
    table = "type,address,name,unit,fc\nint16,0x10,p,W,3\n"
    assert [imported(tmp_path, table, base).points[0].address for base in ("0", "1")] == [16, 15]
    assert "line 2, column address: 0 is not allowed" in "".join(refusals(tmp_path, table.replace("0x10", "0"), "1"))
    coil = "name,address,type\na,000017,bit\nb,10001,bit\n"
    assert [(p.fc, p.address) for p in imported(tmp_path, coil, "4xxxx").points] == [(1, 16), (2, 0)]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("UINT16", "u16", "line 2, column type: u16 is not allowed"),
        ("30003", "3", "line 3, column address: .*five or six digits"),
        (";uint32;;", ";uint32;3;", "line 3, column fc: .*fc that agrees with the register: 4"),
        ("400,5", "4.000,5", "line 2, column high: .*use a number such as"),
        ("400,5", "4,005", "line 2, column high: .*use 4005 or 4.005"),
        (";0;400,5", ";0.5;400,5", "line 2: decimal sign '.', but ',' in line 2"),
        ("energy_import", "voltage_ln_l1", "line 3, column name: voltage_ln_l1 stands in line 2 already"),
        ("energy_import", "", "line 3, column name: the point has no name"),
        ("energy_import", "the energy", "line 3: not a valid point name"),
        (";V;", ";volt;", "line 2, column unit: "),
        ("counter", "", "line 3, column kind: "),
        ("Register", "Adress", "line 1: there is no column 'adress'"),
        ("Unit", "Name", "line 1: the column name stands there twice"),
        ("Data type", "note", "line 1: the column (type is missing|note stands there twice)"),
        (";kWh;-2", ";kWh", "line 3: cells: 10, columns: 11"),
        ('"energy; both', '"energy" both', "line 3: a quotation mark"),
        ('""MAINTENANCE""', "MAINTENANCE", "line 4, column raises: .*as in the TOML of a profile"),
    ],
)
def test_a_bad_line_is_named_with_the_way_out(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert TABLE.count(old) == 1
    (path := tmp_path / "table.csv").write_text(TABLE.replace(old, new))
    target = tmp_path / "profile.toml"
    code, out, err = gateway_command("profiles", "--from-csv", path, "--base", "4xxxx", "-o", target)
    assert (code, out, target.exists()) == (2, "", False)
    assert re.search(problem, err, re.DOTALL), err
    assert err.count("fix: ") >= 2
    assert "nothing is written" in err


def test_all_bad_lines_are_named_and_none_for_the_fault_of_another(tmp_path: Path) -> None:
    table = "name,fc,address,type,unit,factor_from\nratio,3,0,string,,\n"
    table += "power,3,1,int16,W,ratio\nvolts,3,2,int16,Volt,\namps,3,70000,int16,A,\n"
    assert [re.findall("line ([0-9]+)", problem)[0] for problem in refusals(tmp_path, table)] == ["2", "4", "5"]


def test_one_round_names_the_faults_of_head_cells_rules_and_places(tmp_path: Path) -> None:
    table = "name,fc,address,type,unit,kind,low,high,factor_from,colour\n"
    table += "a,3,0,int32,kWh,,,,nobody,red\nb,3,1,int16,W,,9,1,nobody,\nc,3,x,int16,W,,y,,,\n"
    table += "d,3,10,float32,V,,,,,\ne,3,11,float32,V,,,,,\nf,3,20,uint16,V,,,,,\nf,3,21,uint16,volt,,,,,\n"
    printed = "\n".join(refusals(tmp_path, table))
    found = re.findall(r"line (\d+)(?:, column (\w+))?:", printed)
    assert sorted(found) == [
        ("1", ""), ("2", "factor_from"), ("2", "kind"), ("3", "factor_from"), ("3", "low"), ("4", "address"),
        ("4", "low"), ("6", "address"), ("8", "name"), ("8", "unit"),
    ], printed  # fmt: skip


def test_a_code_for_no_value_is_none_from_the_table_to_the_reading(tmp_path: Path) -> None:
    table = "name,register,type,unit,not_available\nactive_power_total,40001,int32,W,0x80000000\n"
    (tmp_path / "em9.csv").write_text(table + "active_power_l1,40003,int32,W,\nvoltage_ln_l1,40005,uint16,V,\n")
    code, _, err = gateway_command(
        "profiles", "--from-csv", tmp_path / "em9.csv", "--base", "4xxxx", "-o", tmp_path / "em9.toml"
    )
    assert (code, "codes for no value" in err) == (0, True)
    text = (tmp_path / "em9.toml").read_text()
    assert "not_available = []" not in text
    assert load_profile(str(tmp_path / "em9.toml")).provenance is not None
    lines = text.replace("# [not_available]", "[not_available]").replace("# int32 = [", "int32 = [")
    (tmp_path / "em9.toml").write_text(lines)  # as the manual says for the whole type
    power, l1, volts = load_profile(str(tmp_path / "em9.toml")).points
    assert (power.not_available, l1.not_available, volts.not_available) == ((0x80000000,), (0x80000000,), ())
    loaded = made(tmp_path, {'profile = "vaisala-gmp252"': 'profile = "../em9.toml"'})
    words = struct.pack(">5H", 0x8000, 0, 0x8000, 0, 230)
    done = read(loaded, lambda request: [(0.0, answer(request, words))], "--json")
    assert [value["value"] for value in done.facts["values"]] == [None, None, 230], done.err
    new = set(re.findall(r"(?m)^#? ?(\[?[a-z_]+)", SKELETON.read_text().partition("# Addresses")[0]))
    assert new - {"manual"} <= set(re.findall(r"(?m)^#? ?(\[?[a-z_]+)", text))


def test_the_hash_of_a_decoding_does_not_depend_on_how_the_text_is_written(tmp_path: Path) -> None:
    profile = imported(tmp_path, "name,fc,address,type,unit\np,3,0,int16,W\n")
    empty = format_profile(profile).replace(" kind", " not_available = [], kind")
    assert decoding_hash(parse_profile(empty, "table", "table.toml")) == decoding_hash(profile)
    assert decoding_hash(profile).hex().startswith("940118da33509e93")


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    for text in ("", "\n\n", "name,fc,address,type\n", b"name\xff", "name,a\0b", "[points]\n"):
        assert "line " in refusals(tmp_path, text)[0]
    code, _, err = gateway_command("profiles", "--from-csv", tmp_path / "gone.csv", "--base", "0")
    assert (code, "gone.csv: cannot be read" in err) == (2, True)
    code, _, err = gateway_command("profiles", "dsmr-gas", "--csv")
    assert (code, "only Modbus profiles" in err) == (2, True)
    for words in (["--csv"], ["--from-csv", "a"], ["--base", "0"], ["eastron-sdm630", "-o", "b"]):
        assert gateway_command("profiles", *words)[0] == 2


def mutated(random_: random.Random, text: str) -> bytes:
    """A table with one or two changes: bytes, signs, lines, columns, separators."""
    data = text.encode()
    for _ in range(random_.randint(1, 2)):
        at, kind = random_.randrange(len(data)), random_.randrange(8)
        lines = data.split(b"\n")
        if kind == 0:
            data = data[:at] + bytes([random_.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[at + random_.randint(1, 30) :]
        elif kind == 2:
            sign = random_.choice([b",", b";", b'"', b"\n", b"\r", b"\t", b" ", b"9", b"-", b".", b"0x"])
            data = data[:at] + sign + data[at:]
        elif kind == 3:
            lines.insert(random_.randrange(len(lines)), random_.choice(lines))
            data = b"\n".join(lines)
        elif kind == 4:
            data = data.replace(random_.choice([b",", b"3", b"int", b"W", b"kWh", b"name", b"float32"]), b"", 1)
        elif kind == 5:
            del lines[random_.randrange(1, len(lines))]
            data = b"\n".join(lines)
        elif kind == 6:
            data = b"\r\n".join(b",".join(line.split(b",")[::-1]) for line in lines)
        else:
            data = data.replace(b",", random_.choice([b";", b"\t"]))
    return data


def outcome(folder: Path, data: bytes) -> tuple[Profile | None, list[str]]:
    try:
        return imported(folder, data), []
    except Refused as refused:
        return None, [str(problem) for problem in refused.problems]


def test_200_mutated_tables_are_taken_whole_or_refused_by_line(tmp_path: Path) -> None:
    random_, taken = random.Random(17), 0
    tables = [as_csv(load_profile(name)) for name in ("chint-dtsu666", "eastron-sdm120", "vaisala-gmp252")]
    for n in range(200):
        data = mutated(random_, tables[n % len(tables)])
        profile, problems = outcome(tmp_path, data)
        if profile is None:
            assert problems
            assert all(re.search(r"table\.csv, line [1-9]", problem) for problem in problems)
            continue
        taken += 1
        quoted = data.count(b'"')
        lines = [line for line in re.split(rb"\r\n|\r|\n", data) if line.strip(b",;\t ")]
        assert len(profile.points) == len(lines) - 1 or quoted, data
        (tmp_path / "back.toml").write_text(format_profile(profile))
        assert load_profile(str(tmp_path / "back.toml")).points == profile.points
    assert 20 < taken < 180
