"""A context of parts that a test has made itself."""

from __future__ import annotations

from gateway.accounting.statements.keeper import Keeper
from gateway.alarms.board import AlarmBoard
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.fieldbus.polling.line import Line
from gateway.recording.live_state import Live
from gateway.recording.notifications import Hub
from gateway.recording.recorder import Recorder
from gateway.runtime.context import FeedStates, GatewayContext


class InForce:
    """The configuration in force, which a test exchanges."""

    def __init__(self, config: Config) -> None:
        self.now = config

    def config(self) -> Config:
        """As ``GatewayContext.in_force`` asks for it."""
        return self.now


def context(
    in_force: InForce,
    clock: Clock,
    recorder: Recorder,
    live: Live,
    board: AlarmBoard,
    lines: dict[str, Line] | None = None,
    hub: Hub | None = None,
) -> GatewayContext:
    """What an epoch would make of these parts, without ledgers and without orders."""
    return GatewayContext(
        in_force=in_force.config,
        clock=clock,
        recorder=recorder,
        hub=hub or Hub(),
        live=live,
        board=board,
        lines={} if lines is None else lines,
        uplinks={},
        feeds=FeedStates(),
        receivers=FeedStates(),
        keeper=Keeper(in_force.now.database, clock.now_ms),
        orders={},
        reload_state=dict,
    )
