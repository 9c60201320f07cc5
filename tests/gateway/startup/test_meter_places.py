"""A meter under another name at its place: check and reload warn, until the gateway has read it so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from gateway.commissioning import site_init
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.messages.message import Message
from gateway.startup import meter_places
from gateway.startup.line_plan import line_plan
from gateway.startup.line_specs import line_specs
from tests.support.commands import gateway_command

BUS = """
[[bus]]
name = "inverters"
type = "modbus-tcp"
host = "127.0.0.1"
port = 502
[[bus.meter]]
name = "pv"
profile = "sunspec-inverter"
address = 1
[[bus.meter]]
name = "main"
profile = "eastron-sdm630"
address = 2
"""


def made(folder: Path) -> Config:
    site_init.init(folder, site_init.NewSite(gateway="g", now_s=1_700_000_000, buses=BUS, ledger=None))
    config = load_config(folder / "gateway.toml")
    config.data.mkdir()
    return config


def test_a_renamed_meter_is_warned_of_until_it_is_read_under_its_new_name(tmp_path: Path) -> None:
    config = made(tmp_path / "site")
    meter_places.note(config.data, line_specs(config))
    config.path.write_text(config.path.read_text().replace('name = "pv"', 'name = "roof"'))
    assert gateway_command("keys", config.path, "--make-missing")[0] == 0
    code, printed, err = gateway_command("check", config.path)
    assert code == 0, err
    (place,) = [at for at, name in json.loads((config.data / "places.json").read_text()).items() if name == "pv"]
    renamed = Message("meter-renamed", meter="roof", before="pv", place=place)
    assert renamed.problem in " ".join(printed.split())
    assert 'keep name = "pv"' in printed
    meter_places.note(config.data, line_specs(load_config(config.path)))
    assert renamed.problem not in " ".join(gateway_command("check", config.path)[1].split())


def test_a_meter_that_moved_or_is_new_is_not_renamed(tmp_path: Path) -> None:
    config = made(tmp_path / "site")
    (spec,) = line_specs(config)
    meter_places.note(config.data, [spec])
    pv, main = spec.meters
    moved = [
        replace(spec, meters=(replace(pv, address=2), replace(main, address=1), replace(pv, name="new", address=3)))
    ]
    plans = [line_plan(spec) for spec in moved]
    assert meter_places.with_renamed(config.data, moved, plans) == plans
    (config.data / "places.json").write_text("[")
    assert meter_places.with_renamed(config.data, [spec], plans) == plans
