"""Gateway context: the parts of one running epoch, for dashboard, feeds, metrics, alarms and watchdog.

They hear the news, look at the parts and give orders; nothing of them stands between a meter and the database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.accounting.statements.keeper import Keeper
from gateway.alarms.board import AlarmBoard
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.errors import Declined
from gateway.fieldbus.specs import FieldLine
from gateway.messages.message import Message
from gateway.process.control_server import Order
from gateway.recording.live_state import Live
from gateway.recording.notifications import Hub
from gateway.recording.recorder import Recorder


class FeedStates:
    """How each running feed stands, or each receiver of notifications, by its name. It joins when it is made and leaves
    when it is closed. Event loop only."""

    def __init__(self) -> None:
        self._facts: dict[str, Callable[[], Mapping[str, Any]]] = {}

    def join(self, name: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        """A feed is there. ``facts``: connected, its state in words, what waits and was published."""
        self._facts[name] = facts

    def leave(self, name: str) -> None:
        """A feed is gone."""
        del self._facts[name]

    def names(self) -> Collection[str]:
        """The feeds that are there."""
        return self._facts.keys()

    def facts(self, name: str) -> Mapping[str, Any]:
        """How one of ``names`` stands now."""
        return self._facts[name]()


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """The parts of one epoch that are looked at; what they hold follows a reload.

    Not to be used from other threads than the event loop's, but for ``recorder.call``.
    """

    in_force: Callable[[], Config]
    """The configuration in force now."""
    clock: Clock
    recorder: Recorder
    hub: Hub
    live: Live
    board: AlarmBoard
    lines: Mapping[str, FieldLine]
    """Each physical line by its name."""
    uplinks: Mapping[str, Uplink]
    """Each ledger's uplink by the ledger's name."""
    feeds: FeedStates
    receivers: FeedStates
    """Those of notifications."""
    keeper: Keeper
    """What is known of the accounting."""
    orders: Mapping[str, Order]
    """What can be ordered, by name: over the control socket, and by whoever may on the pages."""
    reload_state: Callable[[], Mapping[str, Any]]
    """How it stands with the configuration in force: ``trial``, the meters that have to answer before it stays,
    ``reverted``, why the one before came back, and ``stuck``, why it cannot, both as messages."""

    @property
    def config(self) -> Config:
        """The configuration in force now."""
        return self.in_force()

    def line_of(self, meter: str) -> FieldLine:
        """The line that a meter hangs on. Raises Declined: there is none."""
        return line_of(self.lines, meter, self.config.path)

    async def order(self, name: str, **details: Any) -> dict[str, Any]:
        """Give an order as the control socket would. Raises GatewayError: why not, and the way out."""
        return await self.orders[name]({"order": name, **details})


def line_of(lines: Mapping[str, FieldLine], meter: str, path: Path) -> FieldLine:
    """The line that a meter hangs on; ``path``: of the configuration. Raises Declined: there is none."""
    for line in lines.values():
        if any(each.name == meter for each in line.spec.meters):
            return line
    raise Declined(Message("order-no-meter", meter=meter, path=str(path)))
