"""Register map of a device: the profile's points and the simulator's own knowledge of the device.

The profile says where each point stands; how a device lays out a SunSpec chain, and what fills its registers, is
knowledge of the simulator's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from firmware_sim.meters import sunspec_map
from firmware_sim.meters.habits import habits_of, shows
from firmware_sim.meters.packing import Cell, Value, arranged, ordered, pack
from firmware_sim.meters.scaling import Line, limits_of, line_of, shares
from firmware_sim.plant.quantities import QUANTITIES, Scene, conversion
from firmware_sim.plant.state import PARTS, Flow, State, UnitState
from gateway.devices.profile import Point, Profile, Serial

Source = Callable[[Scene], Value]


class Mismatch(Exception):
    """The simulator cannot show what the profile or the scenario asks for: the key, the problem and the fix."""

    def __init__(self, key: str, problem: str, fix: str) -> None:
        super().__init__(f"{key}: {problem}; {fix}")
        self.key, self.problem, self.fix = key, problem, fix


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """One meter of the plant: its device, its address, its place, what is printed on it, and how slow it is.

    ``show`` fills a point from another quantity, or with a constant; ``factors`` are the transformer ratios that the
    meter divides by; ``start_wh`` and ``start_varh`` are its counters at the start, import and export,
    ``start_kg`` is that of its scale. ``sunspec_model``: the model that it has in place of the one that the
    profile names first.
    A device that ``sleeps`` is off while the plant's inverter is. ``word_order`` is how it lays out all of its numbers,
    whatever its profile says. One that is ``reversed`` is installed the wrong way round. One that sees a ``part`` of
    its place shows that share of its powers, energies, fuel and gas. ``class_percent``: its error is within this many
    percent of power and energy. ``refresh_ms``: it renews its registers that often, at multiples of the plant's time.
    """

    name: str
    profile: Profile
    address: int | str
    measures: str = "grid"
    serial: str = ""
    plate: Mapping[str, str | int] = field(default_factory=dict)
    show: Mapping[str, str | float] = field(default_factory=dict)
    factors: Mapping[str, Decimal] = field(default_factory=dict)
    start_wh: tuple[float, float] = (0.0, 0.0)
    start_varh: tuple[float, float] = (0.0, 0.0)
    start_kg: float = 0.0
    sunspec_base: int = 40000
    sunspec_model: int | None = None
    latency_ms: float = 0
    sleeps: bool = False
    word_order: str | None = None
    reversed: bool = False
    part: Fraction = Fraction(1)
    class_percent: float = 0.0
    refresh_ms: int = 1

    def flow(self, state: State) -> Flow:
        """What it sees of the plant: its part, with its error."""
        found = state.seen(self.measures, self.name, self.part, self.class_percent)
        return found.turned if self.reversed else found

    def unit(self, state: State) -> UnitState:
        """What stands at its place beside the flow."""
        found = state.units[self.measures]
        return found if self.part == 1 else found.scaled(float(self.part))


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell and what fills it at a moment; None leaves it not available."""

    cell: Cell
    source: Source | None


