"""Edge node without its connection: topics, payloads, sequence numbers, and the definitions of each birth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.devices.points import Point
from gateway.feeds.reading_message import FeedReading
from gateway.feeds.sparkplug.metrics import (
    BOOLEAN,
    DOUBLE,
    INT64,
    STRING,
    Definition,
    datatype_for,
    datatype_of,
    exact,
    fill,
    fits,
    properties,
    unknown,
)
from gateway.feeds.sparkplug.payload import LONGEST, Payload, parse

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
BD_SEQ = "bdSeq"
RECORD = "Record"
"""Metric of every device: the name of the signed record that the other values stand in; null while none is made."""
ALARMS = "Alarms/"
"""Before a meter's name, or ``gateway``: the alarms that stand, as a JSON list."""


@dataclass(slots=True)
class Device:
    """A meter as its birth defines it. ``born``: since the last NBIRTH, and not dead."""

    name: str
    metrics: dict[str, Definition] = field(default_factory=dict)
    born: bool = False


class Node:
    """One edge node. Every payload is made in the order in which it is sent."""

    def __init__(self, group: str, gateway: str, software: str, now_ms: Callable[[], int]) -> None:
        self._group, self._gateway, self._software, self._now_ms = group, gateway, software, now_ms
        self._bd_seq, self._seq, self._alias = 0, 0, 0
        self._node: dict[str, int] = {}
        self._devices: dict[str, Device] = {}

    def topic(self, kind: str, device: str | None = None) -> str:
        """``spBv1.0/GROUP/KIND/GATEWAY``, and ``/METER`` for what concerns a meter."""
        return f"{NAMESPACE}/{self._group}/{kind}/{self._gateway}" + (f"/{device}" if device else "")

    def forget(self) -> None:
        """The meters are others: the next births define everything anew."""
        self._devices, self._node = {}, {}

    # — the node —

    def next_connection(self) -> None:
        """The number of births and deaths that belong together is another one from now on."""
        self._bd_seq = (self._bd_seq + 1) % 256

    def ndeath(self) -> bytes:
        """The NDEATH of this connection: its last will, or published before an orderly disconnection."""
        payload = Payload(timestamp=self._now_ms())
        self._add_bd_seq(payload)
        return self._bytes(payload)

    def nbirth(self, alarms: Mapping[str, str]) -> bytes:
        """Sequence numbers begin again, and no device is born. ``alarms``: texts of the metrics ``ALARMS``."""
        now = self._now_ms()
        for device in self._devices.values():
            device.born = False
        payload = Payload(timestamp=now, seq=0)
        self._seq = 0
        self._add_bd_seq(payload).alias = self._node_alias(BD_SEQ)
        payload.metrics.add(name=REBIRTH, timestamp=now, datatype=BOOLEAN, boolean_value=False)
        texts = {"Properties/Software": self._software} | {ALARMS + source: text for source, text in alarms.items()}
        for name, text in texts.items():
            alias = self._node_alias(name)
            payload.metrics.add(name=name, alias=alias, timestamp=now, datatype=STRING, string_value=text)
        return self._bytes(payload)

    def ndata(self, alarms: Mapping[str, str]) -> bytes:
        """Alarm texts that have changed, of sources that the NBIRTH knew."""
        payload = self._next()
        for source, text in alarms.items():
            alias = self._node_alias(ALARMS + source)
            payload.metrics.add(alias=alias, timestamp=payload.timestamp, string_value=text)
        return self._bytes(payload)

    # — devices —

    def device(self, name: str) -> Device:
        """A meter, which may be new."""
        return self._devices.setdefault(name, Device(name))

    def define(self, device: Device, points: Iterable[Point]) -> None:
        """A meter's points as its profile has them."""
        if RECORD not in device.metrics:
            device.metrics[RECORD] = Definition(self._next_alias(), STRING)
        for point in points:
            if point.name not in device.metrics:
                definition = Definition(self._next_alias(), datatype_of(point), point.unit)
                device.metrics[point.name] = definition

    def understands(self, device: Device, readings: Sequence[FeedReading]) -> bool:
        """Whether the device's birth defined all of these values; what it did not is defined for its next birth."""
        good = RECORD in device.metrics
        self.define(device, ())
        for value in (value for one in readings for value in one.reading.values):
            known = device.metrics.get(value.name)
            if known is None or not fits(known.datatype, value.value):
                kind = datatype_for(value.value) if known is None or isinstance(value.value, str | bool) else DOUBLE
                device.metrics[value.name] = Definition(known.alias if known else self._next_alias(), kind, value.unit)
                good = False
        return good

    def dbirth(self, device: Device, newest: FeedReading | None) -> bytes:
        """All metrics of a device with their values now; without a reading they have none."""
        payload = self._next()
        values = {} if newest is None else {value.name: value for value in newest.reading.values}
        for name, known in device.metrics.items():
            metric = payload.metrics.add(
                name=name, alias=known.alias, timestamp=payload.timestamp, datatype=known.datatype
            )
            if newest is not None and (name in values or name == RECORD):
                continue
            metric.is_null = True
            if name != RECORD:
                metric.properties.CopyFrom(unknown(known.unit))
        if newest is not None:
            self._fill(device, newest, {m.name: m for m in payload.metrics}, birth=True)
        device.born = True
        return self._bytes(payload)

    def ddata(self, device: Device, readings: Sequence[FeedReading], *, historical: bool = False) -> bytes:
        """Readings of a device, oldest first."""
        payload = self._next()
        for one in readings:
            metrics = {}
            for name in (*(value.name for value in one.reading.values), RECORD):
                metrics[name] = metric = payload.metrics.add(alias=device.metrics[name].alias)
                if historical:
                    metric.is_historical = True
            self._fill(device, one, metrics, birth=False)
        return self._bytes(payload)

    def ddeath(self, device: Device) -> bytes:
        """A device is gone."""
        device.born = False
        return self._bytes(self._next())

    def _fill(self, device: Device, one: FeedReading, metrics: Mapping[str, Any], *, birth: bool) -> None:
        recorded = one.record is not None
        for value in one.reading.values:
            metric, known = metrics[value.name], device.metrics[value.name]
            metric.timestamp = one.reading.time_ms + value.offset_ms
            fill(metric, known.datatype, value.value)
            digits = exact(known.datatype, value.value)
            unit = known.unit if birth else None
            metric.properties.CopyFrom(properties(value.quality, recorded=recorded, exactly=digits, unit=unit))
        metrics[RECORD].timestamp = one.reading.time_ms
        fill(metrics[RECORD], STRING, one.record)

    # — numbers —

    def _add_bd_seq(self, payload: Any) -> Any:
        return payload.metrics.add(name=BD_SEQ, timestamp=payload.timestamp, datatype=INT64, long_value=self._bd_seq)

    def _next(self) -> Any:
        self._seq = (self._seq + 1) % 256
        return Payload(timestamp=self._now_ms(), seq=self._seq)

    def _next_alias(self) -> int:
        self._alias += 1
        return self._alias

    def _node_alias(self, name: str) -> int:
        if name not in self._node:
            self._node[name] = self._next_alias()
        return self._node[name]

    @staticmethod
    def _bytes(payload: Any) -> bytes:
        return bytes(payload.SerializeToString())


def asks_for_rebirth(data: bytes) -> bool:
    """Whether an NCMD is a rebirth request; every other command is none that this node knows."""
    payload = parse(data) if len(data) <= LONGEST else None
    return payload is not None and any(m.name == REBIRTH and m.boolean_value for m in payload.metrics)
