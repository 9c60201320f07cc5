"""What stands where in a device's registers: the profile's points, and what the simulator knows of the device itself.

The profile says where each point stands; how a device lays out a SunSpec chain, and what fills its registers, is
knowledge of the simulator's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from firmware_sim import sunspec
from firmware_sim.packing import Cell, Value
from firmware_sim.quantities import QUANTITIES, Scene, conversion
from gateway.devices.profile import Point, Profile, Serial

Source = Callable[[Scene], Value]


class Mismatch(Exception):
    """The simulator cannot show what the profile or the scenario asks for: the key, the problem and the way out."""

    def __init__(self, key: str, problem: str, way_out: str) -> None:
        super().__init__(f"{key}: {problem}; {way_out}")
        self.key, self.problem, self.way_out = key, problem, way_out


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """One meter of the plant: its device, its address, its place, what is printed on it, and how slow it is.

    ``show`` fills a point from another quantity, or with a constant; ``factors`` are the transformer ratios that the
    meter divides by; ``start_wh`` and ``start_varh`` are its counters at the start, import and export.
    A device that ``sleeps`` is off while the plant's inverter is.
    """

    name: str
    profile: Profile
    address: int
    measures: str = "grid"
    serial: str = ""
    plate: Mapping[str, str | int] = field(default_factory=dict)
    show: Mapping[str, str | float] = field(default_factory=dict)
    factors: Mapping[str, Decimal] = field(default_factory=dict)
    start_wh: tuple[float, float] = (0.0, 0.0)
    start_varh: tuple[float, float] = (0.0, 0.0)
    sunspec_base: int = 40000
    latency_ms: float = 0
    sleeps: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell and what fills it at a moment; None leaves it not available."""

    cell: Cell
    source: Source | None


