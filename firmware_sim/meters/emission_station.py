"""What an emission monitor tells of the plant's stack, item by item, as codes and texts of HJ 212 table B.2. No I/O.

Gases are in mg of dry gas at 273.15 K and 101.325 kPa; "Zs" is converted to 6 % of oxygen (annex D, formula 28).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from firmware_sim.meters.answers import Alter
from firmware_sim.meters.packing import Cell
from firmware_sim.plant.model import Plant
from firmware_sim.plant.quantities import Scene
from firmware_sim.plant.signals import total
from firmware_sim.plant.stack import AIR_CO2, AMBIENT_PA, CO2_KG_PER_KMOL, NM3_PER_KMOL, SO2_MG_PER_NM3, Stack
from firmware_sim.plant.tree import GRID

SECTION_M2, REFERENCE_O2 = 12.0, 6.0
SAMPLE_EVERY_MS, FEWEST_SAMPLES, MOST_SAMPLES = 5000, 12, 60
"""Values of a period are at most 5 s apart, and no fewer than 12 (annex D, formula 23); long periods have fewer."""
NORMAL, STOPPED, FAULTY = "N", "F", "D"
NORMAL_SHARE = 0.75
"""Of the values, for a period to be normal (notes to C.16 to C.18)."""
_TRACE = {"a21002": 380.0, "a34013": 35.0}
"""NOx and dust behind the cleaning, in mg/m3 for each unit of the CO2 that the fuel gives: a share of dry gas."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A quantity of table B.2: its code of 2005, its decimals, whether it is converted to the reference oxygen, and
    what one of it brings in a second (mg/m3 to kg, m3/s to m3), None where it is not counted."""

    old_code: str
    decimals: int
    value: Callable[[Stack], float]
    converted: bool = False
    amount: Callable[[Stack, float], float] | None = None


def dry_flow_nm3_s(stack: Stack) -> float:
    """Normal dry flow by the instruments (annex D, formula 31)."""
    normal = stack.flow_m3_s * 273.15 / (273.15 + stack.gas_c) * stack.pressure_pa / 101_325
    return normal * (1 - stack.h2o)


def _kg_s(stack: Stack, mg_m3: float) -> float:
    return mg_m3 * dry_flow_nm3_s(stack) / 1e6


def _pollutant(old_code: str, mg_m3: Callable[[Stack], float]) -> Factor:
    return Factor(old_code, 2, mg_m3, converted=True, amount=_kg_s)


def _trace(old_code: str, code: str) -> Factor:
    return _pollutant(old_code, lambda s: _TRACE[code] * max(0.0, s.co2 - AIR_CO2))


FACTORS: dict[str, Factor] = {
    "a00000": Factor("B02", 3, lambda s: s.flow_m3_s, amount=lambda s, value: value),
    "a01011": Factor("S02", 2, lambda s: s.flow_m3_s / SECTION_M2),
    "a01012": Factor("S03", 1, lambda s: s.gas_c),
    "a01013": Factor("S08", 3, lambda s: (s.pressure_pa - AMBIENT_PA) / 1000),
    "a01014": Factor("S05", 2, lambda s: 100 * s.h2o),
    "a19001": Factor("S01", 2, lambda s: 100 * s.o2),
    "a05001": Factor("30", 1, lambda s: s.co2 * CO2_KG_PER_KMOL / NM3_PER_KMOL * 1e6, amount=_kg_s),
    "a21026": _pollutant("02", lambda s: s.so2 * SO2_MG_PER_NM3),
    "a21002": _trace("03", "a21002"),
    "a34013": _trace("01", "a34013"),
}
"""What is measured, by code."""


@dataclass(frozen=True, slots=True)
class StationSpec:
    """One logger: what it says of itself, which factors it has, and which unit's stack it measures (of a plant of the
    old keys: the only one).

    ``flags`` replace the data flag of a code, "" leaves it out; ``items`` are items more, as texts.
    """

    name: str
    mn: str
    password: str = "123456"
    st: str = "31"
    old_style: bool = False
    factors: tuple[str, ...] = tuple(FACTORS)
    flags: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    measures: str = GRID


class Station:
    """The instruments of one stack, at any moment."""

    def __init__(self, spec: StationSpec, plant: Plant) -> None:
        self.spec, self._plant = spec, plant

    def moment(self, t_ms: int, alter: Callable[[int], Alter] | None = None) -> dict[str, str]:
        """What they show at a moment of the plant's time: texts by place, "a21026-Rtd". ``alter``: what faults change
        at a moment; an instrument that shows nothing has its flag alone."""
        stack = self._stack(t_ms, alter)
        texts: dict[str, str] = {}
        for code, factor in self._factors():
            value = self._value(code, factor.value(stack), t_ms, alter)
            if value is not None:
                texts[f"{self.code(code)}-Rtd"] = f"{value:.{factor.decimals}f}"
            if value is not None and factor.converted:
                texts[f"{self.code(code)}-ZsRtd"] = f"{_converted(stack, value):.{factor.decimals}f}"
            self._flag(texts, code, [_state(stack)])
        return texts | dict(self.spec.items)

    def exact(self, t_ms: int) -> dict[str, float]:
        """The same before it is written in digits, without flags and further items."""
        stack = self._stack(t_ms, None)
        values: dict[str, float] = {}
        for code, factor in self._factors():
            value = values[f"{self.code(code)}-Rtd"] = factor.value(stack)
            if factor.converted:
                values[f"{self.code(code)}-ZsRtd"] = _converted(stack, value)
        return values

    def period(self, begin_ms: int, end_ms: int, alter: Callable[[int], Alter] | None = None) -> dict[str, str]:
        """What they showed between two moments: least, mean and largest value, amounts. ``alter``: as of ``moment``."""
        moments = self.moments(begin_ms, end_ms)
        stacks = [self._stack(t_ms, alter) for t_ms in moments]
        texts: dict[str, str] = {}
        for code, factor in self._factors():
            altered = [self._value(code, factor.value(s), t, alter) for t, s in zip(moments, stacks, strict=True)]
            values = [value for value in altered if value is not None]
            if len(values) == len(moments):
                self._shown(texts, code, factor, values, stacks, (end_ms - begin_ms) / 1000)
            self._flag(texts, code, [_state(stack) for stack in stacks])
        return texts | dict(self.spec.items)

    def _shown(
        self,
        texts: dict[str, str],
        code: str,
        factor: Factor,
        values: Sequence[float],
        stacks: Sequence[Stack],
        seconds: float,
    ) -> None:
        """The texts of one factor over a period."""
        _statistics(texts, self.code(code), "", values, factor.decimals)
        if factor.converted:
            converted = [_converted(stack, value) for stack, value in zip(stacks, values, strict=True)]
            _statistics(texts, self.code(code), "Zs", converted, factor.decimals)
        if factor.amount is not None:
            amounts = [factor.amount(stack, value) for stack, value in zip(stacks, values, strict=True)]
            texts[f"{self.code(code)}-Cou"] = f"{total(amounts) / len(values) * seconds:.4f}"

    def _stack(self, t_ms: int, alter: Callable[[int], Alter] | None) -> Stack:
        """The stack as the instruments see it."""
        return (self._scene(t_ms) if alter is None else alter(t_ms).scene(self._scene, t_ms)).stack

    def _scene(self, t_ms: int) -> Scene:
        state = self._plant.at(t_ms)
        return Scene(state, state.flows[self.spec.measures], stands=lambda: state.units[self.spec.measures])

    def _value(self, code: str, value: float, t_ms: int, alter: Callable[[int], Alter] | None) -> float | None:
        """What an instrument shows; None: nothing."""
        if alter is None:
            return value
        shown = alter(t_ms).value(Cell(self.code(code), 0, 0, 0, "float64"), value)
        return None if shown is None else float(shown)

    def moments(self, begin_ms: int, end_ms: int) -> list[int]:
        """Those at which a period is sampled."""
        count = max(FEWEST_SAMPLES, min(MOST_SAMPLES, (end_ms - begin_ms) // SAMPLE_EVERY_MS))
        return [begin_ms + (end_ms - begin_ms) * n // count for n in range(count)]

    def look(self, t_ms: int) -> None:
        """Have the plant find a moment that a period is about to ask for."""
        self._plant.at(t_ms)

    def code(self, code: str) -> str:
        """A code as the logger writes it."""
        return FACTORS[code].old_code if self.spec.old_style else code

    def _factors(self) -> list[tuple[str, Factor]]:
        return [(code, FACTORS[code]) for code in self.spec.factors]

    def _flag(self, texts: dict[str, str], code: str, states: Sequence[str]) -> None:
        normal = states.count(NORMAL) >= NORMAL_SHARE * len(states)
        flag = NORMAL if normal else STOPPED if NORMAL not in states else FAULTY
        if flag := self.spec.flags.get(code, flag):
            texts[f"{self.code(code)}-Flag"] = flag


def items(texts: Mapping[str, str]) -> list[str]:
    """Texts by place as the items of a content: values of one code stand together."""
    grouped: dict[str, list[str]] = {}
    for place, text in texts.items():
        grouped.setdefault(place.partition("-")[0], []).append(f"{place}={text}")
    return [",".join(values) for values in grouped.values()]


def _state(stack: Stack) -> str:
    return NORMAL if stack.firing_w > 0 else STOPPED


def _converted(stack: Stack, value: float) -> float:
    o2 = min(20.0, 100 * stack.o2)  # the formula has no sense for air
    return value * (21 - REFERENCE_O2) / (21 - o2)


def _statistics(texts: dict[str, str], code: str, prefix: str, values: Sequence[float], decimals: int) -> None:
    for suffix, value in (("Min", min(values)), ("Avg", total(values) / len(values)), ("Max", max(values))):
        texts[f"{code}-{prefix}{suffix}"] = f"{value:.{decimals}f}"
