"""Signed events of alarms: raised, cleared, acknowledged, shelved, unshelved. Event loop only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.alarms.state import AlarmState
from gateway.alarms.store import EventSink
from gateway.recording.live_state import Live
from gateway.records import ALARM, GATEWAY, sentence_fields
from ledger_client.formats.record import Event

ACKNOWLEDGED, SHELVED, UNSHELVED = "alarm-acknowledged", "alarm-shelved", "alarm-unshelved"  # names of events


class AlarmEvents:
    """Events of the meter, or of the gateway: also where the meter has left the configuration and signs no more."""

    def __init__(self, sink: EventSink, live: Live) -> None:
        self._sink, self._live = sink, live

    def raised(self, state: AlarmState) -> None:
        """An event `alarm`, unless the finder of this kind signs its own."""
        self._alarm(state, {"raised": True, "since": state.since_ms})

    def cleared(self, state: AlarmState) -> None:
        """The same of its end."""
        self._alarm(state, {"raised": False})

    def acted(self, state: AlarmState, name: str, facts: Mapping[str, Any]) -> None:
        """An event of this name: what an operator did, or the end of a time that he gave."""
        self._happened(state, name, {"code": state.key.code, "line": state.key.line, **facts})

    def _alarm(self, state: AlarmState, facts: Mapping[str, Any]) -> None:
        if not state.kind.signed_by_finder:
            fields = {"code": state.key.code, "line": state.key.line, **sentence_fields(state.sentence), **facts}
            self._happened(state, ALARM, fields)

    def _happened(self, state: AlarmState, name: str, fields: Mapping[str, Any]) -> None:
        source = state.key.source
        if source == GATEWAY or source in self._live.meters:
            self._sink.happened(source, Event(name, fields))
        else:
            self._sink.happened(GATEWAY, Event(name, {**fields, "meter": source}))
