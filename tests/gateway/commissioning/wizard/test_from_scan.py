"""A new site from the results of scans, and the units that nobody has said what they are."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.commissioning.scan.found import Candidate, FoundLine, FoundUnit, ScanResult
from gateway.commissioning.wizard import findings
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config, parse_config
from gateway.config.model import Config
from gateway.devices.profile import SKELETON
from gateway.messages.message import Message
from gateway.startup.line_specs import line_specs
from tests.support.commands import gateway_command

SDM = FoundUnit(17, "modbus", (Candidate("eastron-sdm630", 0.9),), identity="serial_number=1")
ACREL = FoundUnit(33, "modbus", (Candidate("acrel-adl3000", 0.8),))
TIED = FoundUnit(91, "modbus", (Candidate("eastron-sdm120", 0.5), Candidate("eastron-sdm230", 0.5)))
ASKS = FoundUnit(5, "modbus", (Candidate("sick-marsic300", 0.7),))
SERIAL = FoundLine(
    "modbus-rtu", port="/dev/ttyUSB0", baudrate=2400, parity="E", stopbits=1, units=(SDM, ACREL, TIED, ASKS)
)
TCP = FoundLine(
    "modbus-tcp", host="10.0.0.9", tcp_port=502, units=(FoundUnit(1, "modbus", (Candidate("abb-b23", 0.9),)),)
)

UNKNOWN = FoundLine("modbus-tcp", host="h", tcp_port=502, units=(FoundUnit(9, "modbus"),))


def scan_file(folder: Path, name: str, *lines: FoundLine) -> Path:
    (path := folder / name).write_text(json.dumps(ScanResult(lines).as_json()))
    return path


def init(folder: Path, *options: object) -> tuple[int, str]:
    done = gateway_command("init", folder / "site", *options)
    return done.code, done.output


def site(tmp_path: Path, *lines: FoundLine) -> Config:
    scans = [
        option for n, line in enumerate(lines) for option in ("--from-scan", scan_file(tmp_path, f"{n}.json", line))
    ]
    code, printed = init(tmp_path, *scans)
    assert code == 0, printed
    return load_config(tmp_path / "site" / "gateway.toml")


def test_the_buses_are_those_that_were_found_with_a_key_for_each_meter(tmp_path: Path) -> None:
    config = site(tmp_path, SERIAL, TCP)
    serial, tcp = config.document.bus
    assert (serial.type, serial.port, serial.baudrate, serial.parity) == ("modbus-rtu", "/dev/ttyUSB0", 2400, "E")
    assert (tcp.type, tcp.host, tcp.tcp_port) == ("modbus-tcp", "10.0.0.9", 502)
    assert {(m.profile, m.address, m.role) for m in config.meters.values()} == {
        ("eastron-sdm630", 17, "auxiliary"), ("acrel-adl3000", 33, "auxiliary"), ("abb-b23", 1, "auxiliary"),
    }  # fmt: skip
    assert set(load_keys(config).meters) == set(config.meters)
    assert len(line_specs(config)) == 2
    assert config.document.ledger == ()
    text = config.path.read_text()
    assert "eastron-sdm120" in text
    assert "eastron-sdm230" in text


def test_a_unit_that_could_not_be_told_is_named_by_somebody(tmp_path: Path) -> None:
    line = scan_file(tmp_path, "line.json", FoundLine("modbus-tcp", host="10.0.0.9", tcp_port=502, units=(TIED,)))
    code, printed = init(tmp_path, "--from-scan", line)
    way_out = Message("init-scan-tie", address="91", first="eastron-sdm120").way_out
    assert (code, f"fix: {way_out}" in printed) == (2, True), printed
    assert not (tmp_path / "site").exists()
    code, printed = init(tmp_path, "--from-scan", line, "--profile", "91=eastron-sdm230")
    assert code == 0, printed
    assert [m.profile for m in load_config(tmp_path / "site" / "gateway.toml").meters.values()] == ["eastron-sdm230"]


@pytest.mark.parametrize(
    ("lines", "options", "problem"),
    [
        ((UNKNOWN,), (), "(1 answered, 9 first)\n  fix: say what it is: --profile 9=NAME"),
        ((UNKNOWN,), (), "--profile 9=FILE"),
        ((), (), "no unit was identified\n"),
        ((TCP,), ("--name", "2=feeder"), "no unit 2 is in the scan\n  fix: give one of 1"),
        ((TCP,), ("--name", "1=feeder", "--name", "1=other"), "give each unit once"),
        ((TCP,), ("--name", "1=a/b"), "name"),
        ((TCP, TCP), (), "line 10.0.0.9 is in two of the scans"),
        ((TCP,), ("--profile", "2=abb-b23"), "no unit 2 is in the scan\n  fix: give one of 1"),
        ((TCP,), ("--profile", "1=abb-b24"), "abb-b23"),
        ((TCP,), ("--profile", "abb-b23"), "write UNIT=NAME"),
    ],
)  # fmt: skip
def test_what_makes_no_site_is_refused_and_nothing_is_written(
    tmp_path: Path, lines: tuple[FoundLine, ...], options: tuple[str, ...], problem: str
) -> None:
    code, printed = init(tmp_path, "--from-scan", scan_file(tmp_path, "scan.json", *lines), *options)
    assert (code, problem in printed) == (2, True), printed
    assert not (tmp_path / "site").exists()


def test_a_profile_of_ones_own_is_given_from_where_its_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = tuple(FoundUnit(address, "modbus") for address in (9, 11, 12))
    scan_file(tmp_path, "scan.json", FoundLine("modbus-tcp", host="h", tcp_port=502, units=unknown))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "em3.toml").write_text(SKELETON.read_text())
    monkeypatch.chdir(tmp_path / "mine")
    options = [f"--profile={unit}=em3.toml" for unit in (9, 11, 12)]
    done = gateway_command("init", "../site", "--from-scan", "../scan.json", *options, "--name", "12=feeder 3")
    assert (done.code, "'feeder 3'" in done.output, (tmp_path / "site").exists()) == (2, True, False), done.output
    done = gateway_command("init", "../site", "--from-scan", "../scan.json", *options, "--name", "12=feeder-3")
    assert done.code == 0, done.output
    config = load_config(tmp_path / "site" / "gateway.toml")
    assert {name: (m.address, m.profile) for name, m in config.meters.items()} == {
        "em3": (9, "../mine/em3.toml"), "em3-2": (11, "../mine/em3.toml"), "feeder-3": (12, "../mine/em3.toml"),
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "meterseal-scan/1"}', None])
def test_a_file_that_is_no_scan_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "scan.json"
    if text is not None:
        path.write_text(text)
    code, printed = init(tmp_path, "--from-scan", path)
    assert (code, f"{path}: " in printed, "Traceback" in printed) == (2, True, False), printed


def test_units_that_the_configuration_does_not_have_are_kept_for_the_wizard(tmp_path: Path) -> None:
    config = site(tmp_path, SERIAL, TCP)
    left = findings.unconfigured(findings.found(config.data), config)
    assert [(one.where, one.unit.address) for one in left] == [("/dev/ttyUSB0", 91), ("/dev/ttyUSB0", 5)]


def test_a_unit_becomes_a_meter_of_its_line_and_what_only_somebody_there_can_say_is_open(tmp_path: Path) -> None:
    config = site(tmp_path, SERIAL, TCP)
    tied, asks = findings.unconfigured(findings.found(config.data), config)
    text = config.path.read_text()
    new = findings.added(tied, "eastron-sdm230", config)
    once = findings.with_added(text, new)
    added = parse_config(config.path, once.encode())
    assert added.meters["eastron-sdm230-91"].address == 91
    assert [len(bus.meter) for bus in added.document.bus] == [3, 1]
    assert findings.with_added(once, new) == once
    assert findings.unconfigured(findings.found(config.data), added)[0].unit == asks.unit
    open_ = tomllib.loads(findings.with_added(text, findings.added(asks, "sick-marsic300", config)))
    assert "word_order" not in open_["bus"][0]["meter"][-1]


def test_a_unit_of_a_new_line_brings_its_bus(tmp_path: Path) -> None:
    config = site(tmp_path, TCP)
    findings.keep(config.data, ScanResult((SERIAL,)))
    assert len(findings.found(config.data).lines) == 2
    first, second, *_ = findings.unconfigured(findings.found(config.data), config)
    text = findings.with_added(config.path.read_text(), findings.added(first, "eastron-sdm630", config))
    text = findings.with_added(text, findings.added(second, "acrel-adl3000", config))
    raw: dict[str, Any] = tomllib.loads(text)
    assert [[m["address"] for m in bus["meter"]] for bus in raw["bus"]] == [[1], [17, 33]]
    assert raw["bus"][1]["baudrate"] == 2400
    assert "ct" not in raw["bus"][1]["meter"][1]
    assert text.startswith(config.path.read_text())


def test_a_note_of_findings_that_is_damaged_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / findings.FILE).write_text("{")
    assert findings.found(tmp_path) == ScanResult()
