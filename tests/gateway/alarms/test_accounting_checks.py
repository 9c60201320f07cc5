"""Alarms of the accounting: each raised and cleared over a real database, and none on a site without a plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.accounting.hours.feeding import feed
from gateway.accounting.plans import catalog
from gateway.accounting.plans.history import history_of
from gateway.accounting.statements.keeper import Keeper
from gateway.accounting.statements.stating import due, make
from gateway.alarms.accounting_checks import AccountingChecks
from gateway.alarms.accounting_found import AccountingFound
from gateway.config.load import load_config
from gateway.records import GATEWAY, PollResult, Timestamp
from gateway.storage.capacity import exported
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.senml import Reading, Value
from tests.support.samples import START_S, settle
from tests.support.stated import EVERY_MS, METER, Site

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
CODES = {"hour-lost", "stack-silent", "statement-overdue", "export-overdue", "factor-outdated", "over-issued"}
STATION = (GATEWAY, "plan main, node station")
STACK = "stack-co2"
CHIMNEY = (GATEWAY, "plan main, node chimney")
NORMAL = {"c": ("mg/l", 150), "Q": ("m3/s", 100), "t": ("Cel", 90), "p": ("Pa", 101_000)}
JANUARY_END_MS = 1_801_411_200_000  # 2027-02-01T00:00:00+08:00


def site_of(folder: Path) -> Site:
    return Site(folder / "site", began_ms=START_S * 1000)


class Watch:
    """The checks of an epoch with their keeper, at the machine's time or later."""

    def __init__(self, site: Site) -> None:
        self.later_ms = 0
        self.checks = AccountingChecks()
        self.keeper = Keeper(site.loaded.database, lambda: site.machine.wall_ms + self.later_ms)

    def run(self, site: Site, *, later_ms: int = 0) -> AccountingFound:
        self.later_ms = later_ms
        return self.checks.run(site.loaded, self.keeper.read(), site.machine.wall_ms + later_ms)


def look(site: Site, watch: Watch | None = None, *, later_ms: int = 0) -> AccountingFound:
    site.hands.journal.flush()
    return (watch or Watch(site)).run(site, later_ms=later_ms)


def texts(found: Mapping[tuple[str, str], tuple[Any, int | None]]) -> dict[tuple[str, str], str]:
    return {key: str(sentence) for key, (sentence, _) in found.items()}


def past(found: AccountingFound) -> list[str]:
    """Of the station: what is reported once."""
    return [
        str(sentence).removeprefix("plan main, node station: ") for key, (sentence, _) in found.past if key == STATION
    ]


