"""Commissioning in the running gateway: records are signed once, those that wait are taken in, meters are looked at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gateway.acquisition.meter_identity import MeterIdentity
from gateway.acquisition.meter_look import look_of
from gateway.agent.lines import LineSet
from gateway.agent.renewal import InForce
from gateway.commissioning.record import submit
from gateway.commissioning.record.as_recorded import configuration_differences
from gateway.commissioning.record.content import CommissioningRecord
from gateway.commissioning.record.in_force import in_force
from gateway.errors import Declined, GatewayError, StoreError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.failpoints import failpoint
from gateway.recording.recorder import Recorder
from gateway.records import sentence_fields
from gateway.runtime.context import line_of
from gateway.storage.database import Database
from gateway.storage.writer import T
from ledger_client.formats.record import Event, parse_record

log = logging.getLogger("meterseal.agent")


class Commissions:
    """The orders ``commission`` and ``look``, and what waits in the data folder. Event loop only."""

    def __init__(self, in_force: InForce, recorder: Recorder, identities: MeterIdentity, lines: LineSet) -> None:
        self._in_force, self._recorder, self._identities, self._lines = in_force, recorder, identities, lines
        self._signing = asyncio.Lock()
        self._untaken: dict[Path, Message] = {}
        """By file: why a record that waits is not signed."""

    async def look(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The next poll of a meter, with the frames on the wire."""
        meter = order["meter"]
        line = line_of(self._lines.by_name, meter, self._in_force.config().path)
        return {"look": look_of(line.spec, await self._identities.next_poll(meter)).encode()}

    async def commission(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Sign a record; gives its id once it is durable."""
        return {"record": await self._signed(submit.ordered(order["record"]))}

    def health(self) -> list[dict[str, Any]]:
        """Why records that wait are not signed, as messages beside their text."""
        return [sentence_fields(sentence) for sentence in self._untaken.values()]

    async def take_waiting(self) -> None:
        """Sign the records that wait in the data folder. One that cannot be signed goes on waiting; one that cannot be
        read, or is older than what is signed, is set aside. Either is logged, and stands in ``health``."""
        self._untaken.clear()
        for path in submit.waiting(self._in_force.config().data):
            try:
                await self._take(path)
            except OSError as error:
                self._note(path, Message("commissioned-not-read", path=str(path), error=os_error(error)))

    async def _take(self, path: Path) -> None:
        try:
            record = submit.read(path)
        except GatewayError:
            aside = submit.set_aside(path, submit.DAMAGED)
            self._note(path, Message("commissioned-set-aside", path=str(path), aside=str(aside)))
            return
        try:
            newest = await self._looked(partial(in_force, meter=record.meter))
            if newest is not None and newest.record.at_ms > record.at_ms:
                aside = submit.set_aside(path, submit.OLDER)
                older = Message("commissioned-older", meter=record.meter, record=newest.row.id, aside=str(aside))
                self._note(path, older)
                return
            signed = await self._signed(record)
        except GatewayError as error:
            self._note(path, Message("commissioned-waits", meter=record.meter, path=str(path), why=error.sentence))
            return
        failpoint("commissioned")
        submit.done_with(path)
        log.info("commissioning record %s is signed", signed, extra={"meter": record.meter})

    def _note(self, path: Path, sentence: Message) -> None:
        self._untaken[path] = sentence
        log.warning("%s", sentence)

    async def _signed(self, record: CommissioningRecord) -> str:
        """The id of a record, which is durable. Raises GatewayError."""
        event = record.event()
        find = partial(_signed_before, meter=record.meter, event=event)
        async with self._signing:
            if (found := await self._looked(find)) is None:
                self._demand_true(record)
                self._recorder.demand_recording()
                self._know(record)
                self._recorder.happened(record.meter, event)
                found = await self._looked(find)
        if found is None:
            raise StoreError(Message("sign-not-recorded", event=event.name))
        return found

    def _demand_true(self, record: CommissioningRecord) -> None:
        """Raises Declined for a record of another meter, configuration or device than there is."""
        config, meter = self._in_force.config(), record.meter
        line = line_of(self._lines.by_name, meter, config.path)
        found = tuple(configuration_differences(record, config.meters[meter], config.configured[meter]))
        if found:
            raise Declined(
                Message("commissioned-other-configuration", meter=meter, differences=found, path=str(config.path))
            )
        now = line.stranger(meter) or self._identities.known(meter)
        if now is not None and record.identity is not None and now != record.identity:
            raise Declined(Message("commissioned-other-device", meter=meter, now=now, recorded=record.identity))

    def _know(self, record: CommissioningRecord) -> None:
        """Accept this device as the meter from now on, if none was known."""
        if record.identity is not None and self._identities.known(record.meter) is None:
            self._identities.commissioned(record.meter, record.identity)
            line_of(self._lines.by_name, record.meter, self._in_force.config().path).accept(
                record.meter, record.identity
            )

    async def _looked(self, look: Callable[[Database], T]) -> T:
        return await asyncio.wrap_future(self._recorder.call(look))


def _signed_before(store: Database, meter: str, event: Event) -> str | None:
    """The id of the record that holds this event."""
    name = event.name.encode()
    for row in store.records.events_of(meter):
        if name in row.data and parse_record(row.data).body == event:
            return row.id
    return None
