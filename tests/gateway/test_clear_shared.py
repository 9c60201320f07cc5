"""Another master that is off the line again: `meterseal clear-shared` takes its flag away, by a signed event."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.config import Config
from gateway.fieldbus.frames import Request
from gateway.store import Store
from ledger_client.record import Event, parse_record
from tests.fieldbus.devices import Pty, addresses, answer
from tests.gateway.epochs import running, until
from tests.gateway.samples import site

CHANGES = {'every = "10s"': 'every = "100ms"', "stopbits = 1": 'stopbits = 1\nanswer_life = "100ms"'}


def ordered(*words: object) -> Result:
    return CliRunner().invoke(main, ["clear-shared", *map(str, words)])


def cleared(loaded: Config) -> list[Event]:
    store = Store(loaded.database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.events_of("gateway")]
    store.close()
    return [body for body in bodies if isinstance(body, Event) and body.name == "shared-cleared"]


def test_clear_shared_ends_the_flag_of_a_line_at_once_and_says_who_ordered_it(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", CHANGES)

    async def work() -> None:
        pty = Pty(loaded.path.parent / "rs485-1", addresses)
        async with running(loaded) as epoch:
            line = epoch.site.lines["rs485-1"]
            no = await asyncio.to_thread(ordered, loaded.path, "rs485-1")
            assert (no.exit_code, "no other master is known" in no.stderr) == (1, True)
            await until(lambda: line.last_answered("export-main"))
            await asyncio.sleep(0.1)  # so soon after the start it may be for an earlier process
            pty._write(answer(Request(9, 3, 0, 5)))
            await until(lambda: line.shared)
            done = await asyncio.to_thread(ordered, loaded.path, "rs485-1", "--json")
            assert done.exit_code == 0, done.stderr
            told = json.loads(done.stdout)
            assert (told["line"], told["stranger"][:8]) == ("rs485-1", "09 03 0A")
            assert "(command line)" in told["user"]
            assert not line.shared
        pty.unplug()

    asyncio.run(work())
    (event,) = cleared(loaded)
    assert event.fields["line"] == "rs485-1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody",), "no bus 'nobody'"),
        (("",), "one of rs485-1, inverters"),
        (("export-main",), "no bus 'export-main'"),
        (("rs485-1",), "no gateway runs here"),
        ((), "Missing argument 'BUS'"),
    ],
)
def test_a_bus_that_there_is_not_and_a_gateway_that_does_not_run_are_told(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    loaded = site(tmp_path / "site")
    loaded.data.mkdir(exist_ok=True)
    result = ordered(loaded.path, *words)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_bus_that_is_a_part_of_a_line_means_the_line(tmp_path: Path) -> None:
    second = (
        '[[bus]]\nname = "more"\ntype = "modbus-tcp"\nhost = "127.0.0.1"\nport = 5020\n[[bus.meter]]\nname = "pv-2"\n'
        'profile = "sunspec-inverter"\naddress = 2\n\n[seal]\n'
    )
    loaded = site(tmp_path / "site", {"[seal]\n": second})
    from gateway.cli_shared import _line_of

    assert _line_of(loaded, "more") == _line_of(loaded, "inverters") == "inverters_more"
