"""`meterseal totals`: what it answers of a site without a plan, and of periods that make no sense."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.clock import HOUR_MS
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.records import PollResult, Timestamp
from gateway.totals.as_json import totals_json
from gateway.totals.at_rest import totals_at_rest
from ledger_client.formats.senml import Reading, Value
from tests.support.commands import gateway_command
from tests.support.samples import Hands, Machine, site

BEGIN = datetime(2026, 6, 1, 22, tzinfo=UTC)
_IN_TOTALS = {
    'role = "emission"': 'role = "grid"', 'every = "60s"': 'every = "10s"', 'in_totals = false': 'in_totals = true'
}  # fmt: skip


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    """The main meter gives 3 kW and counts that; the inverter was read until 03:00."""
    made = site(tmp_path_factory.mktemp("totals") / "site", _IN_TOTALS)
    machine = Machine()
    machine.wall_ms = round(BEGIN.timestamp() * 1000)
    found = Hands(made, machine, seal_every_ms=10**9, commit_every_ms=10**9)
    found.store.run("PRAGMA synchronous = OFF")
    for n in range(6 * 14):
        now = Timestamp.now(found.clock)
        main = Value("active_power_total", -3000.0, "W"), Value("energy_export", Decimal(n) / 2, "kWh")
        found.journal.poll(PollResult("export-main", now.time_ms, Reading(now.time_ms, main), now))
        if n < 30:
            pv = Value("active_power", 2500, "W"), Value("energy_export", 1000 * n, "Wh")
            found.journal.poll(PollResult("pv-inverter", now.time_ms, Reading(now.time_ms, pv), now))
        if n < 6 * 14 - 1:
            machine.passes(600)
        found.journal.keep_time()
    found.journal.flush()
    yield found
    found.store.close()


def test_a_total_names_what_it_lacks(hands: Hands) -> None:
    loaded = _config(hands)
    now_ms = hands.machine.wall_ms
    found = totals_json("test-gateway", str(loaded.zone), totals_at_rest(loaded, hands.store, now_ms))
    silent = {"name": "pv-inverter", "why": "silent", "since": now_ms - (6 * 14 - 30) * 600_000}
    power, energy = found["power"], found["energy"]
    assert power["generation"] | {"missing": [silent]} == {
        "power_w": 3000, "complete": False, "computed": False, "of": 2, "known": 1, "uncertain": [],
        "missing": [silent],
    }  # fmt: skip
    assert power["consumption"]["power_w"] is None, "the grid meter was never read: nothing follows"
    assert power["import"]["missing"] == [{"name": "stack-co2", "why": "no-reading", "since": None}]
    assert (energy["source"], energy["timezone"], energy["as_of"]) == ("readings", "UTC", now_ms)
    today = energy["periods"]["today"]
    assert (today["from"], today["to"]) == (
        now_ms // 86_400_000 * 86_400_000,
        now_ms // 86_400_000 * 86_400_000 + 24 * HOUR_MS,
    )
    made = today["flows"]["generation"]
    assert made["energy_wh"] == 500 * (83 - 11) + 1000 * (29 - 11), "from the registers at 23:50 on"
    assert (made["complete"], made["known"], [lack["name"] for lack in made["missing"]]) == (False, 1, ["pv-inverter"])
    assert energy["periods"]["yesterday"]["flows"]["generation"]["complete"] is False, "it begins at 22:00"


@pytest.mark.parametrize(
    ("period", "words"),
    [
        ("last week", "is no period"),
        ("2026-13", "is no period"),
        ("2026-02-30", "is no period"),
        ("2999-01", "to come"),
    ],
)
def test_a_period_that_makes_no_sense_is_refused_with_the_fix(hands: Hands, period: str, words: str) -> None:
    answer = gateway_command("totals", _config(hands).path, "--period", period).ended(2)
    assert words in answer.err
    assert answer.out == ""


def _config(hands: Hands) -> Config:
    return load_config(hands.store.path.parent.parent / "gateway.toml")


def test_the_command_shows_one_period_or_all(hands: Hands) -> None:
    path = _config(hands).path
    one = gateway_command("totals", path, "--period", "2026-06", "--json").ended().facts
    assert list(one["energy"]["periods"]) == ["2026-06"]
    assert one["energy"]["periods"]["2026-06"]["flows"]["generation"]["energy_wh"] > 0
    text = gateway_command("totals", path).ended().out
    assert "readings, not accounts" in text
    assert "pv-inverter: silent since" in text
