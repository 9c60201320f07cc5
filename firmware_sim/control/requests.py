"""Requests to a running simulator: faults are armed and cleared, and its state is given. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from firmware_sim.clock import SimClock
from firmware_sim.control.server import refusal
from firmware_sim.meters.armed import Faults, Order, Standing
from firmware_sim.scenario.complaints import Unfit, explained, nearest
from firmware_sim.scenario.every_point import EveryPoint
from firmware_sim.scenario.faults import PORT_GONE, Places, ordered
from firmware_sim.scenario.table import Positive, Table

DO = ("inject", "clear", "status", "truth")
ALL = "all"
APART_MS = 1000
"""The wall clock of whoever asks, which is set now and then, and the simulator's, which is not, may be so far apart."""
Note = Callable[[Mapping[str, Any]], None]
"""Writes a line of the log."""


class InjectTable(Table):
    """``inject``: a fault table whose time counts from now."""

    do: Literal["inject"]
    target: str
    kind: str
    keys: dict[str, Any] = Field(default_factory=dict)
    after: Positive = 0.0
    for_s: Annotated[float | None, Field(alias="for", gt=0, le=1e9)] = None
    count: int | None = None
    share: float | None = None


class ClearTable(Table):
    """``clear``: an id, a meter, a bus, or all."""

    do: Literal["clear"]
    target: str


class TruthTable(Table):
    """``truth``: a point of a meter, at a moment of the plant's time or of the wall clock; neither: now."""

    do: Literal["truth"]
    meter: str
    point: str
    at_ms: int | None = None
    t_ms: int | None = None


class Requests:
    """What a control socket answers.

    Args:
        faults: of the simulator.
        places: where there can be faults.
        clock: the plant's.
        state: gives what ``status`` says beside the faults.
        note: writes a line of the log.
        meters: what each would show without faults.
    """

    def __init__(
        self,
        faults: Faults,
        places: Places,
        clock: SimClock,
        state: Callable[[], Mapping[str, Any]],
        note: Note,
        meters: EveryPoint,
    ) -> None:
        self._faults, self._places, self._clock, self._state, self._note = faults, places, clock, state, note
        self._meters = meters

    def answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to a request."""
        try:
            match request.get("do"):
                case "inject":
                    return self._inject(_read(InjectTable, request))
                case "clear":
                    return self._clear(_read(ClearTable, request).target)
                case "status":
                    return self._status()
                case "truth":
                    return self._truth(_read(TruthTable, request))
                case other:
                    return refusal(f"do: no such request: {other!r}", nearest(str(other), DO))
        except Unfit as unfit:
            return refusal(f"{unfit.key}: {unfit.problem}", unfit.fix)

    def _inject(self, table: InjectTable) -> Mapping[str, Any]:
        now = self._clock.now_ms()
        order = self._ordered(table, now)
        name = self._faults.arm(order, now)
        standing = next(each for each in self._faults.standing() if each.id == name)
        listed = standing.listed(now)
        self._write("inject", {key: value for key, value in listed.items() if key not in ("struck", "state")})
        return {"id": name}

    def _ordered(self, table: InjectTable, now: int) -> Order:
        for key in ("meter", "bus", "kind", "from", "to"):
            if key in table.keys:
                raise Unfit(key, "is not a key here", "give the time with --after and --for")
        begin = now + round(table.after * 1000)
        when = {"from": begin / 1000, **({} if table.for_s is None else {"to": begin / 1000 + table.for_s})}
        counted = {"count": table.count, "share": table.share}
        given = {key: value for key, value in counted.items() if value is not None}
        row = {**table.keys, **self._target(table.target, table.kind), "kind": table.kind, **when, **given}
        return ordered(row, self._places, texts=True)

    def _target(self, target: str, kind: str) -> dict[str, str]:
        places = self._places
        is_of_bus = kind == PORT_GONE or places.types.get(target) == "p1"
        if target in places.bus_of and not (is_of_bus and target in places.types):
            return {"meter": target}
        if target in places.types:
            return {"bus": target}
        raise Unfit("target", f"no such meter or bus: {target!r}", nearest(target, self._names()))

    def _names(self) -> list[str]:
        return list(dict.fromkeys([*self._places.bus_of, *self._places.types]))

    def _clear(self, target: str) -> Mapping[str, Any]:
        standing = self._faults.standing()
        found = [each.id for each in standing if target in (each.id, ALL)]
        if not found and target != ALL:
            if target not in (names := self._names()):
                raise Unfit(
                    "target",
                    f"no such fault, meter or bus: {target!r}",
                    nearest(target, [*(each.id for each in standing), *names, ALL]),
                )
            found = [each.id for each in standing if self._is_of(target, each)]
        cleared = self._faults.clear(found)
        if cleared:
            self._write("clear", cleared)
        goes_on = [each.id for each in self._faults.standing() if target in each.order.meters]
        return {"cleared": cleared, **({"goes_on": goes_on} if goes_on else {})}

    def _is_of(self, target: str, standing: Standing) -> bool:
        """Whether a fault was asked for a meter, or for a bus or one of its meters."""
        order, bus_of = standing.order, self._places.bus_of
        return target == order.target or any(bus_of[meter] == target for meter in order.meters)

    def _status(self) -> Mapping[str, Any]:
        now = self._clock.now_ms()
        faults = [standing.listed(now) for standing in self._faults.standing()]
        return {"at_ms": now, "t_ms": self._clock.unix_ms(), **self._state(), "faults": faults}

    def _truth(self, table: TruthTable) -> Mapping[str, Any]:
        if table.meter not in self._meters:
            raise Unfit("meter", f"no such meter: {table.meter!r}", nearest(table.meter, self._meters))
        source, now = self._meters[table.meter], self._clock.now_ms()
        at = table.at_ms if table.t_ms is None else self._clock.plant_ms_of(table.t_ms)
        if at is None or (table.t_ms is not None and now < at <= now + APART_MS * self._clock.speed):
            at = now
        if not 0 <= at <= now:
            when = f"{-at / 1000:g} s before the start" if at < 0 else f"{(at - now) / 1000:g} s ahead"
            raise Unfit("at", f"that is {when}", "ask for a moment between the start and now, in seconds of Unix time")
        values = source.shows(at)[table.meter].values
        if table.point not in values:
            problem = f"{table.meter} shows no such point: {table.point!r}"
            raise Unfit("point", problem, nearest(table.point, values))
        form = source.form(table.point)
        return {"value": values[table.point], "number": form.is_number, "unit": form.unit, "at_ms": at}

    def _write(self, what: str, facts: object) -> None:
        self._note({"v": 2, "t_ms": self._clock.unix_ms(), "at_ms": self._clock.now_ms(), what: facts})


_Table = TypeVar("_Table", bound=Table)


def _read(form: type[_Table], request: Mapping[str, Any]) -> _Table:
    known = [field.alias or name for name, field in form.model_fields.items()]
    try:
        return form.model_validate(dict(request))
    except ValidationError as error:
        raise Unfit(*explained(error, known)) from None
