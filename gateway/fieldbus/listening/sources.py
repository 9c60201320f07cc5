"""Kinds of sources: how a line of each type that is listened to is opened, and which meter a message is of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from gateway.clock import Clock
from gateway.fieldbus.hj212.source_kind import Hj212Kind
from gateway.fieldbus.modbus.passive_source import PassiveKind
from gateway.fieldbus.obis.p1_source import P1Kind
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Heard, Source
from gateway.messages.message import Message

Place = tuple[Any, ...]
"""By which a meter is found: begins with its unit; where one unit sends several kinds of block, their label follows."""


class Facts(Protocol):
    """What a source saw beside the messages that it handed on. It outlives the source."""

    @property
    def unnamed(self) -> Mapping[str, set[str]]:
        """By meter: what its messages hold and its profile does not name."""

    @property
    def strays(self) -> Counter[str]:
        """Frames that are none of the line's meters', by kind: ``damaged``, ``noise``, ``foreign``."""

    @property
    def came(self) -> Counter[str]:
        """All that came and was no message of a meter, by what it was, in the words of its protocol."""

    def as_json(self) -> dict[str, Any]:
        """Plain data, for `status`."""

    def refusals(self) -> list[dict[str, Any]]:
        """The newest of what was refused as plain data, for `status --refused`."""


class SourceKind(Protocol):
    """What is listened to on the lines of one type. Stateless."""

    @property
    def series(self) -> bool:
        """Every message is a record (``expected.Series``); else of a state that is sent over and over
        (``expected.State``)."""

    @property
    def gathers(self) -> bool:
        """What is heard in one period makes one poll (``pairs.Pairs``); else each message is one."""

    @property
    def identified(self) -> bool:
        """What is heard tells which device it is of (``recognition.Recognition``); else it is who it says."""

    def meters(self, spec: LineSpec) -> Mapping[Place, str]:
        """The meters of a line, by their places."""

    def place(self, heard: Heard) -> Place:
        """The place of the meter that a message is of."""

    def silence(self, spec: LineSpec, meter: MeterSpec | None, came: Counter[str]) -> Message:
        """What to say of a line (``meter``: of one whose others send) of which no message comes: what came instead,
        and what to look at."""

    def facts(self, spec: LineSpec) -> Facts:
        """Those of a line that is new."""

    async def open(self, spec: LineSpec, clock: Clock, facts: Any) -> Source:
        """Listen. ``facts``: as ``facts()`` has made them. Raises PortError, or LineDown."""


SOURCES: dict[str, SourceKind] = {"hj212": Hj212Kind(), "p1": P1Kind()}
"""By type of bus."""
PASSIVE: SourceKind = PassiveKind()


def source_kind(spec: LineSpec) -> SourceKind | None:
    """How a line is listened to; None: its meters are asked."""
    return PASSIVE if spec.passive else SOURCES.get(spec.type)