class Layout:
    """The registers of one meter, in address order; ``unfilled`` names the points that nothing in the plant can fill,
    ``objects`` what the device tells by "read device identification", ``sums`` the points that are sums of others.

    Args:
        spec: the meter.
        has: which parts of a ``UnitState`` stand at its place.

    Raises ``Mismatch``.
    """

    def __init__(self, spec: MeterSpec, has: Collection[str] = PARTS) -> None:
        self.spec, self._has = spec, has
        self.unfilled: list[str] = []
        self.sums: list[tuple[str, tuple[str, ...]]] = []
        self._held: dict[str, Fraction] = {}
        profile, serial = spec.profile, spec.profile.serial or Serial()
        self._plate = {
            "serial_number": spec.serial,
            "manufacturer": profile.vendor,
            "device_model": profile.device,
            "version": "1",
            "options": "none",
            "modbus_address": spec.address,
            **line_codes(serial.baudrate, serial.parity),
            **spec.plate,
        }
        self.objects = self._identification()
        self._show = {**shows(profile.name, [p.name for p in profile.points]), **spec.show}
        cells = self._sunspec() if profile.protocol == "sunspec" else self._plain()
        if spec.word_order is not None:
            cells = [replace(shown, cell=ordered(shown.cell, spec.word_order)) for shown in cells]
        self.cells = tuple(sorted(cells, key=lambda s: (s.cell.address, s.cell.bits is not None)))

    def _identification(self) -> dict[int, str]:
        """Objects of "read device identification": vendor, product, version, and the serial number where it is kept."""
        number, objects = self.spec.profile.identity_object, habits_of(self.spec.profile.name).objects
        if number is None and not objects:
            return {}
        serial = {} if number is None else {number: self.spec.serial}
        basic = enumerate(("manufacturer", "device_model", "version"))
        return {n: str(self.spec.plate.get(name, objects.get(n, self._plate[name]))) for n, name in basic} | serial

    def _plain(self) -> list[Shown]:
        """The points of a plain Modbus profile: ratios first, then what they scale, then the signs and parts of it."""
        points = self.spec.profile.points
        signed: dict[str | None, Point] = {p.sign_from: p for p in points if p.sign_from}
        scaling = {p.name: p for p in points if p.kind == "scale" and p.name not in signed}
        exponents = {p.scale_from for p in points}
        cells = []
        for point in scaling.values():
            value = self._show.get(point.name, 0 if point.name in exponents else 1)
            if isinstance(value, str):
                raise Mismatch(f"show.{point.name}", "a ratio or an exponent must be a number", "use a number")
            shown = Shown(cell_of(point, Fraction(1)), _constant(value))
            self._held[point.name] = self._held_by(point, shown)
            cells.append(shown)
        parts = self._parts(points)
        for point in points:
            if point.name not in scaling and point.name not in signed and not point.sum:
                cells.append(parts.get(point.name) or self._cell(point))
        by_name = {shown.cell.name: shown for shown in cells}
        for point in (p for p in points if p.bits):
            whole = [p for p in points if not p.bits and not p.sum and p.fc == point.fc]
            if any(p.address < point.end and point.address < p.end for p in whole):
                raise beyond(point, "bits", "beside a point of the whole register")
        cells += self._constants(cells)
        return cells + [self._sign(point, signed, by_name) for point in points if point.name in signed]

    def _constants(self, points: Sequence[Shown]) -> list[Shown]:
        """Registers beside all points that always hold the same words; of alternatives the device is the first."""
        found: dict[tuple[int, int], Shown] = {}
        mark = self.spec.profile.fingerprint
        for constant in mark.constants if mark else ():
            first, end = constant.address, constant.address + len(constant.words)
            others = (shown.cell for shown in points if shown.cell.fc == constant.fc)
            if not any(cell.address < end and first < cell.end for cell in others):
                found.setdefault((constant.fc, first), _fixed(first, constant.words, constant.fc))
        return list(found.values())

    def _held_by(self, point: Point, shown: Shown) -> Fraction:
        """What a reader finds in a scale point."""
        value = shown.source(None) if shown.source else None  # type: ignore[arg-type]
        held = pack(shown.cell, value).reading
        if held is None or (value and not Fraction(held)):
            raise Mismatch(
                f"show.{point.name}", f"{value} does not fit into {point.type}", "use a value within the type's range"
            )
        return Fraction(held)

    def _sign(self, point: Point, signed: Mapping[str | None, Point], by_name: Mapping[str | None, Shown]) -> Shown:
        """Not 0 while the number that takes its sign from this point is negative."""
        owners = [p.name for p in self.spec.profile.points if p.sign_from == point.name]
        if len(owners) > 1:
            raise beyond(point, "kind", f"as the sign of {' and '.join(owners)} ")
        if point.name in self.spec.show:
            raise Mismatch(
                f"show.{point.name}", f"this point is the sign of {owners[0]} and follows it", "remove it from show"
            )
        number = by_name[signed[point.name].name]
        line, source = number.cell.line, number.source

        def negative(scene: Scene) -> Value:
            value = source(scene) if source else None
            if value is None or isinstance(value, str) or line is None:
                return 0
            return int(line.raw(Fraction(value)) < 0)

        return Shown(cell_of(point, Fraction(1)), negative)

    def _parts(self, points: Sequence[Point]) -> dict[str, Shown]:
        """The parts of sums, each with its share of what the sum shows."""
        found: dict[str, Shown] = {}
        for point in (p for p in points if p.sum):
            cells = [self._cell(part).cell for part, _ in point.parts]
            for part, cell in zip((part for part, _ in point.parts), cells, strict=True):
                if cell.line is None or cell.line.zero or cell.type.startswith("float") or not cell.line.gain:
                    raise beyond(part, "kind", "as a part with an offset or a ratio of 0, or as a float, ")
                if part.name in found:
                    raise beyond(part, "kind", "as a part of two sums ")
            source = self._source(point.name, point.name, point.unit, text=False)
            for n, cell in enumerate(cells):
                counted = replace(cell, kind=point.kind)
                found[str(cell.name)] = Shown(counted, source and _share(source, [c.line for c in cells if c.line], n))
            self.sums.append((point.name, point.sum))
        return found

    def _times(self, point: Point) -> Fraction:
        """The product of a point's ratios and its power of ten."""
        times = Fraction(1)
        for name in point.factor_from:
            if name not in self._held and name not in self.spec.factors:
                raise Mismatch("factors", f"{point.name} needs {name}", f"set factors = {{ {name} = … }} at the meter")
            times *= self._held[name] if name in self._held else Fraction(self.spec.factors[name])
        power = self._held.get(point.scale_from or "", Fraction(0))
        return times * Fraction(10) ** int(power) if power.denominator == 1 and abs(power) <= 18 else Fraction(0)

    def _cell(self, point: Point) -> Shown:
        """A point of a plain Modbus profile."""
        cell = cell_of(point, self._times(point))
        if cell.line is None and point.factor_from:
            factor = cell.factor
            for name in point.factor_from:
                factor *= self.spec.factors[name]
            cell = replace(cell, factor=factor)
        return Shown(cell, self._source(point.name, point.name, point.unit, point.type == "string"))

    def _sunspec(self) -> list[Shown]:
        """The whole chain: marker, models with ID and length, every point of every model, end marker."""
        instead = self._instead()
        named = {(instead.get(p.model or 1, p.model), p.address): p for p in self.spec.profile.points}
        wanted = {1, *(model for model, _ in named if model)}
        if unknown := sorted(wanted - set(sunspec_map.MODELS)):
            known = ", ".join(str(m) for m in sunspec_map.MODELS)
            raise Mismatch(
                "profile", f"SunSpec model {unknown[0]} is not simulated", f"use a profile of these models: {known}"
            )
        models = sorted(wanted)
        places = sunspec_map.bases(models, self.spec.sunspec_base)
        chain = [
            _fixed(self.spec.sunspec_base, sunspec_map.MARKER),
            _fixed(places.pop(sunspec_map.END_ID), (sunspec_map.END_ID, 0)),
        ]
        for number in models:
            model = sunspec_map.MODELS[number]
            chain.append(_fixed(places[number], (number, model.length)))
            offsets = {row.offset: row for row in model.rows}
            for point in (p for (m, _), p in named.items() if m == number):
                if key := _is_new(point):
                    raise beyond(point, key, "in a SunSpec device")
                row = offsets.get(point.address)
                if row is None or (row.registers, row.type) != (point.registers, point.type):
                    raise Mismatch(
                        f"points.{point.name}",
                        f"model {number} has no {point.type} of {point.registers} registers at offset {point.address}",
                        "correct the point in the profile",
                    )
            for row in model.rows:
                chain.append(self._row(row, places[number], named.get((number, row.offset))))
        return chain

    def _instead(self) -> dict[int, int]:
        """The model that the device has in place of one that the profile names."""
        actual, rows = self.spec.sunspec_model, self.spec.profile.same_layout
        found = {row[0]: actual for row in rows if actual in row}
        if actual is None or found:
            return {named: model for named, model in found.items() if model is not None}
        known = ", ".join(str(model) for row in rows for model in row) or "none"
        raise Mismatch(
            "sunspec_model", f"no model {actual} of this profile's layout", f"use one of its models: {known}"
        )

    def _row(self, row: sunspec_map.Row, base: int, point: Point | None) -> Shown:
        code = sunspec_map.filler(row)
        cell = Cell(
            name=point.name if point else None,
            fc=3,
            address=base + row.offset,
            registers=row.registers,
            type=row.type,
            exponent=sunspec_map.SCALES[row.scale] if row.scale else 0,
            kind="counter" if row.type == "acc32" or "energy" in str(row.quantity) else "gauge",
            absent=code,
            not_available=(int.from_bytes(b"".join(w.to_bytes(2, "big") for w in code), "big"),),
        )
        if point is None:
            return Shown(cell, None)
        if row.type == "sunssf":
            return Shown(cell, _constant(sunspec_map.SCALES[row.name]))
        return Shown(cell, self._source(point.name, row.quantity, row.unit, row.type == "string"))

    def _source(self, name: str, default: str | None, unit: str | None, text: bool) -> Source | None:
        """What fills a point: the scenario's ``show``, else the name plate, else the quantity of that name."""
        asked = self._show.get(name, default)
        if asked is None:
            return None
        if name in self._show and (text or not isinstance(asked, str)):
            return _constant(asked)
        if name not in self._show and (plate := self._plate.get(str(asked), "")) != "":
            return _constant(plate if text else _code(str(plate), name))
        quantity = QUANTITIES.get(str(asked))
        if quantity is None:
            if name in self._show:
                raise Mismatch(
                    f"show.{name}", f"no such quantity: {asked!r}", "use a quantity listed in docs/simulator.md"
                )
            self.unfilled.append(name)
            return None
        if quantity.part is not None and quantity.part not in self._has:
            self.unfilled.append(name)
            return None
        factor = 1.0 if unit is None else conversion(quantity.unit, unit)
        if factor is None:
            raise Mismatch(
                f"show.{name}", f"{asked} is in {quantity.unit}, the point in {unit}", "use another quantity"
            )
        return lambda scene: quantity.of(scene) * factor


