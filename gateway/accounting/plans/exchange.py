"""Registers of an exchanged meter: the old device's last and the new one's first, from an order to events ``entry``
(I4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, Final

from gateway.accounting.plans import signing
from gateway.accounting.plans.plan_check import device_point
from gateway.accounting.plans.plan_draft import recorded_counters
from gateway.config.model import Config
from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message
from gateway.records import GATEWAY, StoredRecord
from gateway.storage.accounted import events_saying, readings_beside
from gateway.storage.database import Database
from gateway.storage.record_reader import read_reading
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.entries import read_entry
from ledger_client.accounting.formats.numbers import milli_of
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.units import counter_unit
from ledger_client.errors import LedgerClientError
from ledger_client.formats.checks import array, line
from ledger_client.formats.record import EXCHANGE, Event, parse_record
from ledger_client.formats.senml import Number, Quality

Register = int | Decimal
Shown = Mapping[str, Number]
"""Values of one reading by point; what showed no number is left out."""

_NO_LOOK: Final = int(Quality.IMPLAUSIBLE | Quality.LATE)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The newest accepted exchange of a meter whose new device has been read.

    ``time_ms``: of that first reading; ``last`` and ``first``: what the old device showed last, and the new one first;
    ``stated``: the points METER/POINT of which an entry says the registers.
    """

    time_ms: int
    last: Shown
    first: Shown
    stated: frozenset[str]


def number(text: str) -> Register:
    """A number as somebody writes it, with a decimal point. Raises ValueError."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not found.is_finite():
        raise ValueError(text)
    return int(found) if found == found.to_integral_value() else found


def recorded_unit(config: Config, point: str) -> str:
    """The unit in which a point is recorded. Raises GatewayError."""
    device = device_point(config, point)
    if device is None or device.unit is None:
        raise GatewayError(Message("entry-no-point", point=point))
    return device.unit


def entries(
    config: Config,
    meter: str,
    finals: Mapping[str, Register],
    initials: Mapping[str, Register],
    reason: str,
    user: str,
) -> list[str]:
    """The entries ``register`` that the gateway is to sign, as fields of an order, of registers by point; their moment
    is set by the gateway. Raises GatewayError."""
    counters = [point.name for point in recorded_counters(config, config.meters[meter])]
    if unknown := sorted((set(finals) | set(initials)) - set(counters)):
        raise GatewayError(Message("accept-no-counter", meter=meter, point=unknown[0], points=tuple(counters)))
    if set(finals) != set(initials):
        raise GatewayError(Message("accept-registers-single", points=tuple(sorted(set(finals) ^ set(initials)))))
    found = []
    for name in sorted(finals):
        point = f"{meter}/{name}"
        fields = {
            "kind": "register", "of": point, "from": 0, "to": 0, "unit": recorded_unit(config, point),
            "values": {"final": finals[name], "initial": initials[name]},
            "reason": reason or EXCHANGE, "user": user,
        }  # fmt: skip
        found.append(signing.encoded(fields))
    return found


def demand_bridging(registers: Iterable[Event], last: Shown, first: Shown) -> None:
    """Raises Declined for registers that bridge nothing (I4): a final one below the last that was recorded, or an
    initial one above the first that was read."""
    for event in registers:
        if event.fields["kind"] != "register":
            raise GatewayError(Message("sign-unknown-event", event=str(event.fields["kind"])))
        of, values = str(event.fields["of"]), event.fields["values"]
        point, factor = of.partition("/")[2], counter_unit(event.fields.get("unit"), "entry.unit").factor
        final, initial = (milli_of(values[name], factor) for name in ("final", "initial"))
        if point in last and final < milli_of(last[point], factor):
            register, before = str(values["final"]), str(last[point])
            raise Declined(Message("accept-final-below", point=point, register=register, last=before))
        if point in first and initial > milli_of(first[point], factor):
            register, behind = str(values["initial"]), str(first[point])
            raise Declined(Message("accept-initial-above", of=of, point=point, register=register, first=behind))


def stated(
    meter: str, registers: Iterable[Event], seals: object = (), by: object = "", plate: object = ""
) -> dict[str, Any]:
    """What somebody at the meter says of an exchange, as fields of its event: registers by point, which were typed and
    so are MANUAL, seals of the new device, who, and the number on the new plate where no device tells one.

    Raises GatewayError: a field that the event cannot hold.
    """
    found: dict[str, Any] = {}
    for event in registers:
        values = event.fields["values"]
        point = str(event.fields["of"]).partition("/")[2]
        typed = {"final": values["final"], "initial": values["initial"], "quality": int(Quality.MANUAL)}
        found[point] = {"unit": event.fields["unit"], **typed}
    try:
        lines = [line(seal, "seals") for seal in array(seals, "seals", 0)] if seals else []
        words_ = {"by": by, "plate": plate}
        return {"registers": found, "seals": lines} | {
            key: line(text, key) if text else "" for key, text in words_.items()
        }
    except LedgerClientError as error:
        raise GatewayError(Message("accept-field", meter=meter, why=error.sentence)) from None


def numbers_of(values: Mapping[str, Any]) -> dict[str, Number]:
    """The values that are numbers."""
    return {name: n for name, n in values.items() if isinstance(n, Number) and not isinstance(n, bool) and isfinite(n)}


def shown(store: Database, meter: str) -> Shown:
    """What a meter showed last."""
    return _values(store.records.newest(meter, "reading"))


def exchanged(store: Database, meter: str) -> Exchange | None:
    """The newest exchange of a meter; None: there was none, or no reading of the new device is there yet."""
    place, event = next(iter(_events(store, meter, EXCHANGE)), (0, None))
    if event is None:
        return None
    if "since" in event.fields:
        time_ms, before_ms = event.fields["since"], event.fields["since"] - 1
        last, first = numbers_of(event.fields["last"]), numbers_of(event.fields["first"])
    else:
        before, behind = readings_beside(store, meter, place)
        if behind is None:
            return None
        time_ms, before_ms = behind.time_ms, before.time_ms if before else 0
        last, first = _values(before), _values(behind)
    return Exchange(time_ms, last, first, stated_behind(store, before_ms, place))


def stated_behind(store: Database, time_ms: int, place: int = 0) -> frozenset[str]:
    """The points METER/POINT whose registers an entry states of a moment behind a time. ``place``: of entries that were
    signed behind it."""
    entries = (read_entry(event.fields) for _, event in _events(store, GATEWAY, words.ENTRY, place))
    return frozenset(entry.of for entry in entries if entry.kind == "register" and entry.from_ms > time_ms)


def planned_counters(store: Database, meter: str) -> frozenset[str]:
    """The points METER/POINT of a meter that are counters of published plans; of each name the newest."""
    plans = dict[str, frozenset[str]]()
    for _, event in _events(store, GATEWAY, words.PLAN):
        with suppress(AccountingError):  # the rules refuse it by now
            plan = parse_plan(event.fields)
            points = (p.name for p in plan.points.values() if p.kind == "counter" and p.meter == meter)
            plans.setdefault(plan.name, frozenset(points))
    return frozenset[str]().union(*plans.values())


def _events(store: Database, meter: str, name: str, behind: int = 0) -> Iterable[tuple[int, Event]]:
    for place, row in events_saying(store, meter, name, behind):
        body = parse_record(row.data).body
        if isinstance(body, Event) and body.name == name:
            yield place, body


def _values(row: StoredRecord | None) -> dict[str, Number]:
    values = read_reading(row)[0].values if row else ()
    return numbers_of({value.name: value.value for value in values if not value.quality & _NO_LOOK})
