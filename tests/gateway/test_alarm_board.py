"""An alarm's life on a clock in the test's hands: delay, deadband, many that are one, people, restarts, a full disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.alarm_board import Board, Standing
from gateway.alarm_kinds import KINDS
from gateway.config import Config
from gateway.fieldbus.bus import Alarm
from gateway.live import Live
from gateway.news import Missed
from gateway.store import Store
from ledger_client.record import Event, parse_record
from tests.gateway.samples import Machine, recorder, site

METER, LINE, OTHER = "export-main", "rs485-1", "stack-co2"
DELAY_S, CLEAR_S = (KINDS["comms-lost"].delay_ms + 1) / 1000, (KINDS["comms-lost"].clear_ms + 1) / 1000


class Desk:
    """A board over a real recorder, whose time a test moves. ``told``: what its listener heard."""

    def __init__(self, loaded: Config, machine: Machine, lines: dict[str, Sequence[str]]) -> None:
        self.loaded, self.machine, self.lines = loaded, machine, lines
        self.start(b"\1" * 8)

    def start(self, epoch: bytes) -> None:
        store = Store(self.loaded.database)
        self.clock = self.machine.clock(store.latest_ms())
        store.close()
        self.recorder, _ = recorder(self.loaded, self.clock, epoch)
        self.recorder.start()
        self.live = Live({*self.loaded.meters, *(name for names in self.lines.values() for name in names)})
        reader = Store(self.loaded.database, read_only=True)
        self.board = Board(reader, self.recorder, self.clock, self.live, self.lines, {METER: 10_000})
        reader.close()
        self.told: list[Standing] = []
        self.board.listeners.append(self.told.append)
        self.board.tick()

    def restart(self) -> None:
        self.settle()
        self.recorder.stop()
        self.start(bytes([self.recorder._journal._signer.epoch[0] + 1]) * 8)

    def passes(self, seconds: float) -> None:
        self.machine.passes(seconds)
        self.board.tick()

    def settle(self) -> None:
        """Everything is in the database."""
        while self.board._keep():
            self.recorder.call(lambda _: None).result(timeout=30)

    def line(self, code: str, meter: str | None, raised: bool, line: str = LINE) -> None:
        self.board.line_alarm(Alarm(line, meter, code, f"{line}: {meter or 'all'} {code}", raised))

    def codes(self) -> list[tuple[str, str]]:
        return [(row.source, row.code) for row in self.board.standing()]

    def events(self, name: str = "alarm") -> list[tuple[str, dict[str, Any]]]:
        rows = self.recorder.call(lambda store: store.epoch_events()).result(timeout=30)
        bodies = [(row.meter, parse_record(row.data).body) for row in rows]
        return [(meter, dict(body.fields)) for meter, body in bodies if isinstance(body, Event) and body.name == name]

    def rows(self) -> list[Standing]:
        self.settle()
        return self.recorder.call(lambda store: store.alarms()).result(timeout=30)


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site")


@pytest.fixture
def desk(loaded: Config) -> Iterator[Desk]:
    made = Desk(loaded, Machine(), {LINE: [METER, OTHER, "third"], "tcp-1": ["pv-inverter"]})
    yield made
    made.recorder.stop()


def test_what_does_not_last_is_no_alarm(desk: Desk) -> None:
    desk.line("comms-lost", METER, True)
    desk.passes(DELAY_S - 1)
    desk.line("comms-lost", METER, False)
    desk.passes(3600)
    assert (desk.told, desk.codes(), desk.events()) == ([], [], [])


def test_what_lasts_is_raised_after_its_delay_and_names_meter_line_and_since_when(desk: Desk) -> None:
    began_ms = desk.clock.now_ms()
    desk.live.hear([Missed(METER, began_ms, "timeout")])
    desk.passes(4)
    desk.line("comms-lost", METER, True)
    desk.passes(5.9)
    assert desk.told == []
    desk.passes(0.2)
    (row,) = desk.board.standing()
    assert (row.source, row.line, row.since_ms, row.raised_ms) == (METER, LINE, began_ms, desk.clock.now_ms())
    assert (row.active, row.severity) == (True, "error")
    ((meter, fields),) = desk.events()
    assert (meter, fields["since"], fields["raised"]) == (METER, began_ms, True)
    assert desk.rows() == [row]
    desk.line("comms-lost", METER, False)
    desk.passes(CLEAR_S)
    (over,) = desk.board.standing()
    assert (over.id, over.active, over.acked_ms) == (row.id, False, None)
    assert [fields["raised"] for _, fields in desk.events()] == [True, False]
    assert [one.active for one in desk.told] == [True, False]


def test_an_alarm_with_no_other_meter_on_its_line_is_the_meters_own(desk: Desk) -> None:
    desk.line("line-down", None, True, "tcp-1")
    desk.passes(DELAY_S)
    (row,) = desk.board.standing()
    assert (row.source, row.code, row.line) == ("pv-inverter", "line-down", "tcp-1")