def beyond(point: Point, key: str, what: str = "") -> Mismatch:
    """The refusal of a key that the simulator cannot lay out; ``what`` says in which case."""
    return Mismatch(
        f"points.{point.name}.{key}", f"this key is not simulated {what}".rstrip(), "use a profile without it"
    )


def _is_new(point: Point) -> str | None:
    """The first key of a point that asks for the steps of format 2."""
    if point.type.startswith("bcd") or point.type in ("uint48", "int48"):
        return "type"
    if point.byte_order != "big" or point.chars != "two":
        return "byte_order" if point.chars == "two" else "chars"
    if point.kind == "part" or (point.kind == "scale" and point.type != "sunssf"):
        return "kind"
    if isinstance(point.factor, Fraction):
        return "factor"
    if any(name not in ("ct", "pt") for name in point.factor_from):
        return "factor_from"
    keys = ("bits", "sign_from", "from_unit", "offset", "span", "sum")
    return next((key for key in keys if getattr(point, key)), None)


def cell_of(point: Point, times: Fraction) -> Cell:
    """The cell of a point whose ratios and power of ten make ``times``."""
    if point.bits and point.not_available:
        raise beyond(point, "bits", "beside not_available")
    if point.span and point.span.to[0] == point.span.to[1]:
        raise beyond(point, "span", "as a level line")
    stepped = (_is_new(point) or point.scale_from) and point.type not in ("string", "bit")
    return Cell(
        name=point.name,
        fc=point.fc,
        address=point.address,
        registers=point.registers,
        type=point.type,
        word_order=point.word_order,
        exponent=point.scale,
        factor=point.factor if isinstance(point.factor, Decimal) else Decimal(1),
        kind=point.kind,
        absent=_absent(point),
        not_available=point.not_available,
        byte_order=point.byte_order,
        bits=point.bits,
        chars=point.chars,
        line=line_of(point, times) if stepped else None,
        magnitude=bool(point.sign_from),
        limits=limits_of(point),
    )


