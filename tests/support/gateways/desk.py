"""A board of alarms over a real recorder, on a machine whose time a test moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.alarms.board import AlarmBoard
from gateway.alarms.grouping import lines_of
from gateway.config.device_keys import make_missing
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.fieldbus.specs import Alarm
from gateway.recording.live_state import Live
from gateway.records import MissedPoll
from gateway.startup.line_specs import line_specs
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from tests.support.announced import check_shape
from tests.support.samples import START_S, Machine, recorder, site

Lines = Mapping[str, Sequence[str]]
BUS = '[[bus]]\nname = "{}"\ntype = "modbus-tcp"\nhost = "127.0.0.1"\nport = {}\n'
METER = '[[bus.meter]]\nname = "{}"\nprofile = "sunspec-inverter"\naddress = {}\n'


def wide_site(folder: Path, lines: Lines, more: str = "") -> Config:
    """A site with these lines and their meters, and ``more`` sections."""
    path = site(folder).path
    buses = [
        BUS.format(line, 5000 + n) + "".join(METER.format(meter, i + 1) for i, meter in enumerate(meters))
        for n, (line, meters) in enumerate(lines.items())
    ]
    text = path.read_text()
    path.write_text(text[: text.index("\n[[bus]]") + 1] + "".join(buses) + text[text.index("\n[seal]") :] + more)
    loaded = load_config(path)
    make_missing(loaded, START_S)
    return loaded


class Desk:
    """``notified``: what the board's listener heard, in order."""

    def __init__(self, folder: Path, lines: Lines, machine: Machine | None = None) -> None:
        self.loaded, self.machine, self._starts = wide_site(folder / "site", lines), machine or Machine(), 0
        self.start()

    def start(self) -> None:
        self._starts += 1
        store = Database(self.loaded.database)
        self.clock = self.machine.clock(store.records.latest_ms())
        self.recorder, _ = recorder(self.loaded, self.clock, bytes([self._starts]) * 8)
        self.recorder.start()
        self.live, self.sleeping = Live(self.loaded.meters), set[str]()
        self.lines = lines_of(line_specs(self.loaded))
        self.hosts: dict[str, str] = {}
        looks = lambda line: line in self.sleeping, self.hosts.get
        self.board = AlarmBoard(store, self.recorder, self.clock, self.live, self.lines, *looks)
        store.close()
        self.notified: list[AlarmRow] = []
        self.board.listeners.append(self.notified.append)
        self.board.tick()

    def stop(self) -> None:
        self.settle()
        self.recorder.stop()

    def restart(self, away_s: float = 5.0) -> None:
        self.stop()
        self.machine.passes(away_s)
        self.start()

    def passes(self, seconds: float) -> None:
        self.machine.passes(seconds)
        self.board.tick()

    def settle(self) -> None:
        """Everything that changed is in the database."""
        while self.board._store.save():
            self.recorder.call(lambda _: None).result(timeout=30)

    def line(self, code: str, line: str, meter: str | None = None, *, on: bool = True) -> None:
        """A line's worker tells the board."""
        if on:
            names = [meter] if meter else list(self.lines[line])
            self.live.hear([MissedPoll(name, self.clock.now_ms(), "timeout") for name in names])
        self.board.line_alarm(Alarm(line, meter, code, f"{line}: {meter or 'no meter'} {code}", on))
        self.board.tick()  # it wakes itself where it runs

    def standing(self) -> list[tuple[str, str, str]]:
        """(source, code, line) of all that stand, in order of their numbers."""
        rows = sorted(self.board.listed(), key=lambda row: row.id)
        return [(row.source, row.code, row.line) for row in rows]

    def one(self) -> AlarmRow:
        """The one alarm that stands."""
        (row,) = self.board.listed()
        return row

    def rows(self) -> list[AlarmRow]:
        """The same from the database."""
        self.settle()
        return self.recorder.call(lambda store: store.alarms.open()).result(timeout=30)

    def events(self, name: str = "alarm") -> list[tuple[str, dict[str, Any]]]:
        """(meter, fields) of this epoch's events of one name."""
        rows = self.recorder.call(lambda store: store.records.epoch_events()).result(timeout=30)
        bodies = [(row.meter, parse_record(row.data).body) for row in rows]
        for _, body in bodies:
            assert isinstance(body, Event)
            check_shape(body)
        return [(meter, dict(body.fields)) for meter, body in bodies if isinstance(body, Event) and body.name == name]

    def raised(self) -> list[tuple[str, bool]]:
        """(code, raised) of this epoch's alarm events."""
        return [(fields["code"], fields["raised"]) for _, fields in self.events()]