class Layout:
    """The registers of one meter, in address order; ``unfilled`` names the points that nothing in the plant can fill,
    ``objects`` what the device tells by "read device identification".

    Raises ``Mismatch``.
    """

    def __init__(self, spec: MeterSpec) -> None:
        self.spec = spec
        self.unfilled: list[str] = []
        profile, serial = spec.profile, spec.profile.serial or Serial()
        self._plate = {
            "serial_number": spec.serial,
            "manufacturer": profile.vendor,
            "device_model": profile.device,
            "version": "1",
            "modbus_address": spec.address,
            **line_codes(serial.baudrate, serial.parity),
            **spec.plate,
        }
        self.objects = self._identification()
        cells = self._sunspec() if profile.protocol == "sunspec" else [self._cell(p) for p in profile.points]
        self.cells = tuple(sorted(cells, key=lambda s: s.cell.address))

    def _identification(self) -> dict[int, str]:
        """Objects of "read device identification": vendor, product, version, and the serial number where it is kept."""
        number = self.spec.profile.identity_object
        if number is None:
            return {}
        basic = ("manufacturer", "device_model", "version")
        return {**{n: str(self._plate[name]) for n, name in enumerate(basic)}, number: self.spec.serial}

    def _cell(self, point: Point) -> Shown:
        """A point of a plain Modbus profile."""
        if point.scale_from:
            raise Mismatch(f"points.{point.name}.scale_from", "only SunSpec devices are simulated with it", "use scale")
        if self.spec.profile.format == 2 and not isinstance(point.factor, Decimal | None):
            raise Mismatch(f"points.{point.name}.factor", "a fraction is not simulated", "write it as a decimal")
        if is_new := _beyond(point):
            raise Mismatch(f"points.{point.name}.{is_new}", "this key is not simulated", "use a profile without it")
        factor = Decimal(1) if point.factor is None else Decimal(str(point.factor))
        for name in point.factor_from:
            if name not in self.spec.factors:
                raise Mismatch("factors", f"{point.name} needs {name}", f"give factors = {{ {name} = … }} at the meter")
            factor *= self.spec.factors[name]
        absent = point.not_available[0] if point.not_available else 0
        if point.type.startswith("float") and not point.not_available:
            absent = 0x7FC00000 if point.type == "float32" else 0x7FF8000000000000  # NaN
        words = tuple(absent >> 16 * n & 0xFFFF for n in reversed(range(point.registers)))
        cell = Cell(
            name=point.name,
            fc=point.fc,
            address=point.address,
            registers=point.registers,
            type=point.type,
            word_order=point.word_order,
            exponent=point.scale,
            factor=factor,
            kind=point.kind,
            absent=words[::-1] if point.word_order == "little" else words,
            not_available=point.not_available,
        )
        return Shown(cell, self._source(point.name, point.name, point.unit, point.type == "string"))

    def _sunspec(self) -> list[Shown]:
        """The whole chain: marker, models with ID and length, every point of every model, end marker."""
        named = {(p.model, p.address): p for p in self.spec.profile.points}
        wanted = {1, *(p.model for p in self.spec.profile.points if p.model)}
        if unknown := sorted(wanted - set(sunspec.MODELS)):
            known = ", ".join(str(m) for m in sunspec.MODELS)
            raise Mismatch("profile", f"SunSpec model {unknown[0]} is not simulated", f"models are {known}")
        models = sorted(wanted)
        places = sunspec.bases(models, self.spec.sunspec_base)
        chain = [
            _fixed(self.spec.sunspec_base, sunspec.MARKER),
            _fixed(places.pop(sunspec.END_ID), (sunspec.END_ID, 0)),
        ]
        for number in models:
            model = sunspec.MODELS[number]
            chain.append(_fixed(places[number], (number, model.length)))
            offsets = {row.offset: row for row in model.rows}
            for point in (p for (m, _), p in named.items() if m == number):
                row = offsets.get(point.address)
                if row is None or (row.registers, row.type) != (point.registers, point.type):
                    raise Mismatch(
                        f"points.{point.name}",
                        f"model {number} has no {point.type} of {point.registers} registers at offset {point.address}",
                        "correct the profile",
                    )
            for row in model.rows:
                chain.append(self._row(row, places[number], named.get((number, row.offset))))
        return chain

    def _row(self, row: sunspec.Row, base: int, point: Point | None) -> Shown:
        code = sunspec.filler(row)
        cell = Cell(
            name=point.name if point else None,
            fc=3,
            address=base + row.offset,
            registers=row.registers,
            type=row.type,
            exponent=sunspec.SCALES[row.scale] if row.scale else 0,
            kind="counter" if row.type == "acc32" else "gauge",
            absent=code,
            not_available=(int.from_bytes(b"".join(w.to_bytes(2, "big") for w in code), "big"),),
        )
        if point is None:
            return Shown(cell, None)
        if row.type == "sunssf":
            return Shown(cell, _constant(sunspec.SCALES[row.name]))
        return Shown(cell, self._source(point.name, row.quantity, row.unit, row.type == "string"))

    def _source(self, name: str, default: str | None, unit: str | None, text: bool) -> Source | None:
        """What fills a point: the scenario's ``show``, else the name plate, else the quantity of that name."""
        asked = self.spec.show.get(name, default)
        if asked is None:
            return None
        if name in self.spec.show and (text or not isinstance(asked, str)):
            return _constant(asked)
        if name not in self.spec.show and (plate := self._plate.get(str(asked), "")) != "":
            return _constant(plate if text else _code(str(plate), name))
        quantity = QUANTITIES.get(str(asked))
        if quantity is None:
            if name in self.spec.show:
                raise Mismatch(f"show.{name}", f"there is no quantity {asked!r}", "docs/simulator.md lists them")
            self.unfilled.append(name)
            return None
        factor = 1.0 if unit is None else conversion(quantity.unit, unit)
        if factor is None:
            raise Mismatch(
                f"show.{name}", f"{asked} is in {quantity.unit} and the point is in {unit}", "name another quantity"
            )
        return lambda scene: quantity.of(scene) * factor


def _beyond(point: Point) -> str | None:
    """The first key of format 2 that the simulator cannot lay out yet."""
    keys = ("bits", "sign_from", "from_unit", "offset", "span", "sum")
    if point.type.startswith("bcd") or point.type in ("uint48", "int48"):
        return "type"
    if point.byte_order != "big" or point.chars != "two":
        return "byte_order"
    if point.kind == "part" or any(name not in ("ct", "pt") for name in point.factor_from):
        return "kind"
    return next((key for key in keys if getattr(point, key)), None)


def line_codes(baudrate: int, parity: str) -> dict[str, str | int]:
    """How a Vaisala probe tells its line settings (M211799EN-K); a speed without a code is not available."""
    speeds = {4800: 0, 9600: 1, 19200: 2, 38400: 3, 57600: 4, 115200: 5}
    return {"serial_speed": speeds.get(baudrate, ""), "serial_parity": "NEO".index(parity)}


def _constant(value: Value) -> Source:
    return lambda _: value


def _code(text: str, name: str) -> int:
    if not text.isdecimal():
        raise Mismatch("serial", f"{name} of this device is a number, and {text!r} is none", "give digits only")
    return int(text)


def _fixed(address: int, words: tuple[int, ...]) -> Shown:
    """Registers that never change."""
    return Shown(Cell(None, 3, address, len(words), "uint16", absent=words), None)
