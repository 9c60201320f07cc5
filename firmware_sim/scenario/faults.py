"""Fault tables: ``[[fault]]`` of a scenario, and the same table that comes while the plant runs; one check for both."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from firmware_sim.meters.answer_faults import KINDS, Fault, OtherSerial, StuckClock, Trait
from firmware_sim.meters.armed import Choice, Order, When
from firmware_sim.meters.habits import shows
from firmware_sim.meters.logger_faults import LOGGER_KINDS, misfit
from firmware_sim.meters.value_faults import VALUE_KINDS, electric, gas
from firmware_sim.meters.wire_faults import DIALS, LISTENS, TERMINAL, WIRE_KINDS, PortGone, PowerCut, refused_times
from firmware_sim.scenario.complaints import Unfit, explained, nearest
from firmware_sim.scenario.table import Positive, Table
from gateway.devices.profile import Profile

ONE_OF, PORT_GONE, DAMAGED_CRC = "one-of", "port-gone", "damaged-crc"
ALL_KINDS: dict[str, type[Fault]] = {**KINDS, **VALUE_KINDS, **WIRE_KINDS, **LOGGER_KINDS}
KNOWN = [*ALL_KINDS, ONE_OF]

NAMES = ("meter", "bus", "kind")
"""Keys whose values are texts."""


class ChoiceTable(Table):
    """``[[fault.choice]]``: one of several faults of which a request meets one at most; its kind's own keys follow."""

    kind: str
    share: Annotated[float, Field(gt=0, le=1)]


class FaultTable(Table):
    """``[[fault]]``: whose, which, and when; the keys of the kind itself follow."""

    meter: str | None = None
    bus: str | None = None
    kind: str
    from_s: Annotated[Positive, Field(alias="from")] = 0.0
    to_s: Annotated[Positive | None, Field(alias="to")] = None
    every: Annotated[int, Field(ge=1)] = 1
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    count: Annotated[int | None, Field(ge=1)] = None
    above: Annotated[int, Field(ge=0, le=2000)] = 0

    def when(self) -> When:
        """When it is on."""
        to_ms = None if self.to_s is None else round(self.to_s * 1000)
        return When(round(self.from_s * 1000), to_ms, self.every, self.share, self.above)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a fault can be: the type of each bus by its name, and the bus of each meter by its name, and what is known
    of its points, and the wire of each bus; ``replayed``: the meters that show a recording. Of P1 ports: ``unchecked``
    and ``clockless``, whose telegrams have no check value, and no date and time, and ``identifiers``, the names of the
    equipment identifiers in them."""

    types: Mapping[str, str]
    bus_of: Mapping[str, str]
    traits: Mapping[str, Mapping[str, Trait]] = field(default_factory=dict)
    wires: Mapping[str, str] = field(default_factory=dict)
    replayed: frozenset[str] = frozenset()
    unchecked: Collection[str] = ()
    clockless: Collection[str] = ()
    identifiers: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def meters(self, bus: str) -> tuple[str, ...]:
        """The meters of a bus."""
        return tuple(meter for meter, its_bus in self.bus_of.items() if its_bus == bus)


def wire_of(port: str | int | None, *, dials: bool) -> str:
    """The wire of a bus with this port."""
    return DIALS if dials or port is None else TERMINAL if isinstance(port, str) else LISTENS


def traits_of(profile: Profile, show: Mapping[str, str | int | float]) -> dict[str, Trait]:
    """What is known of the points of a meter with this profile; ``show`` is its table's."""
    fills = {**shows(profile.name, [point.name for point in profile.points]), **show}
    found = {}
    for point in profile.points:
        names = (point.name, str(fills.get(point.name, "")))
        if profile.protocol == "dlt645":
            found[point.name] = Trait(point.kind, "bcd", can_lack=True, is_electric=True)
            continue
        found[point.name] = Trait(
            point.kind,
            point.type,
            bool(point.not_available) or point.type.startswith(("float", "bcd")),
            is_long=point.type != "string" and point.registers > 1,
            is_electric=any(map(electric, names)),
            is_gas=point.kind == "gauge" and any(map(gas, names)),
        )
    return found


