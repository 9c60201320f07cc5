"""Settings and units of a scan: their order, and what narrows them."""

from __future__ import annotations

from gateway.commissioning.scan.settings import DLT645, LIKELY, MODBUS, ScanOptions, Settings, likely_units


def test_eight_speeds_with_two_parities_the_factory_settings_first() -> None:
    assert len(MODBUS) == len(set(MODBUS)) == 16
    assert {s.parity for s in MODBUS} == {"N", "E"}
    assert len({s.baudrate for s in MODBUS}) == 8
    assert MODBUS[:2] == (Settings(9600, "N"), Settings(9600, "E"))
    assert set(DLT645) <= set(MODBUS)
    assert ScanOptions().settings() == MODBUS


def test_the_likely_units_are_those_of_the_catalog() -> None:
    units = likely_units()
    assert len(units) == len(set(units)) == LIKELY
    assert units[0] == 1
    assert {240, 126} <= set(units)


def test_every_unit_once_the_likely_ones_first() -> None:
    units = ScanOptions().all_units()
    assert sorted(units) == list(range(1, 248))
    assert units[:LIKELY] == likely_units()
    assert units[LIKELY:] == tuple(sorted(units[LIKELY:]))
    assert ScanOptions().all_units(known=12) == tuple(u for u in units if u not in likely_units()[:12])


def test_options_narrow_and_add() -> None:
    assert ScanOptions((2400,)).settings() == (Settings(2400, "E"), Settings(2400, "N"))
    assert ScanOptions((2400,), ("O",)).settings() == (Settings(2400, "O"),)
    assert ScanOptions((14400,), ("E",)).settings() == (Settings(14400, "E"),)
    assert ScanOptions(parities=("E",)).settings() == tuple(s for s in MODBUS if s.parity == "E")
    assert ScanOptions((2400,)).dlt645() == (Settings(2400, "E"),)
    assert ScanOptions((2400,), ("N",)).dlt645() == ()
    assert ScanOptions(units=(1,)).dlt645() == ()
    assert ScanOptions(units=(9, 3)).all_units() == ScanOptions(units=(9, 3)).quick_units() == (9, 3)


def test_a_port_without_parity_is_tried_without() -> None:
    assert [s.parity for s in ScanOptions().settings(parity=False)] == ["N"] * 8
    assert [str(s) for s in ScanOptions((9600,), ("E",)).settings(parity=False)] == ["9600 8N1"]
    assert {s.parity for s in ScanOptions().dlt645(parity=False)} == {"N"}
