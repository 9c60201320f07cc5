"""Measured values at `/metrics`: off by default, in base units, and never a bad or an old one."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric

from gateway.config.load import load_config
from gateway.config.metrics_values import value_series
from gateway.config.model import Config
from gateway.devices.knowledge.base_units import metric_unit, metrics
from gateway.devices.knowledge.quantities import UNITS
from gateway.errors import ConfigError
from gateway.messages.message import Message
from gateway.records import PollResult, Timestamp
from ledger_client.formats.senml import Quality, Reading, Value
from tests.gateway.status.test_exposition import DOCUMENT, METER, scraped, value
from tests.support.epochs import due_ms, epoch, until
from tests.support.gateways.sites import believed
from tests.support.samples import Ahead, site

WEB = '\n[web]\nlisten = "127.0.0.1:0"\n'


def watched(folder: Path, dimensions: str, changes: dict[str, str] | None = None) -> Config:
    """A site whose values of these dimensions are metrics."""
    made = site(folder / "site", {"http://127.0.0.1:8700": "http://127.0.0.1:1", **(changes or {})})
    believed(folder / "ledger", made)
    with made.path.open("a") as file:
        file.write(f"{WEB}metrics_values = {dimensions}\n")
    return load_config(made.path)


def series(families: dict[str, Metric], name: str) -> list[dict[str, str]]:
    return [s.labels for f in families.values() for s in f.samples if s.name == name]


def test_each_unit_of_each_dimension_has_one_base_unit() -> None:
    for dimension, units in UNITS.items():
        for unit in units:
            assert metric_unit(dimension, unit) is not None, (dimension, unit)
    energy, share, ratio = (
        metric_unit(*of) for of in (("active energy", "kWh"), ("concentration", "ppm"), ("ratio", "/100"))
    )
    assert (energy and energy.metric, energy and energy.factor) == ("active_energy_joules", 3_600_000.0)
    assert (share and share.metric, share and share.factor) == ("concentration_ratio", 1e-6)
    assert (ratio and ratio.metric, ratio and ratio.factor) == ("ratio", 0.01)


def test_the_document_lists_the_metrics_of_each_dimension() -> None:
    rows = re.findall(r"(?m)^\| ([a-z ]+) \| ((?:`meterseal_\w+`(?:, )?)+) \|", DOCUMENT.read_text())
    written = {dimension: tuple(re.findall(r"`meterseal_(\w+)`", names)) for dimension, names in rows}
    assert written == metrics()
    assert metrics().keys() == UNITS.keys()


@pytest.mark.parametrize("is_reversed", [False, True])
def test_values_have_base_units_and_bad_and_old_ones_no_series(tmp_path: Path, *, is_reversed: bool) -> None:
    turn = {'role = "generation"  ': 'reversed = true\n  role = "generation"  '} if is_reversed else {}
    loaded = watched(tmp_path, '["active power", "active energy"]', turn)
    values = (
        Value("active_power_total", Decimal("1.5"), "W"),
        Value("active_power_l1", 7, "W", int(Quality.RANGE_HIGH)),
        Value("active_power_l2", 8, "W", int(Quality.CLOCK_UNSYNC)),
        Value("energy_import", Decimal("2.5"), "kWh"),
        Value("voltage_ln_l1", 230, "V"),
    )

    async def story() -> None:
        async with epoch(loaded) as running:
            now = Timestamp.now(running.clock)
            running.recorder.put(PollResult(METER, await due_ms(running, METER), Reading(now.time_ms, values), now))
            await until(lambda: running.live.meters[METER].recorded)
            found = await scraped(running)
            labels = {"meter": METER, "line": "rs485-1", "role": "generation"}
            total = {**labels, "quantity": "active_power_total", "phase": ""}
            assert value(found, "meterseal_active_power_watts", **total) == (-1.5 if is_reversed else 1.5)
            assert {one["quantity"] for one in series(found, "meterseal_active_power_watts")} == {
                "active_power_total", "active_power_l2",
            }  # fmt: skip
            assert value(found, "meterseal_active_power_watts", quantity="active_power_l2", phase="L2")
            energy = "energy_export" if is_reversed else "energy_import"
            assert value(found, "meterseal_active_energy_joules_total", **labels, quantity=energy, phase="") == 9e6
            assert not any("volts" in name for name in found)
            later = await scraped(replace(running, clock=Ahead(31)))
            assert not any("active" in name for name in later)

    asyncio.run(story())


def test_none_has_a_series_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert list(value_series(load_config(site(tmp_path).path))) == []


def refusal(error: ConfigError) -> Message:
    assert error.message is not None
    what = error.message.facts["what"]
    assert isinstance(what, Message)
    return what


def test_a_dimension_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        watched(tmp_path, '["active powr"]')
    assert (refusal(caught.value).code, refusal(caught.value).facts["known"]) == (
        "web-values-dimension",
        ("active power",),
    )


def test_more_than_2000_series_are_refused(tmp_path: Path) -> None:
    loaded = watched(tmp_path, json.dumps(list(UNITS)))
    few = len(list(value_series(loaded)))
    line = '[[bus]]\nname = "wide"\ntype = "modbus-rtu-over-tcp"\nhost = "127.0.0.1"\nport = 2\n'
    meter = '[[bus.meter]]\nname = "m-{0}"\nprofile = "eastron-sdm630"\naddress = {0}\nevery = "10m"\n'
    with loaded.path.open("a") as file:
        file.write(line + "".join(meter.format(number) for number in range(1, 121)))
    with pytest.raises(ConfigError) as caught:
        load_config(loaded.path)
    assert refusal(caught.value).code == "web-values-many"
    assert refusal(caught.value).facts["count"] == few + 120 * 18
