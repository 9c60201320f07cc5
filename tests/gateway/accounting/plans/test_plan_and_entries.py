"""Plan and entries: from a draft to events that the running gateway has signed, each once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway.accounting.plans import catalog, documents
from gateway.accounting.plans.history import history_of
from gateway.accounting.plans.plan_check import check_plan, last_place
from gateway.accounting.plans.plan_file import read_plan
from gateway.cli.app import main
from gateway.config.device_keys import make_missing
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.accounting.formats.regimes import parse_regime
from ledger_client.accounting.formats.standings import judged
from tests.support.epochs import running
from tests.support.register_points import register_point
from tests.support.samples import START_S, site

IMPORT = '[points."export-main/energy_import"]'
NODE = """
[nodes.station]
role = "production"
terms = [[1, "export-main/energy_export"]]
profile = "hourly"
capacity = 100000
"""


UNUSED = """
[site.unused]
stack-co2 = "not stated yet"
pv-inverter = "behind the meter"
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


def planned(loaded: Config, node: str = NODE, **changes: str) -> Path:
    """A plan of one node, as somebody fills the draft in."""
    done = run("plan", "init", loaded.path)
    assert done.exit_code == 0, done.stderr
    path = loaded.path.with_name("plan.toml")
    text = (
        path.read_text().replace("# max = ", "max = 100 #").replace("# wraps_at = ", "wraps_at = 1000000 #")
        + node
        + UNUSED
    )
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_a_draft_has_every_recorded_counter_and_is_never_overwritten(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    path = planned(loaded)
    fields = read_plan(path)
    counters = {"export-main/energy_import", "export-main/energy_export", "pv-inverter/energy_export"}
    assert set(fields["points"]) == counters
    assert {point["sample"] for point in fields["points"].values()} == {10_000}
    assert list(fields["profiles"]) == ["hourly"]
    again = run("plan", "init", loaded.path)
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)


def test_every_profile_that_comes_along_is_one() -> None:
    assert {"hourly", "hourly-60s"} <= set(catalog.profiles())
    for name, fields in catalog.profiles().items():
        parse_regime(name, fields)


def outlook(loaded: Config, node: str, sample_ms: int, interval: int) -> tuple[str, int]:
    fields: dict[str, Any] = read_plan(planned(loaded, node))
    for point in fields["points"].values():
        point["sample"] = sample_ms
    fields["interval"] = interval
    loaded.path.with_name("plan.toml").unlink()
    (found,) = check_plan(loaded, fields).outlooks
    return found.best, found.measured_ms


