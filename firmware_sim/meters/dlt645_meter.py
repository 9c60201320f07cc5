"""DL/T 645 meter of the plant: what it shows under each data identifier, at any moment. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from functools import cache, partial
from itertools import chain
from typing import Any

from firmware_sim.meters import dlt645_pdu as frames
from firmware_sim.meters.answers import Alter
from firmware_sim.meters.dlt645_map import (
    ADDRESS,
    DATA,
    DATE,
    DEMAND_AT,
    NUMBER,
    TARIFFS,
    TIME,
    Item,
    Items,
    Place,
    of_single_phase,
    place_of,
)
from firmware_sim.meters.packing import Value
from firmware_sim.meters.pdu import Refused
from firmware_sim.meters.register_image import Reply
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.meters.scaling import in_digits
from firmware_sim.plant.model import Plant
from firmware_sim.plant.quantities import QUANTITIES, Scene, conversion
from gateway.devices.profile import Point

BEIJING = timezone(timedelta(hours=8))
OTHER_ERROR = 0x01
DIGITS = (DATE, TIME, DEMAND_AT, ADDRESS, NUMBER)


class Dlt645Meter:
    """One meter over time.

    Args:
        spec: what it is; ``address`` is its own, 12 digits, ``serial`` its meter number (none: the address).
        plant: what it measures.
        unix_ms: Unix time of a moment of the plant's time, for its clock.
        single_phase: it has phase A alone.
        refuses: identifiers that it answers with error bit 02, as if it did not have them.
        goes_on: identifiers whose answer says that more frames follow (B1), with half of the values in it.
    """

    def __init__(
        self,
        spec: MeterSpec,
        plant: Plant,
        unix_ms: Callable[[int], int],
        *,
        single_phase: bool = False,
        refuses: Collection[str] = (),
        goes_on: Collection[str] = (),
    ) -> None:
        self.spec, self._plant, self._unix_ms = spec, plant, unix_ms
        self._refuses, self._goes_on = frozenset(refuses), frozenset(goes_on)
        self._items: Callable[[str], Items] = of_single_phase if single_phase else lambda di: DATA.get(di, {})
        self._points: dict[Place, list[Point]] = {}
        for point in spec.profile.points:
            at: Any = point.at  # an identifier, as in every profile of this protocol
            self._points.setdefault(place_of(at.di, at.part, at.field[0]), []).append(point)
        known = {place for di in DATA for place in self._items(di)}
        self.unfilled = tuple(p.name for place, points in self._points.items() if place not in known for p in points)

    def sleeps_at(self, t_ms: int) -> bool:
        """Whether it is off because its inverter is."""
        return self.spec.sleeps and self.spec.unit(self._plant.at(t_ms)).is_asleep

    def place(self, pdu: bytes) -> dict[str, Any]:
        """Control code and identifier of a request."""
        return {"control": pdu[0], "di": frames.di_of(pdu)}

    def reader(self, pdu: bytes) -> Callable[[int, Alter | None], Reply] | None:
        """What reads the identifier that a request asks for."""
        di = frames.di_of(pdu)
        return partial(self.read, di) if di else None

    def read(self, di: str, t_ms: int, alter: Alter | None = None) -> Reply:
        """The value's bytes, lowest first, and the readings of the profile's points in them.

        Raises:
            Refused: it does not have the identifier.
        """
        items = list(self._items(di).items())
        if not items or di in self._refuses:
            raise Refused(frames.NO_SUCH_DATA)
        if di in self._goes_on:
            items = items[: (len(items) + 1) // 2]
        now, start = self._scene(t_ms) if alter is None else alter.scene(self._scene, t_ms), self._scene(0)
        data = b""
        for place, item in items:
            points = self._points.get(place, [])
            shown = self._shown(item, start if item.kind == "demand" else now, t_ms)
            if alter is not None:
                name = points[0].name if points else place[0]
                shown = alter.value(_Shown(name, item), shown)
            data += _packed(item, shown)
        return Reply(tuple(data), self._taken(items, data), partial(self._taken, items))

    def _taken(self, items: Iterable[tuple[Place, Item]], data: Sequence[int]) -> dict[str, Value]:
        """What a right reader takes from the bytes of these values."""
        values, at = dict[str, Value](), 0
        for place, item in items:
            packed, at = bytes(data[at : at + item.size]), at + item.size
            values |= {point.name: _reading(point, item, packed) for point in self._points.get(place, [])}
        return values

    @property
    def clock_points(self) -> frozenset[str]:
        """The points that show date or time."""
        found = [(self._items(place[0]).get(place), points) for place, points in self._points.items()]
        clocks = (points for item, points in found if item and item.quantity in (DATE, TIME, DEMAND_AT))
        return frozenset(point.name for points in clocks for point in points)

    def points(self, t_ms: int, alter: Alter | None = None) -> Reply:
        """Every point of the profile that it has, each as its own identifier shows it."""
        replies = list[Reply]()
        for di in dict.fromkeys(place[0] for place in self._points):
            with suppress(Refused):
                replies.append(self.read(di, t_ms, alter))
        data = tuple(chain.from_iterable(reply.registers for reply in replies))
        values = {name: value for reply in replies for name, value in reply.values.items()}
        return Reply(data, values, partial(_taken_of_each, replies))

    def exact(self, t_ms: int) -> dict[str, Value]:
        """Of each point what is measured, in its unit, before it is laid out in digits; a tariff counts its share."""
        now, start, values = self._scene(t_ms), self._scene(0), dict[str, Value]()
        for place, points in self._points.items():
            if (item := self._items(place[0]).get(place)) is None:
                continue
            quantity = QUANTITIES.get(item.quantity)
            for point in points:
                if quantity is None:
                    values[point.name] = self._shown(item, now, t_ms)
                    continue
                value = quantity.of(start if item.kind == "demand" else now)
                value *= conversion(quantity.unit, point.unit) or 1
                values[point.name] = value / TARIFFS if item.tariff else value
        return values

    def _scene(self, t_ms: int) -> Scene:
        state, spec = self._plant.at(t_ms), self.spec
        return Scene(state, spec.flow(state), spec.start_wh, spec.start_varh, stands=cache(partial(spec.unit, state)))

    def _shown(self, item: Item, scene: Scene, t_ms: int) -> Value:
        """The digits of a value as a number."""
        now = datetime.fromtimestamp(self._unix_ms(t_ms) / 1000, BEIJING)
        texts = {
            DATE: f"{now:%y%m%d}{now.isoweekday() % 7:02}",  # 0 is Sunday
            TIME: f"{now:%H%M%S}",
            DEMAND_AT: f"{datetime.fromtimestamp(self._unix_ms(0) / 1000, BEIJING):%y%m%d%H%M}",
            ADDRESS: str(self.spec.address),
            NUMBER: self.spec.serial or str(self.spec.address),
        }
        return texts[item.quantity] if item.quantity in texts else item.raw(scene)

    def answered(self, pdu: bytes, reply: Reply) -> bytes:
        """The PDU that carries the bytes."""
        return frames.carried(pdu, bytes(reply.registers), more=frames.di_of(pdu) in self._goes_on)

    def refusal(self, pdu: bytes, code: int) -> bytes:
        """The refusal with this error byte."""
        return frames.refusal(pdu, code)

    def otherwise(self, pdu: bytes) -> bytes:
        """The address, if that is asked; everything else is refused, above all what writes."""
        if pdu == bytes([frames.READ_ADDRESS]):
            return frames.carried_address(str(self.spec.address))
        return frames.refusal(pdu, OTHER_ERROR)

    def answer(self, unit: str, pdu: bytes) -> frames.Dlt645Answer:
        """A PDU of this address."""
        return frames.Dlt645Answer(unit, pdu)

    def code_of(self, pdu: bytes) -> int | None:
        """The error byte."""
        return frames.error_of(pdu)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A value for the faults, by its point, or where the profile has none by its identifier. See ``answers.Place``."""

    name: str
    item: Item

    @property
    def kind(self) -> str:
        """As in the table."""
        return self.item.kind

    @property
    def type(self) -> str:
        """Texts of digits are none to calculate with."""
        return "string" if self.item.quantity in (NUMBER, ADDRESS, DEMAND_AT) else "bcd"

    @property
    def can_lack(self) -> bool:
        """As FF."""
        return True

    def within(self, value: float | Fraction) -> Fraction:
        """The digits next to it."""
        most = self.item.end - 1
        return Fraction(min(max(round(value), -most if self.item.signed else 0), most))

    def ceiling(self, digits: int) -> Fraction:
        """In steps of the last digit."""
        return Fraction(10) ** (digits + self.item.decimals) if digits else Fraction(self.item.end)


def _taken_of_each(replies: Sequence[Reply], data: Sequence[int]) -> dict[str, Value]:
    """What a right reader takes from the bytes of several replies, one behind the other."""
    values, at = dict[str, Value](), 0
    for reply in replies:
        size = len(reply.registers)
        values |= reply.taken(data[at : at + size]) if reply.taken else {}
        at += size
    return values


def _packed(item: Item, value: Value) -> bytes:
    """The bytes of a value; FF where there is no number to show."""
    if isinstance(value, Fraction | float):
        value = round(value)
    if value is None or not str(value).lstrip("-").isdecimal():
        return b"\xff" * item.size
    return item.packed(int(value))


def _reading(point: Point, item: Item, packed: bytes) -> Value:
    """What a right reader decodes: numbers in the point's unit, all else as its digits."""
    number = item.read(packed)
    if number is None:
        return None
    if item.quantity in DIGITS:
        return packed[::-1].hex()
    if item.kind == "word":
        return int.from_bytes(packed, "little")
    factor = conversion(item.unit, point.unit)
    return None if factor is None else in_digits(number * Fraction(str(factor)))
