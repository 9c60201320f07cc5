"""SunSpec register maps as a device lays them out: "SunS" marker, models, end marker. Pure.

Layouts and codes: SunSpec information model definitions (models 1 and 101 to 103) and the not-implemented codes of
the SunSpec device information model specification. Offsets count from a model's ID register.
"""

from __future__ import annotations

from dataclasses import dataclass

MARKER = (0x5375, 0x6E53)  # "SunS"
END_ID = 0xFFFF
NOT_IMPLEMENTED = {
    "uint16": (0xFFFF,), "int16": (0x8000,), "enum16": (0xFFFF,), "sunssf": (0x8000,), "bits32": (0xFFFF, 0xFFFF),
    "acc32": (0, 0), "string": (0,), "pad": (0x8000,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A point of a model: place, type, the scale register it follows, the quantity it shows (unit None: in its own)."""

    name: str
    offset: int
    registers: int
    type: str
    scale: str | None = None
    quantity: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model's length (registers behind ID and L) and its points."""

    length: int
    rows: tuple[Row, ...]


SCALES = {
    "A_SF": -2, "V_SF": -1, "W_SF": 0, "Hz_SF": -2, "VA_SF": 0, "VAr_SF": 0, "PF_SF": -2, "WH_SF": 0,
    "DCA_SF": -2, "DCV_SF": -1, "DCW_SF": 0, "Tmp_SF": -1,
}  # fmt: skip
"""The scale factors of this inverter: constants of a device, they never change while it runs."""

_COMMON = Model(
    66,
    (
        Row("Mn", 2, 16, "string", None, "manufacturer"),
        Row("Md", 18, 16, "string", None, "device_model"),
        Row("Opt", 34, 8, "string"),
        Row("Vr", 42, 8, "string", None, "version"),
        Row("SN", 50, 16, "string", None, "serial_number"),
        Row("DA", 66, 1, "uint16", None, "modbus_address"),
        Row("Pad", 67, 1, "pad"),
    ),
)
_INVERTER = Model(
    50,
    (
        Row("A", 2, 1, "uint16", "A_SF", "current_total"),
        Row("AphA", 3, 1, "uint16", "A_SF", "current_l1"),
        Row("AphB", 4, 1, "uint16", "A_SF", "current_l2"),
        Row("AphC", 5, 1, "uint16", "A_SF", "current_l3"),
        Row("A_SF", 6, 1, "sunssf"),
        Row("PPVphAB", 7, 1, "uint16", "V_SF", "voltage_ll_l12"),
        Row("PPVphBC", 8, 1, "uint16", "V_SF", "voltage_ll_l23"),
        Row("PPVphCA", 9, 1, "uint16", "V_SF", "voltage_ll_l31"),
        Row("PhVphA", 10, 1, "uint16", "V_SF", "voltage_ln_l1"),
        Row("PhVphB", 11, 1, "uint16", "V_SF", "voltage_ln_l2"),
        Row("PhVphC", 12, 1, "uint16", "V_SF", "voltage_ln_l3"),
        Row("V_SF", 13, 1, "sunssf"),
        Row("W", 14, 1, "int16", "W_SF", "generated_power"),
        Row("W_SF", 15, 1, "sunssf"),
        Row("Hz", 16, 1, "uint16", "Hz_SF", "frequency"),
        Row("Hz_SF", 17, 1, "sunssf"),
        Row("VA", 18, 1, "int16", "VA_SF", "apparent_power_total"),
        Row("VA_SF", 19, 1, "sunssf"),
        Row("VAr", 20, 1, "int16", "VAr_SF", "generated_reactive_power"),
        Row("VAr_SF", 21, 1, "sunssf"),
        Row("PF", 22, 1, "int16", "PF_SF", "generated_power_factor", "/100"),
        Row("PF_SF", 23, 1, "sunssf"),
        Row("WH", 24, 2, "acc32", "WH_SF", "energy_export"),
        Row("WH_SF", 26, 1, "sunssf"),
        Row("DCA", 27, 1, "uint16", "DCA_SF", "dc_current"),
        Row("DCA_SF", 28, 1, "sunssf"),
        Row("DCV", 29, 1, "uint16", "DCV_SF", "dc_voltage"),
        Row("DCV_SF", 30, 1, "sunssf"),
        Row("DCW", 31, 1, "int16", "DCW_SF", "dc_power"),
        Row("DCW_SF", 32, 1, "sunssf"),
        Row("TmpCab", 33, 1, "int16", "Tmp_SF", "temperature_cabinet"),
        Row("TmpSnk", 34, 1, "int16", "Tmp_SF", "temperature_heat_sink"),
        Row("TmpTrns", 35, 1, "int16", "Tmp_SF"),
        Row("TmpOt", 36, 1, "int16", "Tmp_SF"),
        Row("Tmp_SF", 37, 1, "sunssf"),
        Row("St", 38, 1, "enum16", None, "operating_state"),
        Row("StVnd", 39, 1, "enum16"),
        Row("Evt1", 40, 2, "bits32", None, "events"),
        Row("Evt2", 42, 2, "bits32"),
        Row("EvtVnd1", 44, 2, "bits32"),
        Row("EvtVnd2", 46, 2, "bits32"),
        Row("EvtVnd3", 48, 2, "bits32"),
        Row("EvtVnd4", 50, 2, "bits32"),
    ),
)
MODELS = {1: _COMMON, 101: _INVERTER, 102: _INVERTER, 103: _INVERTER}
"""Model 1 (common) and the integer inverter models, which share one layout."""


def filler(row: Row) -> tuple[int, ...]:
    """The not-implemented code of a point, over all of its registers."""
    code = NOT_IMPLEMENTED[row.type]
    return code if len(code) == row.registers else code * row.registers


def bases(models: list[int], base: int) -> dict[int, int]:
    """Address of each model's ID register when the models follow the marker at ``base``; key 0xFFFF is the end."""
    places, address = {}, base + len(MARKER)
    for number in models:
        places[number] = address
        address += 2 + MODELS[number].length
    return {**places, END_ID: address}
