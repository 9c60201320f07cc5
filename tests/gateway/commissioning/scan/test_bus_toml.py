"""``[[bus]]`` sections of what was found: written into a configuration, `check` accepts them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from gateway.commissioning.scan.bus_toml import bus_sections
from gateway.commissioning.scan.found import Candidate, FoundLine, FoundUnit, Protocol, ScanResult
from gateway.config.bus_types import TypeName
from gateway.config.load import load_config
from gateway.devices.profile import catalog, load_profile
from gateway.startup.line_plan import line_plan
from gateway.startup.line_specs import line_specs

HEAD = '[gateway]\nid = "g"\n\n'


def unit(address: int | str, *profiles: str, protocol: Protocol = "modbus", sure: float = 0.9) -> FoundUnit:
    return FoundUnit(address, protocol, tuple(Candidate(name, sure) for name in profiles))


def serial(
    *units: FoundUnit, kind: TypeName = "modbus-rtu", port: str = "/dev/ttyS9", baudrate: int = 2400
) -> FoundLine:
    return FoundLine(kind, port=port, baudrate=baudrate, parity="E", stopbits=1, units=units)


def checked(folder: Path, result: ScanResult) -> list[str]:
    """The meters of the configuration that holds the sections, as far as nothing is refused."""
    path = folder / "gateway.toml"
    path.write_text(HEAD + bus_sections(result))
    config = load_config(path)
    plans = [line_plan(spec) for spec in line_specs(config)]
    assert [problem.problem for plan in plans for problem in plan.problems] == []
    return [meter.name for bus in config.document.bus for meter in bus.meter]


def test_three_makes_at_2400_baud_get_a_period_that_the_line_carries(tmp_path: Path) -> None:
    units = unit(77, "eastron-sdm630"), unit(143, "eastron-sdm630"), unit(201, "vaisala-gmp252")
    names = checked(tmp_path, ScanResult((serial(*units),)))
    assert names == ["eastron-sdm630-77", "eastron-sdm630-143", "vaisala-gmp252-201"]


@pytest.mark.parametrize("remote", [False, True])
def test_every_profile_of_the_catalog(tmp_path: Path, remote: bool) -> None:
    port = "rfc2217://[::1]:4001" if remote else "/dev/ttyS9"
    for name in catalog():
        profile = load_profile(name)
        if profile.protocol not in ("modbus", "sunspec", "dlt645"):
            continue
        kind: TypeName = "dlt645" if profile.protocol == "dlt645" else "modbus-rtu"
        address: int | str = "202311220001" if kind == "dlt645" else 7
        order = "big" if profile.ask else None
        found = FoundUnit(address, profile.protocol, (Candidate(name, 0.9, word_order=order),))  # type: ignore[arg-type]
        assert checked(tmp_path, ScanResult((serial(found, kind=kind, port=port),))), name


def test_network_devices_and_names_that_are_taken(tmp_path: Path) -> None:
    hosts = [
        FoundLine("modbus-tcp", host=f"10.0.0.{n}", tcp_port=502, units=(unit(1, "sunspec-inverter"),)) for n in (7, 8)
    ]
    assert checked(tmp_path, ScanResult(tuple(hosts))) == ["sunspec-inverter-1", "sunspec-inverter-1-2"]
    text = bus_sections(ScanResult((hosts[0],)), {"line-1", "sunspec-inverter-1"})
    (bus,) = tomllib.loads(text)["bus"]
    assert (bus["name"], bus["meter"][0]["name"]) == ("line-1-2", "sunspec-inverter-1-2")


def test_what_is_not_certain_stands_as_a_comment(tmp_path: Path) -> None:
    asks = next(name for name in catalog() if load_profile(name).ask)
    tie, nothing, open_order = unit(1, "eastron-sdm120", "eastron-sdm230"), unit(2), unit(3, asks)
    result = ScanResult((serial(tie, nothing, open_order, unit(4, "eastron-sdm630")),))
    assert checked(tmp_path, result) == ["eastron-sdm630-4"]
    text = bus_sections(result)
    assert "answers at 1: it may be eastron-sdm120 (90%), eastron-sdm230 (90%)." in text
    assert "answers at 2: no profile fits it." in text
    doubted = bus_sections(ScanResult((serial(unit(5, "eastron-sdm630", sure=0.2), unit(4, "eastron-sdm630")),)))
    assert "answers at 5: it may be eastron-sdm630 (20%)." in doubted
    assert '# profile = "eastron-sdm630"' in doubted
    assert [meter["address"] for meter in tomllib.loads(doubted)["bus"][0]["meter"]] == [4]
    stopped = bus_sections(ScanResult((serial(nothing),), complete=False))
    assert "answers at 2: the scan ended before it was known what it is." in stopped
    assert f'# profile = "{asks}"' in text
    alone = bus_sections(ScanResult((serial(tie),)))
    assert all(row == "" or row.startswith("#") for row in alone.splitlines())
    assert "bus" not in tomllib.loads(alone)


def test_a_second_kind_of_meter_on_one_port_stands_as_a_comment(tmp_path: Path) -> None:
    meter = unit("202311220001", "dlt645-three-phase", protocol="dlt645")
    result = ScanResult((serial(unit(7, "eastron-sdm630"), baudrate=9600), serial(meter, kind="dlt645")))
    assert checked(tmp_path, result) == ["eastron-sdm630-7"]
    assert "# [[bus]]" in bus_sections(result)


def test_nothing_was_found() -> None:
    assert bus_sections(ScanResult()) == ""
