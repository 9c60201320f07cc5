"""HJ 212 as a kind of source: the stations of a line specification, and the listener that hears them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gateway.clock import Clock
from gateway.devices.decode_text import MessageBlock
from gateway.devices.places import Factor
from gateway.devices.points import UNRECORDED
from gateway.fieldbus.hj212.refused import ListenerFacts
from gateway.fieldbus.hj212.source import Hj212Source, Station
from gateway.fieldbus.wire.keys import Unit
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Heard
from gateway.messages.message import Message


class Hj212Kind:
    """See ``listening.sources.SourceKind``. Stateless."""

    series = True
    """Each message is a record."""
    gathers = identified = False

    def meters(self, spec: LineSpec) -> Mapping[tuple[Unit, Message], str]:
        """The meters of a line, by station and kind of message."""
        return {(station.mn, station.block.label()): station.meter for station in stations(spec)}

    def place(self, heard: Heard) -> tuple[Unit, Message]:
        """A station, and a kind of message."""
        return heard.unit, heard.block.label()

    def silence(self, spec: LineSpec, meter: MeterSpec | None, came: Counter[str]) -> Message:
        """That what came was refused, or that nothing did."""
        if meter is not None:
            return Message("meter-sends-nothing", line=spec.name, meter=meter.name, where=spec.where)
        if not came:
            return Message("line-sends-nothing", line=spec.name, where=spec.where)
        reasons = tuple(f"{reason} {count}" for reason, count in sorted(came.items()))
        return Message("hj212-only-refused", line=spec.name, where=spec.where, n=came.total(), reasons=reasons)

    def facts(self, spec: LineSpec) -> ListenerFacts:
        """Those of a line that is new."""
        return ListenerFacts()

    async def open(self, spec: LineSpec, clock: Clock, facts: ListenerFacts) -> Hj212Source:
        """Listen. Raises PortError."""
        assert spec.listen is not None
        assert spec.timezone is not None
        source = Hj212Source(stations(spec), spec.timezone, clock.now_ms, facts)
        await source.open(*spec.listen, spec.networks)
        return source


def stations(spec: LineSpec) -> list[Station]:
    """The kinds of data of stations that a line's meters stand for."""
    found = []
    for meter in spec.meters:
        command = str(meter.profile.cn)
        block = MessageBlock(f"CN {command}", meter.points)
        places = {point.name: point.at.where for point in meter.points if point.kind not in UNRECORDED}
        codes = frozenset(p.at.factor for p in meter.profile.points if isinstance(p.at, Factor))
        found.append(Station(meter.name, str(meter.address), command, block, places, codes, meter.password))
    return found