def _absent(point: Point) -> tuple[int, ...]:
    """Registers without a value: the first code, what no reader takes for a number, else 0."""
    size = 2 * point.registers
    nothing = {"float32": 0x7FC00000, "float64": 0x7FF8000000000000}.get(point.type, 0)
    if point.type.startswith("bcd"):
        nothing = 256**size - 1
    code = point.not_available[0] if point.not_available else nothing
    return arranged(code.to_bytes(size, "big"), point.word_order, point.byte_order)


def _share(source: Source, lines: list[Line], n: int) -> Source:
    def share(scene: Scene) -> Value:
        value = source(scene)
        return None if value is None or isinstance(value, str) else shares(Fraction(value), lines)[n]

    return share


def line_codes(baudrate: int, parity: str) -> dict[str, str | int]:
    """How a Vaisala probe tells its line settings (M211799EN-K); a speed without a code is not available."""
    speeds = {4800: 0, 9600: 1, 19200: 2, 38400: 3, 57600: 4, 115200: 5}
    return {"serial_speed": speeds.get(baudrate, ""), "serial_parity": "NEO".index(parity)}


def _constant(value: Value) -> Source:
    return lambda _: value


def _code(text: str, name: str) -> int:
    if not text.isdecimal():
        raise Mismatch("serial", f"{name} of this device is a number, but {text!r} is not", "use digits only")
    return int(text)


def _fixed(address: int, words: tuple[int, ...], fc: int = 3) -> Shown:
    """Registers that never change."""
    return Shown(Cell(None, fc, address, len(words), "uint16", absent=words), None)
