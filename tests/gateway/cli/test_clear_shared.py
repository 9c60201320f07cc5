"""Another master that is off the line again: `meterseal clear-shared` takes its flag away, by a signed event."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.fieldbus.modbus.frames import Request
from gateway.process import control_socket
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from tests.gateway.fieldbus.devices import Pty, addresses, answer, rtu_talk, serving
from tests.support.announced import check_shape
from tests.support.commands import Answer, gateway_command
from tests.support.epochs import running, until
from tests.support.samples import INVERTER_PORT, site
from tests.system.demo_site import GatewayProcess

CHANGES = {'every = "10s"': 'every = "100ms"', "stopbits = 1": 'stopbits = 1\nanswer_life = "100ms"'}


def ordered(*words: object, command: str = "clear-shared") -> Answer:
    return gateway_command(command, *words)


def cleared(loaded: Config) -> list[Event]:
    store = Database(loaded.database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.records.events_of("gateway")]
    store.close()
    return [body for body in bodies if isinstance(body, Event) and body.name == "shared-cleared"]


def test_clear_shared_ends_the_flag_of_a_line_at_once_and_says_who_ordered_it(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", CHANGES)

    async def work() -> None:
        pty = Pty(loaded.path.parent / "rs485-1", addresses)
        async with running(loaded) as epoch:
            line = epoch.site.lines["rs485-1"]
            await until(lambda: line.last_answered("export-main"))
            no = await asyncio.to_thread(ordered, loaded.path, "rs485-1")
            assert (no.code, "no other master is known" in no.err) == (1, True), no.err
            await asyncio.sleep(0.1)  # so soon after the start it may be for an earlier process
            pty._write(answer(Request(9, 3, 0, 5)))
            await until(lambda: line.shared)
            done = await asyncio.to_thread(ordered, loaded.path, "rs485-1", "--json")
            assert done.code == 0, done.err
            cleared = done.facts
            assert (cleared["line"], cleared["stranger"][:8]) == ("rs485-1", "09 03 0A")
            assert "(command line)" in cleared["user"]
            assert not line.shared
        pty.unplug()

    asyncio.run(work())
    (event,) = cleared(loaded)
    check_shape(event)
    assert event.fields["line"] == "rs485-1"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("nobody",), "no bus 'nobody'"),
        (("",), "one of rs485-1, inverters"),
        (("export-main",), "no bus 'export-main'"),
        (("rs485-1",), "no gateway is running here"),
        ((), "Missing argument 'BUS'"),
    ],
)
def test_a_bus_that_there_is_not_and_a_gateway_that_does_not_run_are_told(
    tmp_path: Path, words: tuple[str, ...], problem: str
) -> None:
    loaded = site(tmp_path / "site")
    loaded.data.mkdir(exist_ok=True)
    result = ordered(loaded.path, *words)
    assert result.code == 2
    assert problem in result.err


def test_a_bus_that_is_a_part_of_a_line_means_the_line(tmp_path: Path) -> None:
    second = (
        f'[[bus]]\nname = "more"\ntype = "modbus-tcp"\nhost = "127.0.0.1"\nport = {INVERTER_PORT}\n'
        '[[bus.meter]]\nname = "pv-2"\nprofile = "sunspec-inverter"\naddress = 2\n\n[seal]\n'
    )
    loaded = site(tmp_path / "site", {"[seal]\n": second})
    from gateway.cli.orders import _line_of

    assert {_line_of(loaded, name) for name in ("more", "inverters", "inverters_more")} == {"inverters_more"}


ALONE = """
vendor = "Test"
device = "Test meter"
source = "made up for this test"
answer_life_ms = 100
timeout_ms = 60
max_registers = 2
[points]
power = { fc = 4, address = 300, type = "uint16", unit = "W" }
energy = { fc = 3, address = 100, type = "uint32", unit = "kWh", kind = "counter" }
"""


LONE_BLOCK = """
[[bus]]
name = "rs485-1"
type = "modbus-rtu-over-tcp"
host = "127.0.0.1"
port = {}
[[bus.meter]]
name = "export-main"
profile = "alone.toml"
address = 1
every = "400ms"

"""


def recorded(loaded: Config) -> int:
    """How many readings of its meter there are."""
    store = Database(loaded.database, read_only=True)
    found = store.totals()["readings"]
    store.close()
    return int(found)


def lone_block(folder: Path, port: int) -> Config:
    """A site with one meter, whose counter can be read in one shape only."""
    path = site(folder).path
    (folder / "alone.toml").write_text(ALONE)
    text = path.read_text()
    seal = text[text.index("[seal]") : text.index("[[ledger]]")]
    path.write_text(text[: text.index("[[bus]]")] + LONE_BLOCK.format(port) + seal)
    return load_config(path)


def test_points_for_which_no_shape_is_left_are_named_by_alarm_status_and_check(tmp_path: Path) -> None:
    wire: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire.append(writer)
        await rtu_talk(addresses)(reader, writer)

    async def facts_of(loaded: Config, command: str) -> dict[str, Any]:
        result = await asyncio.to_thread(ordered, loaded.path, "--json", command=command)
        found: dict[str, Any] = result.facts
        return found

    async def printed(loaded: Config, command: str) -> str:
        result = await asyncio.to_thread(ordered, loaded.path, command=command)
        return " ".join(result.out.split())

    async def alarms(loaded: Config) -> dict[str, str]:
        health = await asyncio.to_thread(control_socket.give, loaded.data, "health")
        return {alarm["code"]: alarm["text"] for alarm in health["alarms"]}

    async def look(loaded: Config) -> None:
        wire[-1].write(Request(1, 3, 500, 2).frame + answer(Request(1, 3, 500, 2)))
        async with asyncio.timeout(60):
            while "not-asked" not in (found := await alarms(loaded)):
                pass
            assert "not polled: energy; " in found["not-asked"]
            while (meters := (await facts_of(loaded, "status"))["meters"])[0]["not_asked"] != ["energy"]:
                pass
        assert meters[0]["missed"] == {}
        assert "none; not asked: energy" in await printed(loaded, "status")
        assert any("not polled: energy; " in text for text in (await facts_of(loaded, "check"))["lines"][0]["warnings"])
        assert "warning: rs485-1: export-main: not polled: energy; " in await printed(loaded, "check")

    async def work() -> None:
        async with serving(talk) as server:
            loaded = lone_block(tmp_path / "site", server.port)
            gateway = GatewayProcess(loaded)
            await asyncio.to_thread(gateway.start)
            try:
                await until(lambda: wire and recorded(loaded) > 1)
                await look(loaded)
            finally:
                await asyncio.to_thread(gateway.stop)

    asyncio.run(work())