def test_check_says_what_hours_can_become(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    minute = NODE.replace('"hourly"', '"hourly-60s"')
    assert outlook(loaded, NODE, 18_000, 3600) == ("measured", 18_000)
    assert outlook(loaded, NODE, 18_001, 3600) == ("split", 18_000)
    assert outlook(loaded, NODE, 4_500, 900) == ("measured", 4_500)
    assert outlook(loaded, minute, 60_000, 3600) == ("measured", 72_000)
    assert outlook(loaded, minute, 900_000, 3600) == ("split", 72_000)


def test_check_names_what_makes_a_plan_useless(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    planned(
        loaded, NODE.replace("100000", "100"), **{'sample = "10s"': 'sample = "20s"', 'unit = "kWh"': 'unit = "MWh"'}
    )
    done = run("plan", "check", loaded.path)
    assert done.exit_code == 1
    assert "is recorded in kWh" in done.stdout
    assert "the meter is read every 10s" in done.stdout
    facts = json.loads(run("plan", "check", loaded.path, "--json").stdout)
    assert (facts["ok"], facts["nodes"][0]["best"]) == (False, "split")
    loaded.path.with_name("plan.toml").unlink()
    planned(loaded, "")
    none = run("plan", "check", loaded.path)
    assert (none.exit_code, "no node" in none.stdout) == (1, True)


LOAD = """
[nodes.load]
role = "consumption"
terms = [[1, "pv-inverter/energy_export"], [-1, "export-main/energy_import"]]
profile = "hourly"
"""


def test_what_a_regulator_would_ask_for_needs_a_reason_and_stays_unusual(tmp_path: Path) -> None:
    """A production by another role's meter, a load less a register, a meter of no node."""
    loaded = site(tmp_path / "site")
    loaded.path.write_text(loaded.path.read_text().replace('role = "generation" ', 'role = "consumption" ', 1))
    path = planned(load_config(loaded.path), NODE + LOAD)
    whole = path.read_text()
    path.write_text(whole.replace('stack-co2 = "not stated yet"', ""))
    done = run("plan", "check", loaded.path, "--json")
    assert done.exit_code == 1, done.stderr
    facts = json.loads(done.stdout)
    assert [one["code"] for one in facts["unusual"]] == ["role", "negative-term", "meter-unused"]
    assert [any(word in problem for problem in facts["problems"]) for word in ("station", "load", "stack-co2")] == [
        True
    ] * 3
    for node, reason in ((NODE, "its only meter"), (LOAD, "fed back")):
        whole = whole.replace(node, node.replace("terms", f'reason = "{reason}"\nterms'))
    path.write_text(whole)
    done = run("plan", "check", loaded.path, "--json")
    facts = json.loads(done.stdout)
    assert (done.exit_code, facts["problems"]) == (0, [])
    assert [one["reason"] for one in facts["unusual"]] == ["its only meter", "fed back", "not stated yet"]


OWN_PROFILE = """
[profiles.own-easy]
version = "1"
edge = 0.5
accept = []

[profiles.own-easy.clauses]
edge = "ours"
accept = "ours"
"""


def test_check_shows_what_a_recomputation_will_list_of_a_plan(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    path = planned(loaded, NODE.replace('"hourly"', '"own-easy"'))
    path.write_text(path.read_text() + OWN_PROFILE)
    done = run("plan", "check", loaded.path, "--json")
    found = {one["code"]: one["of"] for one in json.loads(done.stdout)["unusual"]}
    assert found["own-profile"] == "own-easy", done.stdout


def test_check_says_what_counters_count_as_seen_from_the_grid(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    text = loaded.path.read_text()
    planned(loaded)
    assert "station (production): + export-main/energy_export counts export" in run("plan", "check", loaded.path).stdout
    loaded.path.write_text(text.replace("  address = 1\n", "  address = 1\n  reversed = true\n", 1))
    done = run("plan", "check", loaded.path, "--json")
    (found,) = json.loads(done.stdout)["directions"]
    assert (found["counts"], found["reversed"], found["against"], done.exit_code) == ("import", True, True, 0)
    assert any("counts import" in note for note in json.loads(done.stdout)["notes"])


def test_a_register_that_is_coarse_beside_the_capacity_is_noted(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    profile = loaded.profiles["export-main"]
    coarse = register_point(
        "energy_export", 3, 0, "uint32", 2, word_order="little", scale=-1, unit="kWh", kind="counter"
    )
    exact = replace(profile, points=(*(p for p in profile.points if p.name != coarse.name), coarse))
    counted = replace(loaded, profiles={**loaded.profiles, "export-main": exact})
    assert last_place(coarse, {}) == Fraction(1, 10)
    fields = read_plan(planned(loaded, NODE.replace("100000", "5000")))
    notes = [str(note) for note in check_plan(counted, fields).notes]
    assert notes == ["export-main/energy_export: its last place is 2 % of an interval of station at capacity"]


async def analyses(loaded: Config, register: str) -> None:
    """Carbon of two halves of a month, and one of the whole month: it names both, or is not signed. What cannot be, or
    is in another unit than the register, is not signed either."""

    async def lab(days: tuple[int, int], *words: str) -> Result:
        times = ("--from", f"2026-10-{days[0]:02}T00:00:00Z", "--to", f"2026-10-{days[1]:02}T00:00:00Z")
        return await asyncio.to_thread(
            run, "entry", loaded.path, "lab", "station", *times, "--reason", "x", "--json", *words
        )

    halves = [await lab(days, "C_ar=0.61") for days in ((1, 16), (16, 31))]
    records = [json.loads(half.stdout)["record"] for half in halves]
    whole = await lab((1, 31), "C_ar=0.62")
    assert (whole.exit_code, "2 entries" in whole.stderr) == (1, True)
    assert f"--replaces {records[0]} --replaces {records[1]}" in whole.stderr
    one = await lab((1, 31), "C_ar=0.62", "--replaces", records[1])
    assert (one.exit_code, f"--replaces {records[1]} --replaces {records[0]}" in one.stderr) == (1, True)
    assert (await lab((5, 6), "M_ar=11")).exit_code == 0, "another letter"
    both = await lab((1, 31), "C_ar=0.62", "--replaces", records[0], "--replaces", records[1])
    assert both.exit_code == 0, both.stderr
    bad = await lab((1, 2), "OF=1.2")
    assert (bad.exit_code, "entry.values.OF" in bad.stderr, "above 0 and up to 1 (M6)" in bad.stderr) == (2, True, True)
    of = ("entry", loaded.path, "register", "export-main/energy_export", "final=1", "initial=0", "--reason", "x")
    at = ("--at", "2026-11-04T10:00:00+08:00", "--unit", "kg", "--replaces", register)
    unit = await asyncio.to_thread(run, *of, *at)
    assert (unit.exit_code, "kg is no unit of export-main/energy_export" in unit.stderr) == (2, True)


def test_the_running_gateway_signs_plan_and_entries_once(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    make_missing(loaded, START_S)
    planned(loaded)
    stopped = run("plan", "publish", loaded.path)
    assert (stopped.exit_code, "no gateway is running" in stopped.stderr) == (2, True)
    protocol = tmp_path / "protocol.pdf"
    protocol.write_bytes(b"final 123.4, initial 1")
    entry = ("entry", loaded.path, "register", "export-main/energy_export", "final=123.4", "initial=0", "--reason", "x")

    async def work() -> None:
        async with running(loaded):
            first = await asyncio.to_thread(run, "plan", "publish", loaded.path, "--json")
            assert first.exit_code == 0, first.stderr
            again = await asyncio.to_thread(run, "plan", "publish", loaded.path, "--json")
            assert json.loads(first.stdout) == json.loads(again.stdout)
            path = loaded.path.with_name("plan.toml")
            path.write_text(path.read_text().replace("capacity = 100000", "capacity = 200000"))
            other = await asyncio.to_thread(run, "plan", "publish", loaded.path, "--json")
            assert json.loads(other.stdout)["version"] == 2
            at = ("--at", "2026-11-03T10:00:00+08:00")
            stated = await asyncio.to_thread(run, *entry, *at, "--json")
            assert stated.exit_code == 0, stated.stderr
            unknown = await asyncio.to_thread(run, "entry", loaded.path, "closure", "nowhere", "--reason", "x", *at)
            assert (unknown.exit_code, "no published plan" in unknown.stderr) == (2, True)
            twice = await asyncio.to_thread(run, *(w if w != "initial=0" else "initial=1" for w in entry), *at)
            assert twice.exit_code == 1
            record = json.loads(stated.stdout)["record"]
            assert f"--replaces {record}" in twice.stderr
            corrected = await asyncio.to_thread(
                run, *(w if w != "initial=0" else "initial=1" for w in entry), *at, "--replaces", record,
                "--document", protocol,
            )  # fmt: skip
            assert corrected.exit_code == 0, corrected.stderr
            await analyses(loaded, corrected.stdout.split()[-1])

    asyncio.run(work())
    store = Database(loaded.database, read_only=True)
    history = history_of(store)
    store.close()
    assert [signed.plan.version for signed in history.plans] == [1, 2]
    assert [dict(e.values).get("initial") for _, e in history.entries] == [0, 1, None, None, None, None]
    assert judged([e for _, e in history.entries]).findings == 0
    assert history.entries[1][1].replaces == (history.entries[0][1].record,)
    protocol.unlink()
    kept = documents.copy_of(loaded.data, history.entries[1][1].document or b"")
    assert kept is not None
    assert kept.read_bytes() == b"final 123.4, initial 1"
    kept.write_bytes(b"final 123.4, initial 0")
    assert documents.copy_of(loaded.data, history.entries[1][1].document or b"") is None