def test_a_site_without_a_plan_raises_nothing(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    site.polls(200)
    nothing = AccountingFound({code: {} for code in CODES})
    assert look(site) == nothing
    assert look(site, later_ms=400 * DAY_MS) == nothing
    site.stop()
    site.loaded.database.unlink()
    assert Watch(site).run(site) == AccountingFound()


def test_a_month_that_nobody_states_is_overdue_after_five_days_until_it_is_stated(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    checks = Watch(site)
    site.publish()
    site.polls(90 * 2)
    site.passes((JANUARY_END_MS - site.machine.wall_ms) // EVERY_MS - 180)
    site.polls(270)
    at_ms = JANUARY_END_MS - site.machine.wall_ms
    assert look(site, checks, later_ms=at_ms + 5 * DAY_MS - 1).alarms["statement-overdue"] == {}
    overdue = look(site, checks, later_ms=at_ms + 5 * DAY_MS).alarms["statement-overdue"]
    assert list(overdue) == [(GATEWAY, "plan main")]
    assert "from 2027-01-15T08:00:00" in texts(overdue)[GATEWAY, "plan main"]
    assert overdue[GATEWAY, "plan main"][1] == JANUARY_END_MS
    (part,) = due(history_of(site.hands.store), "main", site.machine.wall_ms)
    made = make(site.hands.store, history_of(site.hands.store), part, site.loaded.data / "statements", None)
    site.event(GATEWAY, "period", **made.statement.fields)
    assert look(site, checks, later_ms=at_ms + 5 * DAY_MS).alarms["statement-overdue"] == {}
    site.stop()


def test_an_export_is_overdue_when_pruning_has_waited_for_it_for_a_day(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    checks = Watch(site)
    text = site.loaded.path.read_text().replace("[store]", '[store]\nkeep = "2d"')
    site.loaded.path.write_text(text)
    site.loaded = load_config(site.loaded.path)
    site.publish()
    site.polls(90)
    store = site.hands.store
    settle(store, [batch.batch for batch in store.batches.all()], PrivateKey.generate())
    first = store.batches.first()
    assert first is not None
    later_ms = first.sealed_ms + 3 * DAY_MS - site.machine.wall_ms
    assert look(site, checks, later_ms=later_ms - 1).alarms["export-overdue"] == {}
    overdue = look(site, checks, later_ms=later_ms).alarms["export-overdue"]
    assert list(overdue) == [(GATEWAY, "export")]
    text = texts(overdue)[GATEWAY, "export"]
    assert "batch 0, sealed 2027-01-15T08:00:00" in text
    assert "left at this rate" in text
    exported.note(store, store.batches.all())
    assert look(site, checks, later_ms=later_ms).alarms["export-overdue"] == {}
    site.stop()


def test_lost_hours_are_named_while_they_go_on_and_end_with_the_next_that_is_measured(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    checks = Watch(site)
    site.publish()
    site.polls(90 * 2 + 6)
    fine = look(site, checks)
    assert (fine.alarms["hour-lost"], fine.past) == ({}, [])
    site.polls(90 * 2, answered=False)  # two edges that nobody knows
    site.polls(24, answered=False)
    lost = look(site, checks).alarms["hour-lost"]
    assert texts(lost)[STATION].endswith("to 2027-01-15T09:00:00.000Z it is unallocated")
    assert look(site, checks).alarms["hour-lost"] == lost  # nothing new has ended
    site.polls(90)
    over = look(site, checks)
    assert over.alarms["hour-lost"] == {}
    assert past(over) == ["from 2027-01-15T08:15:00.000Z to 2027-01-15T09:15:00.000Z it is unallocated"]
    site.stop()


def test_an_hour_that_is_lost_between_others_is_named_once(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    checks = Watch(site)
    site.publish()
    site.polls(90 + 40)
    site.register = 5  # set back, without an entry: what was counted between is unknown
    site.polls(90 + 30)
    found = look(site, checks)
    assert found.alarms["hour-lost"] == {}
    assert past(found) == ["from 2027-01-15T08:15:00.000Z to 2027-01-15T08:30:00.000Z it is unknown"]
    assert look(site, checks).past == []
    site.stop()


def test_what_ended_while_the_gateway_was_off_is_named_after_its_start_and_nothing_twice(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    site.publish()
    site.polls(90 + 40)
    site.register = 5
    site.polls(90 + 30)
    assert len(past(look(site))) == 1
    site.stop()
    site.machine.passes(2 * 3600)
    site.start()
    site.polls(90 + 40)
    again = look(site)
    assert past(again) == ["from 2027-01-15T08:30:00.000Z to 2027-01-15T10:45:00.000Z it is unallocated"]
    site.stop()


def stack_plan(site: Site, *, sample_ms: int = 300_000) -> dict[str, Any]:
    points = {
        f"{STACK}/{letter}": {"kind": "gauge", "unit": unit, "sample": sample_ms}
        for letter, (unit, _) in NORMAL.items()
    }
    for letter in ("c", "Q"):
        points[f"{STACK}/{letter}"]["basis"] = "dry"
    node = {
        "role": "emission", "method": "cems", "profile": "EU-MRR",
        "inputs": {letter: f"{STACK}/{letter}" for letter in NORMAL},
    }  # fmt: skip
    profiles = {"EU-MRR": dict(catalog.profiles()["EU-MRR"])}
    return {"interval": 3600, "points": points, "nodes": {"chimney": node}, "profiles": profiles}


def gauges(site: Site, hours: int) -> None:
    """The stack is polled every five minutes."""
    for _ in range(hours * 12):
        now = Timestamp.now(site.hands.clock)
        values = tuple(Value(letter, number, unit) for letter, (unit, number) in NORMAL.items())
        site.hands.journal.poll(PollResult(STACK, site.due_ms, Reading(now.time_ms, values), now))
        site.passes(30)
        site.hands.journal.keep_time()


def test_a_stack_that_is_not_measured_is_told_after_96_hours_until_an_hour_is_valid(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    checks = Watch(site)
    site.publish(**stack_plan(site))
    site.machine.passes(60)
    gauges(site, 3)
    found = look(site, checks, later_ms=120_000)
    assert (found.alarms["stack-silent"], found.alarms["hour-lost"]) == ({}, {})
    valid_ms = site.machine.wall_ms // HOUR_MS * HOUR_MS
    site.passes(95 * HOUR_MS // EVERY_MS)
    assert look(site, checks, later_ms=180_000).alarms["stack-silent"] == {}
    site.passes(HOUR_MS // EVERY_MS)
    site.hands.journal.keep_time()
    found = look(site, checks, later_ms=180_000)
    silent = found.alarms["stack-silent"]
    assert texts(silent)[CHIMNEY] == "plan main, node chimney: no valid hour since 2027-01-15T11:00:00.000Z"
    assert silent[CHIMNEY][1] == valid_ms
    assert texts(found.alarms["hour-lost"])[CHIMNEY].endswith("it is missing")
    fresh = look(site, later_ms=180_000)  # as after a start: no valid hour in two days, so four are looked at
    assert list(fresh.alarms["stack-silent"]) == [CHIMNEY]
    gauges(site, 2)
    found = look(site, checks, later_ms=180_000)
    assert (found.alarms["stack-silent"], found.alarms["hour-lost"]) == ({}, {})
    site.stop()


def test_a_month_of_records_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, read = site_of(tmp_path), list[int]()
    checks = Watch(site)

    def counted(*words: Any, **also: Any) -> Any:
        fed = feed(*words, **also)
        read.append(fed.records)
        return fed

    monkeypatch.setattr("gateway.accounting.hours.ahead.feed", counted)
    site.publish(**stack_plan(site))
    site.machine.passes(60)
    for _ in range(5):
        gauges(site, 3)
        look(site, checks)
        look(site, checks)
    assert len(read) == 5  # once for what has ended, not at each look
    assert max(read[3:]) < 200  # the hours that are new and two before, however long the site has run
    site.stop()


def factor(vintage: int) -> dict[str, Any]:
    (found,) = [f for f in catalog.factors() if f["series"] == "CN-average" and f["vintage"] == vintage]
    return dict(found)


def electricity(*vintages: int, rule: str = "year-of-use") -> dict[str, Any]:
    node = {
        "role": "emission", "method": "electricity", "profile": "own-test", "terms": [[1, f"{METER}/energy_export"]],
        "factor": "CN-average", "factor_rule": rule,
    }  # fmt: skip
    return {"nodes": {"grid": node}, "factors": [factor(vintage) for vintage in vintages]}


def test_a_factor_is_outdated_where_the_product_has_a_later_one_until_the_plan_has_it(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    checks = Watch(site)
    site.publish(**electricity(2021, 2022))
    outdated = look(site, checks).alarms["factor-outdated"]
    assert texts(outdated) == {
        (GATEWAY, "plan main, node grid"): "plan main, node grid: the factor of CN-average is of 2022, "
        "that of 2023 is published"
    }
    site.publish(**electricity(2021, 2022, 2023), v=2)
    assert look(site, checks).alarms["factor-outdated"] == {}
    site.publish(**electricity(2021, rule="fixed"), v=3)
    assert look(site, checks).alarms["factor-outdated"] == {}
    site.stop()
