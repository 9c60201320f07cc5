"""Meter identity: the device that each meter was commissioned with, and accepted exchanges, as signed events.

Stands between the lines and the poller. A line reports with each poll who answered; what is new becomes an event of the
meter's own chain, written before the first reading that depends on it. The events are the memory: a restart reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.acquisition.poller import Poller
from gateway.config.bus import Meter
from gateway.devices.blocks import contents
from gateway.errors import Declined, GatewayError
from gateway.fieldbus.specs import FieldLine, Poll
from gateway.messages.message import Message
from gateway.storage.writer import Writer
from ledger_client.accounting.formats.words import EXCHANGE
from ledger_client.formats.record import COMMISSIONED, Event, parse_record
from ledger_client.formats.senml import Quality, Reading


@dataclass(slots=True)
class _Exchange:
    """An accepted exchange that waits for the first reading of the new device."""

    old: str
    new: str
    reason: str
    user: str
    stated: Mapping[str, Any]
    last: dict[str, Any]
    recorded: asyncio.Future[int]
    """When the first reading of the new device was, in ms."""


class MeterIdentity:
    """``poll`` is the callback of every line; ``accept`` is what `meterseal accept` orders."""

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
            self._known[poll.meter] = exchange.new
            self._on_event(poll.meter, self._event(exchange, poll))
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

    def exchange(self, line: FieldLine, meter: str) -> tuple[str, str]:
        """The device that stands for a meter, "" where none has said who it is, and the one that answers in its place.

        Raises:
            Declined: the meter was not exchanged.
            GatewayError: an acceptance of the meter is pending.
        """
        stranger, old = line.stranger(meter), self._known.get(meter, "")
        if stranger is None:
            if not old:
                raise Declined(Message("accept-no-identity", meter=meter))
            raise Declined(Message("accept-known-device", meter=meter, identity=old))
        if meter in self._exchanges:
            raise GatewayError(Message("accept-pending", meter=meter))
        return old, stranger

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
            Declined: the meter was not exchanged, or another number answers.
            GatewayError: another acceptance of the meter is pending.
        """
        old, stranger = self.exchange(line, meter)
        if serial not in (stranger, *(word.partition("=")[2] for word in stranger.split(", "))):
            raise Declined(Message("accept-other-number", meter=meter, stranger=stranger, serial=serial))
        row = await asyncio.wrap_future(self._writer.call(lambda store: store.records.newest(meter, "reading")))
        last = parse_record(row.data).body if row else None
        recorded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._exchanges[meter] = _Exchange(old, stranger, reason, user, stated, _recorded_values(last), recorded)
        line.accept(meter, stranger)
        return {"meter": meter, "old": old, "new": stranger, "time_ms": await recorded}

    def _event(self, exchange: _Exchange, poll: Poll) -> Event:
        fields: dict[str, Any] = {
            "identity": exchange.new,
            "old": exchange.old,
            "last": exchange.last,
            "first": self._first_values(poll),
        }
        told = {"reason": exchange.reason, "user": exchange.user, **exchange.stated}
        return Event(EXCHANGE, fields | {name: fact for name, fact in told.items() if fact})

    def _first_values(self, poll: Poll) -> dict[str, Any]:
        read = [(answer.block, answer.raw) for answer in poll.answers]
        values = contents(read, self._meters[poll.meter].factors)
        return {name: value for name, value in values.items() if value is not None}


def _recorded_values(body: object) -> dict[str, Any]:
    """A reading's values by point; what had no value is left out."""
    values = body.values if isinstance(body, Reading) else ()
    return {value.name: value.value for value in values if value.value is not None}
