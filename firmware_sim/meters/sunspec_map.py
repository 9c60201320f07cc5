"""SunSpec register maps as a device lays them out: "SunS" marker, models, end marker. Pure.

Layouts and codes: SunSpec information model definitions (models 1, 101 to 103, 111 to 113, 201 to 204, 211 to 214) and
the not-implemented codes of the SunSpec device information model specification. Offsets count from a model's ID
register. The tables are the simulator's own: no profile has a say in them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MARKER = (0x5375, 0x6E53)  # "SunS"
END_ID = 0xFFFF
NOT_IMPLEMENTED = {
    "uint16": (0xFFFF,), "int16": (0x8000,), "enum16": (0xFFFF,), "sunssf": (0x8000,), "bits32": (0xFFFF, 0xFFFF),
    "acc32": (0, 0), "string": (0,), "pad": (0x8000,), "float32": (0x7FC0, 0),
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
    "A_SF": -2, "V_SF": -1, "W_SF": 0, "Hz_SF": -2, "VA_SF": 0, "VAr_SF": 0, "VAR_SF": 0, "PF_SF": -2, "WH_SF": 0,
    "DCA_SF": -2, "DCV_SF": -1, "DCW_SF": 0, "Tmp_SF": -1, "TotWh_SF": 0, "TotVAh_SF": 0, "TotVArh_SF": 0,
}  # fmt: skip
"""The scale factors of these devices: constants of a device, they never change while it runs."""

_COMMON = Model(
    66,
    (
        Row("Mn", 2, 16, "string", None, "manufacturer"),
        Row("Md", 18, 16, "string", None, "device_model"),
        Row("Opt", 34, 8, "string", None, "options"),
        Row("Vr", 42, 8, "string", None, "version"),
        Row("SN", 50, 16, "string", None, "serial_number"),
        Row("DA", 66, 1, "uint16", None, "modbus_address"),
        Row("Pad", 67, 1, "pad"),
    ),
)
_INVERTER = """
uint16 A current_total; AphA current_l1; AphB current_l2; AphC current_l3; A_SF
uint16 PPVphAB voltage_ll_l12; PPVphBC voltage_ll_l23; PPVphCA voltage_ll_l31
uint16 PhVphA voltage_ln_l1; PhVphB voltage_ln_l2; PhVphC voltage_ln_l3; V_SF
int16 W generated_power; W_SF
uint16 Hz frequency; Hz_SF
int16 VA apparent_power_total; VA_SF
int16 VAr generated_reactive_power; VAr_SF
int16 PF generated_power_factor /100; PF_SF
acc32 WH energy_export; WH_SF
uint16 DCA dc_current; DCA_SF
uint16 DCV dc_voltage; DCV_SF
int16 DCW dc_power; DCW_SF
int16 TmpCab temperature_cabinet; TmpSnk temperature_heat_sink; TmpTrns temperature_transformer
int16 TmpOt temperature_other; Tmp_SF
enum16 St operating_state; StVnd vendor_state
bits32 Evt1 events; Evt2 events_2; EvtVnd1 vendor_events_1; EvtVnd2 vendor_events_2; EvtVnd3 vendor_events_3
bits32 EvtVnd4 vendor_events_4
"""
_METER = """
int16 A current_total; AphA current_l1; AphB current_l2; AphC current_l3; A_SF
int16 PhV voltage_ln_avg; PhVphA voltage_ln_l1; PhVphB voltage_ln_l2; PhVphC voltage_ln_l3
int16 PPV voltage_ll_avg; PPVphAB voltage_ll_l12; PPVphBC voltage_ll_l23; PPVphCA voltage_ll_l31; V_SF
int16 Hz frequency; Hz_SF
int16 W active_power_total; WphA active_power_l1; WphB active_power_l2; WphC active_power_l3; W_SF
int16 VA apparent_power_total; VAphA apparent_power_l1; VAphB apparent_power_l2; VAphC apparent_power_l3; VA_SF
int16 VAR reactive_power_total; VARphA reactive_power_l1; VARphB reactive_power_l2; VARphC reactive_power_l3; VAR_SF
int16 PF power_factor_total PF; PFphA power_factor_l1 PF; PFphB power_factor_l2 PF; PFphC power_factor_l3 PF; PF_SF
acc32 TotWhExp energy_export; TotWhExpPhA energy_export_l1; TotWhExpPhB energy_export_l2; TotWhExpPhC energy_export_l3
acc32 TotWhImp energy_import; TotWhImpPhA energy_import_l1; TotWhImpPhB energy_import_l2; TotWhImpPhC energy_import_l3
acc32 TotWh_SF
acc32 TotVAhExp apparent_energy_export; TotVAhExpPhA apparent_energy_export_l1
acc32 TotVAhExpPhB apparent_energy_export_l2; TotVAhExpPhC apparent_energy_export_l3
acc32 TotVAhImp apparent_energy_import; TotVAhImpPhA apparent_energy_import_l1
acc32 TotVAhImpPhB apparent_energy_import_l2; TotVAhImpPhC apparent_energy_import_l3; TotVAh_SF
acc32 TotVArhImpQ1 reactive_energy_q1; TotVArhImpQ1PhA reactive_energy_q1_l1
acc32 TotVArhImpQ1PhB reactive_energy_q1_l2; TotVArhImpQ1PhC reactive_energy_q1_l3
acc32 TotVArhImpQ2 reactive_energy_q2; TotVArhImpQ2PhA reactive_energy_q2_l1
acc32 TotVArhImpQ2PhB reactive_energy_q2_l2; TotVArhImpQ2PhC reactive_energy_q2_l3
acc32 TotVArhExpQ3 reactive_energy_q3; TotVArhExpQ3PhA reactive_energy_q3_l1
acc32 TotVArhExpQ3PhB reactive_energy_q3_l2; TotVArhExpQ3PhC reactive_energy_q3_l3
acc32 TotVArhExpQ4 reactive_energy_q4; TotVArhExpQ4PhA reactive_energy_q4_l1
acc32 TotVArhExpQ4PhB reactive_energy_q4_l2; TotVArhExpQ4PhC reactive_energy_q4_l3; TotVArh_SF
bits32 Evt events
"""
"""Points in the order of their registers: type, then name, quantity and unit of each. ``PF``: percent in integers."""


def _model(text: str, *, floats: bool = False) -> Model:
    """A model; ``floats``: its numbers are floats, which need no scale registers."""
    rows: list[Row] = []
    waiting = 0  # the first point whose scale register is still to come
    for line in text.strip().splitlines():
        type_, _, points = line.partition(" ")
        for name, *shows in (point.split() for point in points.split(";")):
            offset = rows[-1].offset + rows[-1].registers if rows else 2
            if not shows and floats:
                continue
            if not shows:
                rows[waiting:] = [replace(row, scale=name) for row in rows[waiting:]]
                rows.append(Row(name, offset, 1, "sunssf"))
                waiting = len(rows)
                continue
            kind = "float32" if floats and type_ in ("uint16", "int16", "acc32") else type_
            unit = {"/100": "/100", "PF": None if floats else "/100"}[shows[1]] if len(shows) > 1 else None
            rows.append(Row(name, offset, len(NOT_IMPLEMENTED[kind]), kind, None, shows[0], unit))
    return Model(rows[-1].offset + rows[-1].registers - 2, tuple(rows))


_PHASES = {1: "BC", 2: "C", 3: ""}
"""Phases that a device with one, two or three lacks."""


def _lacking(model: Model, lost: str) -> Model:
    """The model in a device that has not all phases: their points show nothing."""
    gone = [row for row in model.rows if "ph" in row.name.lower() and {*row.name[-2:]} & {*lost}]
    return replace(model, rows=tuple(replace(row, quantity=None) if row in gone else row for row in model.rows))


_DELTA = "PhV", "PhVphA", "PhVphB", "PhVphC"
"""Voltages against a neutral, which a delta has not."""


def _models() -> dict[int, Model]:
    found = {1: _COMMON}
    for first, text in ((100, _INVERTER), (110, _INVERTER), (200, _METER), (210, _METER)):
        model = _model(text, floats=first % 100 == 10)
        found |= {first + phases: _lacking(model, lost) for phases, lost in _PHASES.items()}
        if text == _METER:
            rows = (replace(row, quantity=None) if row.name in _DELTA else row for row in model.rows)
            found[first + 4] = replace(model, rows=tuple(rows))
    return found


MODELS = _models()
"""Model 1 (common), the inverter models and the meter models, with integers and with floats."""


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
