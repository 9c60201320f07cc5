"""Command ``map``: where each point stands, in the order of the addresses, as a client has to ask for it.

The map is drawn from what the simulated device lays out, not from the profile's text: the base of a SunSpec chain, the
word order of one meter and the ratios in its registers are in it.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from firmware_sim.cli.refusals import refusing
from firmware_sim.errors import ScenarioError
from firmware_sim.meters.dlt645_map import DATA, place_of
from firmware_sim.meters.packing import Cell
from firmware_sim.meters.register_map import Layout, MeterSpec, Mismatch
from firmware_sim.meters.scaling import Line, in_digits, line_of
from firmware_sim.recorded.recording import Recording
from firmware_sim.recorded.replay import ReplayedMeter
from firmware_sim.scenario.complaints import nearest
from firmware_sim.scenario.dlt645_schema import Dlt645MeterTable, Dlt645Table
from firmware_sim.scenario.hj212_schema import Hj212Table
from firmware_sim.scenario.load import Scenario, load_scenario
from firmware_sim.scenario.p1_schema import P1Table
from firmware_sim.scenario.schema import BusTable, MeterTable
from firmware_sim.scenario.shipped import plants
from gateway.devices.profile import NotToml, Point, Profile, ProfileError, catalog, load_profile, toml_of

READ_DATA = "11"
"""Control code of DL/T 645 that reads, in hexadecimal."""
ALIKE = "functions 3 and 4 are alike"


@dataclass(frozen=True, slots=True)
class Row:
    """Where a point stands. ``function``: code of a Modbus read, or control code; ``address``: from 0, or a data
    identifier; ``count``: registers, bits (functions 1 and 2), or bytes of a data identifier. A value is the raw number
    × ``scale`` + ``offset``, in ``unit``."""

    function: str
    address: str
    count: int
    type: str
    order: str
    scale: str
    offset: str
    unit: str
    point: str


@dataclass(frozen=True, slots=True)
class Map:
    """The map of one meter, or of a profile: then ``bus``, ``meter`` and ``address`` are "". ``about``: its heading."""

    bus: str
    meter: str
    address: str
    about: str
    rows: Sequence[Row]


@click.command("map")
@click.argument("what", metavar="PROFILE|SCENARIO")
@click.argument("meter", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values with a header line.")
def register_map(what: str, meter: str | None, as_csv: bool) -> None:
    """Show where each point stands: function, address, type, scale."""
    with refusing(ProfileError):
        maps = list(maps_of(what, meter))
    click.echo(_csv(maps) if as_csv else "\n".join(map(_table, maps)), nl=False)


def maps_of(what: str, meter: str | None) -> Iterator[Map]:
    """The maps of a profile, of a scenario's meters, or of one of them.

    Args:
        what: a profile of the catalog, a plant that comes with Meterseal, or the path of a profile or scenario.
        meter: None: all of them.

    Raises:
        ScenarioError: there is no such thing, or it cannot be simulated.
        ProfileError: a profile has a mistake.
    """
    if what in catalog() or _is_profile(what):
        if meter is not None:
            raise ScenarioError(what, "", f"a profile has no meters, and none called {meter}", "remove that word")
        yield _of_profile(what)
        return
    if what not in plants() and not Path(what).is_file() and not ("/" in what or what.endswith(".toml")):
        close = difflib.get_close_matches(what, [*plants(), *catalog()], 1)
        hint = f"did you mean {close[0]}?" if close else f"plants: {', '.join(plants())}"
        fix = f"{hint}; meterseal-sim profiles lists the profiles"
        raise ScenarioError(what, "", "no such profile, plant or file", fix)
    scenario = load_scenario(Path(what))
    known = [row.name for bus in scenario.buses for row in bus.meter]
    if meter is not None and meter not in known:
        raise ScenarioError(scenario.source, "", f"no such meter: {meter}", nearest(meter, known))
    yield from (found for found in _of_scenario(scenario) if meter in (None, found.meter))


def _is_profile(what: str) -> bool:
    """Whether it is a file with points and without buses; who loads it complains about mistakes."""
    path = Path(what)
    if not path.is_file():
        return False
    try:
        table = toml_of(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, NotToml):
        return False
    return "bus" not in table and "points" in table


def _of_profile(what: str) -> Map:
    profile = load_profile(what if "/" in what or what in catalog() else f"./{what}")
    about = f"{profile.name}: {profile.vendor} {profile.device}"
    if profile.protocol in ("hj212", "obis"):
        return Map("", "", "", about + "; it sends, nobody asks it", [_sent(point) for point in profile.points])
    if profile.protocol == "dlt645":
        return Map("", "", "", about, _identifiers(profile))
    factors = dict.fromkeys(profile.factors, Decimal(1))
    spec = MeterSpec("x", profile, profile.default_address, serial="1", factors=factors)
    if profile.protocol == "sunspec":
        about += f"; SunSpec from {spec.sunspec_base}"
    return Map("", "", "", about + _alike(profile), _registers(spec, what, ""))


def _of_scenario(scenario: Scenario) -> Iterator[Map]:
    for number, table in enumerate(scenario.buses):
        if isinstance(table, Hj212Table | P1Table):
            for row in table.meter:
                about = f"{row.name} on bus {table.name} ({table.type}): it sends, nobody asks it"
                yield Map(table.name, row.name, str(row.address), about, ())
        elif isinstance(table, Dlt645Table):
            for meter in table.meter:
                yield _of_meter(table, meter, _identifiers(scenario.profiles[meter.name]), scenario)
        else:
            for index, unit in enumerate(table.meter):
                spec = unit.spec(scenario.profiles[unit.name], table.codes(unit))
                recording = scenario.recordings.get(unit.name)
                rows = _registers(spec, scenario.source, f"bus[{number}].meter[{index}].", recording)
                yield _of_meter(table, unit, rows, scenario)


def _of_meter(table: BusTable, meter: MeterTable | Dlt645MeterTable, rows: Sequence[Row], scenario: Scenario) -> Map:
    profile = scenario.profiles[meter.name]
    about = f"{meter.name}: {profile.name}, unit {meter.address} on bus {table.name} ({table.type}){_alike(profile)}"
    return Map(table.name, meter.name, str(meter.address), about, rows)


def _alike(profile: Profile) -> str:
    return f"; {ALIKE}" if profile.same_functions else ""


def _registers(spec: MeterSpec, source: str, where: str, recording: Recording | None = None) -> list[Row]:
    """The points of a Modbus device as it lays them out, or as they were recorded. Raises ``ScenarioError``."""
    try:
        laid = ReplayedMeter(spec, recording).cells() if recording else [shown.cell for shown in Layout(spec).cells]
        cells = [cell for cell in laid if cell.name is not None]
    except Mismatch as error:
        raise ScenarioError(source, f"{where}{error.key}", error.problem, error.fix) from None
    profile = spec.profile
    points = {point.name: point for point in profile.points}
    points |= {part.name: part for point in profile.points for part, _ in point.parts}
    signs = {point.name: point.sign_from for point in points.values() if point.sign_from}
    return [_register(cell, points[str(cell.name)], signs) for cell in cells]


def _register(cell: Cell, point: Point, signs: Mapping[str, str]) -> Row:
    type_ = cell.type
    if cell.bits is not None:
        type_ += f" bits {cell.bits[0]}-{cell.bits[1]}" if cell.bits[0] != cell.bits[1] else f" bit {cell.bits[0]}"
    if point.name in signs:
        type_ += f", sign in {signs[point.name]}"
    scale, offset = "", ""
    if cell.line is not None:
        scale, offset = _of_line(cell.line)
    elif cell.type not in ("string", "bit"):
        scale, offset = _number(Fraction(cell.factor) * Fraction(10) ** cell.exponent), "0"
    function, address, unit = str(cell.fc), str(cell.address), point.unit or ""
    return Row(function, address, cell.registers, type_, _order(cell), scale, offset, unit, point.name)


def _of_line(line: Line) -> tuple[str, str]:
    """Scale and offset; "" where a ratio of 0 shows nothing."""
    return (_number(1 / line.gain), _number(-line.zero / line.gain)) if line.gain else ("", "")


def _order(cell: Cell) -> str:
    """Of words, where there are several, and of their bytes where these are swapped."""
    if cell.type == "string":
        return "" if cell.chars == "two" else f"one character in the {cell.chars} byte"
    words = cell.word_order if cell.registers > 1 and cell.type != "bit" else ""
    return ", ".join(filter(None, [words, "bytes swapped" if cell.byte_order == "little" else ""]))


def _number(value: Fraction) -> str:
    """A number in decimals, without zeros that say nothing."""
    text = in_digits(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _identifiers(profile: Profile) -> list[Row]:
    """The points of a DL/T 645 meter by their data identifiers, as the standard lays them out."""
    rows = []
    for point in profile.points:
        at: Any = point.at  # an identifier, as in every profile of this protocol
        held = [*DATA.get(at.di, {})]
        place = place_of(at.di, at.part, at.field[0])
        type_ = f"{at.type}{', signed' if at.signed else ''}"
        if len(held) > 1 and place in held:
            type_ += f", value {held.index(place) + 1} of {len(held)}"
        worth = Fraction(10) ** (at.exponent + point.scale) * Fraction(point.factor or 1)
        scaled = (_number(worth), "0") if at.form == "whole" else ("", "")
        rows.append(Row(READ_DATA, at.di, at.size, type_, "little", *scaled, point.unit or "", point.name))
    return rows


def _sent(point: Point) -> Row:
    """A point of a message that is not asked for: its code stands in place of the address."""
    scale, offset = _of_line(line_of(point, Fraction(1))) if point.unit else ("", "")
    return Row("", point.at.where, 0, point.at.type, "", scale, offset, point.unit or "", point.name)


HEAD = tuple(field.name for field in fields(Row))


def _table(found: Map) -> str:
    """A map for people: columns without a word in them are left out."""
    rows = [astuple(row) for row in found.rows]
    shown = [n for n, name in enumerate(HEAD) if any(str(row[n]) not in _NOTHING.get(name, ("",)) for row in rows)]
    lines = [[HEAD[n] for n in shown], *([str(row[n]) for n in shown] for row in rows)] if rows else []
    widths = [max(len(line[n]) for line in lines) for n in range(len(shown))]
    text = (
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
    return f"{found.about}\n{''.join(text)}"


_NOTHING = {"offset": ("", "0"), "count": ("0",), "function": ("",)}


def _csv(maps: Sequence[Map]) -> str:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["bus", "meter", "meter_address", *HEAD])
    for found in maps:
        writer.writerows([found.bus, found.meter, found.address, *astuple(row)] for row in found.rows)
    return written.getvalue()