def traits_of_factors(codes: Sequence[str]) -> dict[str, Trait]:
    """What is known of the factors of a logger, by their codes in its messages."""
    return {code: Trait("gauge", "float64", can_lack=True, is_gas=gas(code)) for code in codes}


_Table = TypeVar("_Table", bound=BaseModel)
_Maker = tuple[str, float, Callable[[], Fault]]
"""A kind, its share, and what makes the fault."""


def ordered(row: Mapping[str, Any], places: Places, *, texts: bool = False) -> Order:
    """A fault table as an order.

    Args:
        row: the table.
        places: what there is.
        texts: numbers may stand in it as texts, as on a command line.

    Raises:
        Unfit: it has a mistake, or is of something that the wire does not have.
    """
    row = dict(row)
    if row.get("kind") == ONE_OF:
        rows = row.pop("choice", [])
        table = _read(FaultTable, row, texts)
        if not isinstance(rows, list) or not rows or not all(isinstance(each, dict) for each in rows):
            raise Unfit("choice", "no choices", "add [[fault.choice]] tables")
        makers = [_choice(number, each, texts) for number, each in enumerate(rows)]
        if sum(share for _, share, _ in makers) > 1 + 1e-9:
            raise Unfit("choice", "the shares add up to more than 1", "lower them")
        keys: dict[str, Any] = {"choice": rows}
    else:
        table, made = _split(FaultTable, row, texts)
        makers, keys = [(table.kind, 1.0, made)], _changed(made())
    bus, meters = _whose(table, places)
    bus_type = places.types[bus]
    if table.above and not bus_type.startswith("modbus"):
        raise Unfit("above", "only Modbus reads ask for registers", "remove it")
    for kind, _, make in makers:
        fault = make()
        wire = places.wires.get(bus, "")
        if refusal := fault.impossible.get(bus_type) or fault.impossible.get(wire) or misfit(kind, bus_type):
            raise Unfit("kind", f"{kind}: {refusal[0]}", refusal[1])
        _fit_telegram(kind, fault, bus, places)
        if table.kind == ONE_OF and isinstance(fault, PowerCut | PortGone):
            raise Unfit(
                "choice", f"{kind}: it lasts for a time, and strikes no single requests", "give it a table alone"
            )
        if wrong := refused_times(fault, table.when(), table.count):
            raise Unfit(*wrong)
        if table.meter and (isinstance(fault, PortGone) or bus_type == "p1"):
            raise Unfit("meter", f"{kind}: port and telegram are those of all meters of a bus", f"use the bus: {bus}")
        for meter in meters:
            if meter in places.replayed and _changes_values(fault):
                problem = f"{kind} of {meter}: it shows a recording, whose values no fault changes"
                raise Unfit("kind", problem, "use a fault of times, frames or wires, or a modelled meter")
            if meter in places.traits and (unfit := make().unfit(places.traits[meter])) is not None:
                key, problem, fix = unfit
                raise Unfit(key, f"{kind} of {meter}: {problem}", fix)
    return Order(
        target=table.meter or bus,
        meters=() if table.kind == PORT_GONE else meters,
        kind=table.kind,
        made=lambda: [Choice(kind, make(), share) for kind, share, make in makers],
        when=table.when(),
        count=table.count,
        keys=keys,
        bus="" if table.meter else bus,
    )


def _fit_telegram(kind: str, fault: Fault, bus: str, places: Places) -> None:
    """Raises ``Unfit``: the telegrams of this P1 port lack what the fault is about."""
    known = places.identifiers.get(bus)
    if isinstance(fault, OtherSerial) and known is not None and fault.point not in known:
        raise Unfit("point", f"no equipment identifier: {fault.point!r}", nearest(fault.point, known))
    if isinstance(fault, StuckClock) and bus in places.clockless:
        raise Unfit("kind", f"{kind}: a telegram of edition 2 has no date and time", "use frozen")
    if kind == DAMAGED_CRC and bus in places.unchecked:
        raise Unfit("kind", f"{kind}: a telegram of edition 2, or of 7 data bits, has no check value", "use corrupted")


