"""A transformer ratio set in a meter that is not the one of the configuration: flags, a signed event and an alarm, by a
simulated meter of the catalog and a running epoch; and the end of the alarm after a restart."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from firmware_sim.cli.run import Simulator
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.records import RATIO_DIFFERS
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.senml import Quality, Reading
from tests.support.epochs import running, until
from tests.support.processes import free_port
from tests.support.samples import rewritten, site

METER = """[[bus]]
name = "line"
type = "modbus-tcp"
host = "127.0.0.1"
port = {port}

[[bus.meter]]
name = "metered"
profile = "chint-dtsu666"
address = 1
"""


def simulated(folder: Path, port: int, ct: int) -> Simulator:
    path = folder / f"plant-{ct}.toml"
    path.write_text(METER.format(port=port) + f"show = {{ ct_ratio = {ct}, pt_ratio = 1 }}\n")
    return Simulator(load_scenario(path), folder=folder, log=AnswerLog(folder / "answers.jsonl"))


async def watched(loaded: Config, simulator: Simulator, *, alarm: bool) -> list[str]:
    """The texts of the alarms about the ratio once there is one, or once there is none; and the meter has answered."""
    await simulator.open()
    try:
        async with running(loaded) as epoch:
            board = epoch.site.board

            def found() -> list[str]:
                return [
                    entry.text for entry in board.listed() if entry.code == RATIO_DIFFERS and entry.cleared_ms is None
                ]

            await until(lambda: epoch.site.live.meters["metered"].recorded and bool(found()) == alarm)
            return found()
    finally:
        simulator.close()


def bodies(loaded: Config, meter: str) -> list[Event | Reading]:
    with closing(Database(loaded.database, read_only=True)) as store:
        rows = store.records.rows(1, store.records.last_place())
        return [
            b for row in rows if row.meter == meter and isinstance(b := parse_record(row.data).body, Event | Reading)
        ]


def test_another_ratio_in_the_meter_is_an_alarm_and_its_values_are_implausible(tmp_path: Path) -> None:
    port = free_port()
    path = site(tmp_path / "site").path
    head = path.read_text().partition("\n[[bus]]")[0]
    meter = METER.format(port=port).replace('"modbus-tcp"', '"modbus-tcp"\nanswer_life = "1s"')
    path.write_text(f'{head}\n{meter}every = "500ms"\nct = "200/5"\npt = 1\n')
    loaded = rewritten(load_config(path))
    (problem,) = asyncio.run(watched(loaded, simulated(tmp_path, port, 50), alarm=True))
    assert problem == "metered on line: ct_ratio is 50 in the meter, but 40 in the configuration"
    found = bodies(loaded, "metered")
    events = [body for body in found if isinstance(body, Event) and body.name == RATIO_DIFFERS]
    assert [event.fields for event in events] == [{"ratios": {"ct_ratio": {"configured": "40", "read": "50"}}}]
    values = [value for body in found if isinstance(body, Reading) for value in body.values]
    doubted = {value.name for value in values if value.quality & Quality.IMPLAUSIBLE}
    assert {"current_l1", "active_power_total", "energy_import"} <= doubted
    assert not doubted & {"voltage_ln_l1", "frequency"}
    assert asyncio.run(watched(loaded, simulated(tmp_path, port, 40), alarm=False)) == []
    newest = [body for body in bodies(loaded, "metered") if isinstance(body, Reading)][-1]
    assert not any(value.quality & Quality.IMPLAUSIBLE for value in newest.values)
