"""Orders to the running gateway, by name: over the control socket, and by users of the pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.acquisition.meter_identity import MeterIdentity
from gateway.agent.commissions import Commissions
from gateway.agent.lines import LineSet
from gateway.agent.reload import Reload
from gateway.alarms.board import AlarmBoard
from gateway.alarms.orders import orders
from gateway.commissioning.record.live_values import LOOK
from gateway.commissioning.record.submit import COMMISSION
from gateway.config.notify import NOTIFY
from gateway.errors import Declined
from gateway.messages.message import Message
from gateway.process.control_server import Order
from gateway.recording.live_state import Live
from gateway.recording.recorder import Recorder
from gateway.records import GATEWAY
from gateway.runtime.context import FeedStates
from ledger_client.formats.record import Event

if TYPE_CHECKING:
    from gateway.agent.accounting_orders import AccountingOrders

SHARED_CLEARED = "shared-cleared"  # somebody says that the other master is off the line
FEED = "feed "
"""Before the name of a feed: the order that asks how it stands."""


class Orders(Mapping[str, Order]):
    """What can be ordered of one epoch. An order raises GatewayError: why not, and the way out."""

    def __init__(
        self,
        path: Path,
        recorder: Recorder,
        board: AlarmBoard,
        commissioning: MeterIdentity,
        lines: LineSet,
        feeds: FeedStates,
        receivers: FeedStates,
        reload: Reload,
        commissions: Commissions,
        live: Live,
    ) -> None:
        """``path``: of the configuration."""
        self._path, self._recorder, self._board, self._commissioning = path, recorder, board, commissioning
        self._commissions, self._live = commissions, live
        self._lines, self._reload = lines, reload
        self._states = {FEED: feeds, NOTIFY: receivers}
        self._accounting: AccountingOrders | None = None
        self._fixed: dict[str, Order] = {
            **{name: partial(self._of_accounting, name) for name in ("accept", "registers", "sign")},
            "health": self._health,
            "refused": self._refused,
            "lines": self._line_polls,
            **orders(board),
            "preview": reload.preview,
            "reload": self._reloaded,
            COMMISSION: commissions.commission,
            LOOK: commissions.look,
            "clear-shared": self._clear_shared,
        }

    def __getitem__(self, name: str) -> Order:
        if name in self._fixed:
            return self._fixed[name]
        if name in self._of_states():
            return self._state
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter((*self._fixed, *self._of_states()))

    def __len__(self) -> int:
        return len(self._fixed) + len(self._of_states())

    def _of_states(self) -> list[str]:
        return [first + name for first, states in self._states.items() for name in states.names()]

    async def _reloaded(self, order: Mapping[str, Any]) -> dict[str, Any]:
        done = await self._reload.reload(order)
        await self._commissions.take_waiting()
        return done

    async def _of_accounting(self, name: str, order: Mapping[str, Any]) -> dict[str, Any]:
        if self._accounting is None:
            from gateway.agent.accounting_orders import AccountingOrders  # most gateways never get such an order

            self._accounting = AccountingOrders(self._path, self._recorder, self._commissioning, self._lines)
        work: Order = getattr(self._accounting, name)
        return await work(order)

    async def _clear_shared(self, order: Mapping[str, Any]) -> dict[str, Any]:
        name, user = order["line"], order["user"]
        line = self._lines.by_name.get(name)
        if line is None or not (stranger := line.clear_shared()):
            raise Declined(Message("shared-not-known", line=name))
        facts = {"line": name, "stranger": stranger, "user": user}
        self._recorder.happened(GATEWAY, Event(SHARED_CLEARED, facts))
        return facts

    async def _health(self, _: Mapping[str, Any]) -> dict[str, Any]:
        active = [row.as_json() for row in self._board.listed() if row.active]
        lines = {"closing": self._lines.closing(), "listening": self._lines.listening()}
        silences = {name: silence for name, now in self._live.meters.items() if (silence := now.silence)}
        return (
            self._recorder.health()
            | {"configuration": self._reload.health(), "alarms": active, **lines}
            | {"commissioning": self._commissions.health(), "silences": silences}
        )

    async def _line_polls(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return self._lines.recent_polls.as_json()

    async def _refused(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"refused": self._lines.refused()}

    async def _state(self, order: Mapping[str, Any]) -> dict[str, Any]:
        first = FEED if order["order"].startswith(FEED) else NOTIFY
        return dict(self._states[first].facts(order["order"].removeprefix(first)))