def _changes_values(fault: Fault) -> bool:
    """Whether it has to do with what a meter measures and shows, not with when and how it answers."""
    return any(getattr(type(fault), hook) is not getattr(Fault, hook) for hook in ("scene", "value", "laid"))


def _whose(table: FaultTable, places: Places) -> tuple[str, tuple[str, ...]]:
    """The bus of a fault, and the meters."""
    if table.meter is not None and table.bus is not None:
        raise Unfit("bus", "a fault is of a meter or of a bus", "remove bus or meter")
    if table.meter is not None:
        if table.meter not in places.bus_of:
            raise Unfit("meter", f"no such meter: {table.meter!r}", nearest(table.meter, places.bus_of))
        return places.bus_of[table.meter], (table.meter,)
    if table.bus is None:
        raise Unfit("meter", "missing", "add meter, or bus for all meters of one")
    if table.bus not in places.types:
        raise Unfit("bus", f"no such bus: {table.bus!r}", nearest(table.bus, places.types))
    return table.bus, places.meters(table.bus)


def _choice(number: int, row: Mapping[str, Any], texts: bool) -> _Maker:
    try:
        one, made = _split(ChoiceTable, row, texts)
    except Unfit as unfit:
        raise Unfit(f"choice[{number}].{unfit.key}", unfit.problem, unfit.fix) from None
    return one.kind, one.share, made


def _split(form: type[_Table], row: Mapping[str, Any], texts: bool) -> tuple[_Table, Callable[[], Fault]]:
    """What every fault has, and what makes the fault itself by its kind."""
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in ALL_KINDS:
        raise Unfit("kind", f"no such fault: {kind!r}", nearest(str(kind or ""), KNOWN))
    common, of_kind = _keys_of(form), ALL_KINDS[kind]
    table = _read(form, {key: value for key, value in row.items() if key in common}, texts)
    rest = {key: value for key, value in row.items() if key not in common}
    known = [each.name for each in fields(of_kind) if each.init]
    try:
        fault: Fault = _validated(TypeAdapter(of_kind), rest, texts)
    except ValidationError as error:
        raise Unfit(*explained(error, [*known, *common])) from None
    return table, lambda: of_kind(**{name: getattr(fault, name) for name in known})


def _read(form: type[_Table], row: Mapping[str, Any], texts: bool) -> _Table:
    """A table of this form."""
    try:
        return form.model_validate({k: v if k in NAMES or not texts else _number(v) for k, v in row.items()})
    except ValidationError as error:
        raise Unfit(*explained(error, _keys_of(form))) from None


def _number(value: Any) -> Any:
    """A number that is written as a text; anything else as it is."""
    for form in (int, float):
        with suppress(ValueError, TypeError):
            return form(value) if isinstance(value, str) else value
    return value


def _validated(form: TypeAdapter[Any], row: Mapping[str, Any], texts: bool) -> Any:
    """A fault of its keys: from texts, or in the mode that is strict and takes a table."""
    if texts and all(isinstance(value, str) for value in row.values()):
        return form.validate_strings(dict(row))
    return form.validate_json(json.dumps(row, default=str))


def _keys_of(form: type[BaseModel]) -> list[str]:
    return [each.alias or name for name, each in form.model_fields.items()]


def _changed(fault: Fault) -> dict[str, Any]:
    """The keys of a fault that are not as by default."""
    shown: Sequence[Any] = [each for each in fields(fault) if each.init]
    return {
        each.name: getattr(fault, each.name)
        for each in shown
        if each.default is MISSING or getattr(fault, each.name) != each.default
    }
