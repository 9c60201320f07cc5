"""Data identifiers of DL/T 645-2007 as a meter of the plant holds them: what stands there, in how many digits. Pure.

DL/T 645-2007, annex A. The simulator's own table: no profile has a say in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from firmware_sim.plant.quantities import QUANTITIES, Scene, conversion

TARIFFS, PHASES = 4, 3
DATE, TIME, ADDRESS, NUMBER, ZERO, DEMAND_AT = "date", "time", "address", "number", "zero", "demand-at"
"""What no quantity of the plant fills; ``zero``: nothing counts there, or no bit is set."""


Place = tuple[str, int]
"""Where a value stands: its own identifier, and its number among those of one (0: the only one)."""


@dataclass(frozen=True, slots=True)
class Item:
    """One value: ``size`` bytes of two digits, ``decimals`` of them behind the point, in ``unit``. The sign is the top
    bit where it is ``signed``. ``tariff``: that part of the quantity which this tariff counts; 0: all of it. ``kind``:
    ``gauge``, ``counter``, ``clock``, ``word`` of bits, or ``demand``, which is that of the start, and none while power
    is delivered."""

    quantity: str
    size: int
    decimals: int
    unit: str | None
    signed: bool = False
    tariff: int = 0
    kind: str = "gauge"

    def raw(self, scene: Scene) -> int:
        """The number that the digits show; a counter is never rounded up."""
        if self.quantity == ZERO:
            return 0
        quantity = QUANTITIES[self.quantity]
        factor = conversion(quantity.unit, self.unit)
        assert factor is not None, self
        exact: Fraction = Fraction(quantity.of(scene)) * Fraction(str(factor)) * 10**self.decimals
        if self.kind != "counter":
            return max(0, round(exact)) if self.kind == "demand" else round(exact)
        steps = int(exact)
        return int(steps + TARIFFS - self.tariff) // TARIFFS if self.tariff else steps

    @property
    def end(self) -> int:
        """The first number with too many digits; one bit of a signed one is the sign's."""
        return int(8 * 10 ** (2 * self.size - 1) if self.signed else 10 ** (2 * self.size))

    def packed(self, raw: int) -> bytes:
        """The bytes, lowest first; FF where the number has too many digits, which no reader takes for one."""
        digits = 2 * self.size
        if abs(raw) >= self.end or (raw < 0 and not self.signed):
            return b"\xff" * self.size
        data = bytearray(bytes.fromhex(f"{abs(raw):0{digits}}")[::-1])
        if raw < 0:
            data[-1] |= 0x80
        return bytes(data)

    def read(self, data: bytes) -> Fraction | None:
        """The number that a right reader finds in the bytes, in ``unit``; None: none."""
        digits = bytearray(data[::-1])
        negative = self.signed and digits[0] >= 0x80
        if negative:
            digits[0] -= 0x80
        if data == b"\xff" * self.size or not digits.hex().isdecimal():
            return None
        number = int(digits.hex())
        return Fraction(-number if negative else number, 10**self.decimals)


Items = dict[Place, Item]


def _counters() -> dict[str, Items]:
    """Total, four tariffs and the block of each kind of energy."""
    kinds = [
        ("00", "energy_sum", "kWh", True),
        ("01", "energy_import", "kWh", False),
        ("02", "energy_export", "kWh", False),
        ("03", "reactive_energy_import", "kvarh", True),
        ("04", "reactive_energy_export", "kvarh", True),
        ("05", "reactive_energy_import", "kvarh", False),
        ("06", ZERO, "kvarh", False),
        ("07", "reactive_energy_export", "kvarh", False),
        ("08", ZERO, "kvarh", False),
    ]
    found: dict[str, Items] = {}
    for code, quantity, unit, signed in kinds:
        items = [Item(quantity, 4, 2, unit, signed, tariff, "counter") for tariff in range(TARIFFS + 1)]
        found |= _block(f"00{code}", dict(enumerate(items)))
    return found


def _phases(code: str, stem: str, form: Item, total: str | None = None) -> dict[str, Items]:
    """The phases of a quantity, its total if it has one, and the block of all."""
    names = {phase: f"{stem}_l{phase}" for phase in range(1, PHASES + 1)} | ({0: total} if total else {})
    return _block(f"02{code}", {place: replace(form, quantity=names[place]) for place in sorted(names)})


def _block(head: str, items: dict[int, Item]) -> dict[str, Items]:
    """Values one by one under their own identifiers, and all of them under that with FF."""
    single = {f"{head}{place:02X}00": item for place, item in items.items()}
    return {
        **{di: {(di, 0): item} for di, item in single.items()},
        f"{head}FF00": {(di, 0): i for di, i in single.items()},
    }


_VOLTS, _AMPERES = Item("", 2, 1, "V"), Item("", 3, 3, "A", signed=True)
_KW, _KVAR = Item("", 3, 4, "kW", signed=True), Item("", 3, 4, "kvar", signed=True)
_KVA, _FACTOR = Item("", 3, 4, "kVA"), Item("", 2, 3, "/", signed=True)
_SINGLE = {
    "02800001": Item("current_neutral", 3, 3, "A"),
    "02800007": Item("temperature", 2, 1, "Cel", signed=True),
    "02800002": Item("frequency", 2, 2, "Hz"),
    "02800003": Item("active_power_total", 3, 4, "kW"),
    "04000101": Item(DATE, 4, 0, None, kind="clock"),
    "04000102": Item(TIME, 3, 0, None, kind="clock"),
    "04000401": Item(ADDRESS, 6, 0, None),
    "04000402": Item(NUMBER, 6, 0, None),
    "04000503": Item(ZERO, 2, 0, None, kind="word"),
}

DATA: dict[str, Items] = {
    **_counters(),
    **_phases("01", "voltage_ln", _VOLTS),
    **_phases("02", "current", _AMPERES),
    **_phases("03", "active_power", _KW, "active_power_total"),
    **_phases("04", "reactive_power", _KVAR, "reactive_power_total"),
    **_phases("05", "apparent_power", _KVA, "apparent_power_total"),
    **_phases("06", "power_factor", _FACTOR, "power_factor_total"),
    **{
        di: {(di, 1): Item(power, 3, 4, "kW", kind="demand"), (di, 2): Item(DEMAND_AT, 5, 0, None)}
        for di, power in (("01010000", "active_power_total"), ("01020000", "generated_power"))
    },
    **{di: {(di, 0): item} for di, item in _SINGLE.items()},
}
"""What stands under each identifier (DI3 first), in the order of the wire, by the place of each value."""


def place_of(di: str, part: int, begin: int) -> Place:
    """Where a profile's point stands: the value's own identifier, whether the point names that or a block.

    Args:
        di: what it names.
        part: the number of the value in a block, from 1; 0: it names its own identifier.
        begin: its first byte there.
    """
    for number, (place, item) in enumerate(DATA.get(di, {}).items(), start=1):
        if number == part or (not part and begin == 0):
            return place
        begin -= item.size
    return di, part


def of_single_phase(di: str) -> Items:
    """What stands there in a single-phase meter: of a block the total and phase A, of the phases B and C nothing."""
    return {place: item for place, item in DATA.get(di, {}).items() if not item.quantity.endswith(("_l2", "_l3"))}
