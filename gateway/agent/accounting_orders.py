"""Orders of the accounting: a device is accepted in place of another, its registers and other entries are signed.

Loaded with the first such order: most gateways never get one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gateway.accounting.plans import exchange, signing
from gateway.accounting.plans.exchange import Exchange
from gateway.accounting.plans.falls import Fallen, fallen
from gateway.acquisition.meter_identity import MeterIdentity, RecordedExchange
from gateway.agent.lines import LineSet
from gateway.errors import Declined, GatewayError
from gateway.fieldbus.specs import FieldLine
from gateway.messages.message import Message
from gateway.recording.recorder import Recorder
from gateway.records import GATEWAY
from gateway.runtime.context import line_of
from gateway.storage.database import Database
from gateway.storage.writer import T
from ledger_client.formats.record import Event
from ledger_client.verification.value_words import number_text


class AccountingOrders:
    """The orders of one epoch. Each raises GatewayError with the reason and the way out."""

    def __init__(self, path: Path, recorder: Recorder, commissioning: MeterIdentity, lines: LineSet) -> None:
        """``path``: of the configuration."""
        self._path, self._recorder, self._commissioning, self._lines = path, recorder, commissioning, lines
        self._signing = asyncio.Lock()

    async def accept(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Accept the device that answers, of one without a number ``by_hand``; with ``check`` only say which that is,
        whether its counters fell, and whether registers would do."""
        meter, check, by_hand = order["meter"], order.get("check", False), order.get("by_hand", False)
        line = line_of(self._lines.by_name, meter, self._path)
        registers = [signing.event_of("entry", fields) for fields in order.get("registers", ())]
        last = await self._looked(partial(exchange.shown, meter=meter)) if registers or check else {}
        fall = await self._fallen(line, meter) if check or by_hand else None
        recorded = _recorded(meter, fall, order)
        if recorded is not None:
            exchange.demand_bridging(registers, *map(exchange.numbers_of, (recorded.last, recorded.first)))
        else:
            exchange.demand_bridging(registers, last, {})
        plate = order.get("serial", "") if by_hand else ""
        stated = exchange.stated(meter, registers, order.get("seals", ()), order.get("by", ""), plate)
        if check:
            found = self._commissioning.exchange(line, meter)
            facts = {"last": _texts(last), "fall": _facts(fall) if found.by_hand else None}
            return {"meter": meter, **found._asdict(), **facts}
        reason, user = order["reason"], order.get("user", "")
        if by_hand:
            if fall is not None and order.get("since_fall") is None:
                raise Declined(Message("accept-fall", meter=meter, points=fall.points, time_ms=fall.time_ms))
            done = await self._commissioning.accept_by_hand(line, meter, reason, user, stated, recorded)
        else:
            done = await self._commissioning.accept(line, meter, order["serial"], reason, user, stated)
        if not registers:
            return done
        exchanged = await self._looked(partial(exchange.exchanged, meter=meter))
        return done | await self._bridged(registers, exchanged, done["time_ms"])

    async def _fallen(self, line: FieldLine, meter: str) -> Fallen | None:
        (spec,) = (each for each in line.spec.meters if each.name == meter)
        counters = frozenset(point.name for point in spec.points if point.kind == "counter")
        return await self._looked(partial(fallen, meter=meter, counters=counters))

    async def registers(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Sign the registers of a meter's newest exchange, which was accepted without them."""
        meter = order["meter"]
        found = await self._looked(partial(exchange.exchanged, meter=meter))
        if found is None:
            raise Declined(Message("registers-no-exchange", meter=meter))
        registers = [signing.event_of("entry", fields) for fields in order["registers"]]
        for event in registers:
            if event.fields["of"] in found.stated:
                raise Declined(Message("registers-stated", point=str(event.fields["of"])))
        return await self._bridged(registers, found, found.time_ms)

    async def _bridged(self, registers: list[Event], found: Exchange | None, time_ms: int) -> dict[str, Any]:
        if found is not None:
            exchange.demand_bridging(registers, found.last, found.first)
        moment = {"from": time_ms, "to": time_ms}
        signed = [await self._signed(Event(event.name, {**event.fields, **moment})) for event in registers]
        return {"entries": [record.hex() for record in signed]}

    async def _looked(self, look: Callable[[Database], T]) -> T:
        """What the database holds behind all that waits for it."""
        return await asyncio.wrap_future(self._recorder.call(look))

    async def sign(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Sign an event of accounting; the same event twice is signed once."""
        return {"record": (await self._signed(signing.event_of(order["event"], order["fields"]))).hex()}

    async def _signed(self, event: Event) -> bytes:
        """The hash of an event's record, which is durable."""
        async with self._signing:
            self._recorder.demand_recording()
            look = partial(signing.signed, event=event)
            if (found := await self._looked(look)) is not None:
                return found
            self._recorder.demand_key()
            await self._looked(partial(signing.demand_alone, event=event, now_ms=self._recorder.now_ms))
            self._recorder.happened(GATEWAY, event)
            found = await self._looked(look)
        if found is None:
            raise GatewayError(Message("sign-not-recorded", event=event.name))
        return found


def _recorded(meter: str, fall: Fallen | None, order: Mapping[str, Any]) -> RecordedExchange | None:
    """The exchange that lies behind, where the order says that the fall of the counters was it."""
    if not order.get("since_fall"):
        return None
    if fall is None:
        raise Declined(Message("accept-no-fall", meter=meter))
    return RecordedExchange(fall.last, fall.first, fall.time_ms)


def _facts(fall: Fallen | None) -> dict[str, Any] | None:
    if fall is None:
        return None
    texts = {"last": _texts(fall.last), "first": _texts(fall.first)}
    return {"time_ms": fall.time_ms, "points": list(fall.points), **texts}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: number_text(n) for name, n in exchange.numbers_of(values).items()}
