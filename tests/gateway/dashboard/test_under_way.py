"""The pages while the site changes under them: lines and ledgers come and go, and a connection breaks under a page."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.dashboard.db_readers import db_readers
from gateway.dashboard.pages.diagnosis import Rounds
from gateway.dashboard.pages.ledgers import ledgers
from gateway.dashboard.pages.line_load import EVERY_S, Loads
from gateway.dashboard.shell.readers import MOST_WAITING, Busy
from gateway.doctor.check import Finding
from gateway.errors import Declined, StoreError
from gateway.fieldbus.polling.line import Line
from gateway.startup.line_specs import line_specs
from gateway.storage.database import Database
from tests.support.gateways.contexts import InForce, context
from tests.support.gateways.desk import Desk


class Changing(Desk):
    """A desk with a site of one line, ``bus-1`` with ``meter-a``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {"bus-1": ["meter-a"]})
        self.opened: dict[str, Line] = {}
        self.in_force = InForce(self.loaded)
        self.site = context(self.in_force, self.clock, self.recorder, self.live, self.board, self.opened)
        self.open("bus-1")

    def open(self, name: str) -> None:
        """A line of this name, as new."""
        (spec,) = line_specs(self.loaded)
        self.opened[name] = Line(replace(spec, name=name), self.clock, lambda _: None)


def at_a_desk(folder: Path, work: Callable[[Changing], None]) -> None:
    async def inside() -> None:
        desk = Changing(folder)
        try:
            work(desk)
        finally:
            desk.stop()

    asyncio.run(inside())


def until_ended(rounds: Rounds) -> Sequence[Finding]:
    """What the doctor found, when he is done."""
    rounds.look()
    for thread in threading.enumerate():
        if thread.name == "doctor":
            thread.join(60)
    return rounds.look().findings


def test_the_load_of_a_line_that_was_opened_under_way_is_not_known_yet(tmp_path: Path) -> None:
    def work(desk: Changing) -> None:
        loads = Loads(desk.opened, desk.clock)
        desk.opened["bus-1"].busy_s = 50.0
        loads.hear([])
        desk.machine.passes(EVERY_S)
        loads.hear([])
        desk.open("bus-1")
        desk.open("bus-2")
        assert (loads.of("bus-1"), loads.of("bus-2")) == (None, None)
        desk.machine.passes(EVERY_S)
        loads.hear([])
        for line in desk.opened.values():
            line.busy_s = 1.0
        desk.machine.passes(EVERY_S)
        assert (loads.of("bus-1"), loads.of("bus-2")) == (1.0 / EVERY_S, 1.0 / EVERY_S)

    at_a_desk(tmp_path, work)


def test_a_ledger_whose_uplink_is_still_to_be_made_is_away(tmp_path: Path) -> None:
    def work(desk: Changing) -> None:
        assert [ledger.state for ledger in ledgers(desk.loaded, ())] == ["away"]

    at_a_desk(tmp_path, work)


def test_an_order_about_a_meter_that_no_line_has_is_declined_with_a_way_out(tmp_path: Path) -> None:
    def work(desk: Changing) -> None:
        assert desk.site.line_of("meter-a").spec.name == "bus-1"
        with pytest.raises(Declined, match="reload"):
            desk.site.line_of("meter-b")

    at_a_desk(tmp_path, work)


def test_the_doctor_examines_the_configuration_that_is_in_force(tmp_path: Path) -> None:
    def work(desk: Changing) -> None:
        rounds = Rounds(desk.in_force.config, desk.board, desk.clock)
        until_ended(rounds)
        path = desk.loaded.path
        path.write_text(path.read_text().replace("bus-1", "bus-2"))
        desk.in_force.now = load_config(path)
        assert rounds.look().running, "what was found is of another configuration"
        names = " ".join(finding.check for finding in until_ended(rounds))
        assert "bus-2" in names
        assert "bus-1" not in names

    at_a_desk(tmp_path, work)


def test_a_connection_that_breaks_under_a_page_costs_no_thread(tmp_path: Path) -> None:
    async def work(desk: Changing) -> None:
        readers = db_readers(desk.loaded.database, threads=1)
        try:
            with pytest.raises(StoreError):
                await readers.call(lambda store: store.close())
            async with asyncio.timeout(60):
                assert await readers.call(lambda store: store.batches.last()) is None
        finally:
            readers.close()
            desk.stop()

    async def inside() -> None:
        await work(Changing(tmp_path))

    asyncio.run(inside())


def test_nobody_waits_for_readers_that_are_no_more(tmp_path: Path) -> None:
    Database(tmp_path / "meterseal.db").close()
    begun, go = threading.Event(), threading.Event()

    def held(_: Database) -> bool:
        begun.set()
        return go.wait(30)

    async def test() -> None:
        readers = db_readers(tmp_path / "meterseal.db", threads=1)
        calls = [readers.call(held)]
        await asyncio.to_thread(begun.wait)
        calls += [readers.call(held) for _ in range(MOST_WAITING)]
        readers.close()
        go.set()
        async with asyncio.timeout(20):
            *answered, dropped = sorted(
                await asyncio.gather(*calls, return_exceptions=True), key=lambda one: one is not True
            )
            assert answered == [True] * MOST_WAITING
            assert isinstance(dropped, Busy)
            with pytest.raises(Busy, match="the pages are shutting down"):
                await readers.call(held)

    asyncio.run(test())
