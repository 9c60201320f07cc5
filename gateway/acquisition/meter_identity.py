"""Meter identity: the device that each meter was commissioned with, and accepted exchanges, as signed events.

Stands between the lines and the poller. A line reports with each poll who answered; what is new becomes an event of the
meter's own chain, written before the first reading that depends on it. The events are the memory: a restart reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.acquisition.poller import Poller
from gateway.config.bus import Meter
from gateway.devices.blocks import contents
from gateway.devices.knowledge.device_numbers import device_numbers
from gateway.errors import Declined, GatewayError
from gateway.fieldbus.specs import FieldLine, Poll, has_number
from gateway.messages.message import Message
from gateway.storage.writer import Writer
from ledger_client.formats.record import COMMISSIONED, EXCHANGE, Event, parse_record
from ledger_client.formats.senml import Quality, Reading


class Answering(NamedTuple):
    """The device that stood for a meter, and the one that answers now: their identities, "" where one tells none.

    ``by_hand``: the new one tells no number of its own, so that only somebody at the meter can know that it is another.
    """

    old: str
    new: str
    by_hand: bool


@dataclass(frozen=True, slots=True)
class RecordedExchange:
    """An exchange that lies behind: values of the last reading of the old device and of the first one of the new, by
    point, and when that was, in ms."""

    last: Mapping[str, Any]
    first: Mapping[str, Any]
    time_ms: int


@dataclass(slots=True)
class _Exchange:
    """An accepted exchange that waits for the first reading of the new device. ``stated``: reason, user and
    what somebody states of it."""

    found: Answering
    stated: Mapping[str, Any]
    last: dict[str, Any]
    recorded: asyncio.Future[int]
    """When the first reading of the new device was, in ms."""


class MeterIdentity:
    """``poll`` is the callback of every line; ``accept`` and ``accept_by_hand`` are what `meterseal accept` orders."""

    def __init__(
        self,
        meters: Mapping[str, Meter],
        known: dict[str, str],
        poller: Poller,
        writer: Writer,
        on_event: Callable[[str, Event], object],
    ) -> None:
        """
        Args:
            known: the identities that are in the database; kept up to date here.
            on_event: called with each event of a meter, to be recorded in order with its polls.
        """
        self._meters, self._known, self._poller = meters, known, poller
        self._writer, self._on_event = writer, on_event
        self._exchanges: dict[str, _Exchange] = {}
        self._awaited: dict[str, asyncio.Future[Poll]] = {}

    def change(self, meters: Mapping[str, Meter], known: Mapping[str, str]) -> None:
        """Another configuration, with the identities of meters that it adds."""
        self._meters = meters
        self._known.update(known)

    def poll(self, poll: Poll) -> None:
        """Write what is new about the meter's identity, then pass the poll on."""
        if poll.answers and (exchange := self._exchanges.pop(poll.meter, None)):
            poll = poll._replace(flags=poll.flags | int(Quality.METER_EXCHANGED))
            found = exchange.found._replace(new=exchange.found.new or poll.identity or "")
            self._know(poll.meter, found.new)
            self._on_event(poll.meter, _event(found, exchange.last, self._first_values(poll), exchange.stated))
            exchange.recorded.set_result(min(answer.completed_ms for answer in poll.answers))
        elif poll.identity is not None and poll.meter not in self._known:
            self._known[poll.meter] = poll.identity
            self._on_event(poll.meter, Event(COMMISSIONED, {"identity": poll.identity}))
        if self._awaited and (awaited := self._awaited.pop(poll.meter, None)) and not awaited.done():
            awaited.set_result(poll)
        self._poller.poll(poll)

    async def next_poll(self, meter: str) -> Poll:
        """The next poll of a meter, as its line reports it."""
        if meter not in self._awaited:
            self._awaited[meter] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._awaited[meter])

    def known(self, meter: str) -> str | None:
        """The device that stands for a meter; None: none has said who it is."""
        return self._known.get(meter)

    def commissioned(self, meter: str, identity: str) -> None:
        """A commissioning record names the device of a meter."""
        self._known[meter] = identity

    def exchange(self, line: FieldLine, meter: str) -> Answering:
        """The device that stands for a meter, and the one that answers in its place.

        Raises:
            Declined: the meter was not exchanged: the known device says its number.
            GatewayError: an acceptance of the meter is pending.
        """
        stranger, old, numbered = line.stranger(meter), self._known.get(meter, ""), has_number(line, meter)
        if stranger is None and numbered:
            raise Declined(Message("accept-known-device", meter=meter, identity=old))
        if meter in self._exchanges:
            raise GatewayError(Message("accept-pending", meter=meter))
        if stranger is None:  # the known number is not read any more: the new device has none
            stranger = "" if device_numbers(old) else old
        return Answering(old, stranger, not numbered)

    async def accept(
        self,
        line: FieldLine,
        meter: str,
        serial: str,
        reason: str,
        user: str = "",
        stated: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Take values from the device with this serial number, which must be the one that answers on the wire now.

        Returns when the first reading of the new device is on its way to the database.

        Args:
            reason: for the signed event.
            user: who accepts it, on the pages.
            stated: further fields of the event: what somebody at the meter says of the exchange.

        Raises:
            Declined: the meter was not exchanged, another number answers, or none.
            GatewayError: another acceptance of the meter is pending.
        """
        found = self.exchange(line, meter)
        if found.by_hand:
            raise Declined(Message("accept-no-identity", meter=meter))
        if serial not in (found.new, *(word.partition("=")[2] for word in found.new.split(", "))):
            raise Declined(Message("accept-other-number", meter=meter, stranger=found.new, serial=serial))
        return await self._first_reading(line, meter, found, reason, user, stated)

    async def accept_by_hand(
        self,
        line: FieldLine,
        meter: str,
        reason: str,
        user: str = "",
        stated: Mapping[str, Any] = MappingProxyType({}),
        recorded: RecordedExchange | None = None,
    ) -> dict[str, Any]:
        """Take it on somebody's word that a device which tells no number is another one. Arguments as of ``accept``.

        Args:
            recorded: the new device has been read already; else its first reading is waited for.

        Raises:
            Declined: the device tells a number, or there is no reason.
            GatewayError: another acceptance of the meter is pending.
        """
        found = self.exchange(line, meter)
        if not found.by_hand:
            raise Declined(Message("accept-has-number", meter=meter, stranger=found.new))
        if not reason:
            raise Declined(Message("accept-no-reason", meter=meter))
        by_hand = {**stated, "by-hand": True}
        if recorded is None:
            return await self._first_reading(line, meter, found, reason, user, by_hand)
        facts = {"reason": reason, "user": user, **by_hand, "since": recorded.time_ms}
        self._on_event(meter, _event(found, recorded.last, recorded.first, facts))
        self._know(meter, found.new)
        line.accept(meter, found.new or None)
        return {"meter": meter, "old": found.old, "new": found.new, "time_ms": recorded.time_ms}

    async def _first_reading(
        self, line: FieldLine, meter: str, found: Answering, reason: str, user: str, stated: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Accept the device, and wait for its first reading."""
        row = await asyncio.wrap_future(self._writer.call(lambda store: store.records.newest(meter, "reading")))
        last = parse_record(row.data).body if row else None
        recorded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        facts = {"reason": reason, "user": user, **stated}
        self._exchanges[meter] = _Exchange(found, facts, _recorded_values(last), recorded)
        line.accept(meter, found.new or None)
        return {"meter": meter, "old": found.old, "new": found.new, "time_ms": await recorded}

    def _know(self, meter: str, identity: str) -> None:
        self._known.pop(meter, None)
        if identity:
            self._known[meter] = identity

    def _first_values(self, poll: Poll) -> dict[str, Any]:
        read = [(answer.block, answer.raw) for answer in poll.answers]
        values = contents(read, self._meters[poll.meter].factors)
        return {name: value for name, value in values.items() if value is not None}


def _event(found: Answering, last: Mapping[str, Any], first: Mapping[str, Any], stated: Mapping[str, Any]) -> Event:
    fields: dict[str, Any] = {"identity": found.new, "old": found.old, "last": dict(last), "first": dict(first)}
    return Event(EXCHANGE, fields | {name: fact for name, fact in stated.items() if fact})


def _recorded_values(body: object) -> dict[str, Any]:
    """A reading's values by point; what had no value is left out."""
    values = body.values if isinstance(body, Reading) else ()
    return {value.name: value.value for value in values if value.value is not None}
