"""Months of a site with registers and a stack, stated at once when they are due, from the gateway's database."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from gateway.accounting.plans import catalog, documents
from gateway.accounting.plans.history import SignedPeriod, history_of
from gateway.accounting.plans.moments import span_ms
from gateway.cli.app import main
from gateway.process import control_socket
from gateway.records import GATEWAY, PollResult, Timestamp
from ledger_client.accounting.formats.civil_time import civil, month_ms
from ledger_client.accounting.formats.rows import Row, Rows, parse_row
from ledger_client.formats.senml import Reading, Value
from ledger_client.recompute.verdict import judge
from tests.gateway.accounting.statements.test_statement import assert_recomputed, rows_files
from tests.support.audited import FAR_S, receipted, trust_of
from tests.support.epochs import running
from tests.support.stated import EVERY_MS, OTHER, POINT, Site, accounted_site

HOUR_MS, DAY_MS, CIVIL = 3_600_000, 86_400_000, 480
STACK, PV = "stack-co2", f"{OTHER}/energy_export"
NORMAL = {"c": ("mg/l", 150), "Q": ("m3/s", 100), "t": ("Cel", 90), "p": ("Pa", 101_000)}


def planned(site: Site, version: int) -> None:
    """Two stations and a stack by hours."""
    counter = {"kind": "counter", "unit": "kWh", "sample": EVERY_MS, "max": 100_000, "wraps_at": 1_000_000}
    points: dict[str, Any] = {POINT: counter, PV: counter}
    for letter, (unit, _) in NORMAL.items():
        basis = {"basis": "dry"} if letter in "cQ" else {}
        points[f"{STACK}/{letter}"] = {"kind": "gauge", "unit": unit, "sample": 300_000, **basis}
    stations = {
        name: {"role": "production", "terms": [[1, point]], "profile": "hourly-60s"}
        for name, point in (("station", POINT), ("roof", PV))
    }
    inputs = {letter: f"{STACK}/{letter}" for letter in NORMAL}
    chimney = {"role": "emission", "method": "cems", "profile": "EU-MRR", "inputs": inputs}
    profiles = {name: dict(catalog.profiles()[name]) for name in ("hourly-60s", "EU-MRR")}
    nodes = {**stations, "chimney": chimney}
    site.publish(v=version, interval=3600, civil=CIVIL, points=points, nodes=nodes, profiles=profiles)


def quiet(site: Site, polls: int) -> None:
    """Nobody polls for so long, and so it is counted."""
    site.passes(polls)
    site.hands.journal.skip(site.hands.journal.rules.periods_ms)


def hours(site: Site, count: int, *, content: bool = True) -> None:
    """From a minute before an hour on: registers around its beginning, and the stack every five minutes."""
    for _ in range(count):
        site.polls(12)
        for step in range(12):
            now = Timestamp.now(site.hands.clock)
            shown = {letter: one for letter, one in NORMAL.items() if content or letter != "c"}
            values = tuple(Value(letter, number, unit) for letter, (unit, number) in shown.items())
            site.hands.journal.poll(PollResult(STACK, site.due_ms, Reading(now.time_ms, values), now))
            quiet(site, 30 if step < 11 else 18)
            site.hands.journal.keep_time()


def silent_until(site: Site, time_ms: int) -> None:
    """Registers around the hour that begins, and then nothing up to a minute before a time."""
    site.polls(12)
    quiet(site, (time_ms - 60_000 - site.machine.wall_ms) // EVERY_MS)


def three_months(site: Site, begins: list[int]) -> None:
    """In the second one another plan rules from the tenth day on, and the roof is closed on the twelfth."""
    planned(site, 1)
    hours(site, 3)
    silent_until(site, begins[1] - HOUR_MS)
    hours(site, 2)
    silent_until(site, begins[1] + 10 * DAY_MS)
    planned(site, 2)
    hours(site, 2)
    at_ms = begins[1] + 12 * DAY_MS
    silent_until(site, at_ms)
    deed = site.loaded.path.with_name("Deed of sale.PDF")
    deed.write_bytes(b"sold")
    closure = {"kind": "closure", "of": "roof", "from": at_ms, "to": at_ms, "values": {}, "reason": "sold", "user": "A"}
    site.event(GATEWAY, "entry", **closure, document=documents.keep(site.loaded.data, deed))
    deed.unlink()
    silent_until(site, begins[2] - HOUR_MS)
    hours(site, 2)
    silent_until(site, begins[3] - 2 * HOUR_MS)
    hours(site, 1)
    hours(site, 1, content=False)
    site.polls(30)
    site.stop()


def rows_of(site: Site, period: SignedPeriod) -> list[Row]:
    """The rows of a statement, from its file."""
    files = {(found := Rows.parse(path.read_bytes())).root: found for path in rows_files(site.loaded)}
    return [parse_row(row) for row in files[bytes(period.fields["rows"][1])].rows]


def test_all_that_is_due_is_stated_over_two_plans_and_a_closure_with_what_a_stack_uses(tmp_path: Path) -> None:
    now = civil(time.time_ns() // 1_000_000, CIVIL)
    begins = [month_ms(now.year - (now.month <= n), (now.month - n - 1) % 12 + 1, CIVIL) for n in (3, 2, 1, 0)]
    site = Site(tmp_path / "site", accounted_site(tmp_path / "site"), began_ms=begins[0])
    three_months(site, begins)

    async def due() -> list[dict[str, Any]]:
        words = ["statement", str(site.loaded.path), "--all-due", "--json"]
        done = await asyncio.to_thread(CliRunner().invoke, main, words)
        assert done.exit_code == 0, done.output + done.stderr
        return list(json.loads(done.stdout)["statements"])

    async def work() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        async with running(site.loaded):
            while not await asyncio.to_thread(control_socket.ask, site.loaded.data, "health"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # other threads begin it
            return await due(), await due()

    stated, again = asyncio.run(work())
    cut_ms = begins[1] + 10 * DAY_MS
    edges = [begins[0], begins[1], cut_ms, begins[2], begins[3]]
    assert [(one["from"], one["to"]) for one in stated] == list(pairwise(edges))
    assert again == []
    store = site.store()
    history = history_of(store)
    store.close()
    old, new = (signed.record for signed in history.plans)
    assert [period.fields["plan"] for period in history.periods] == [old, old, new, new]
    year_ms = month_ms(civil(begins[2], CIVIL).year, 1, CIVIL)
    last = history.periods[-1]
    reach_ms = min(year_ms, begins[2] - 120 * HOUR_MS)
    assert last.fields["uses"] == [period.record for period in history.periods[:-1] if period.to_ms > reach_ms]
    roof = [[row.to_ms for row in rows_of(site, period) if row.node == "roof"] for period in history.periods]
    assert (roof[2][-1], roof[3]) == (begins[1] + 12 * DAY_MS, [])
    (substitute,) = [row for row in rows_of(site, last) if row.status == "substituted"]
    valid = sum(
        row.status == "valid" and row.from_ms >= year_ms for period in history.periods for row in rows_of(site, period)
    )
    assert valid == sum(n for n, begin_ms in ((4, begins[0]), (4, begins[1]), (2, begins[2])) if begin_ms >= year_ms)
    assert (substitute.from_ms, substitute.facts["population"][2]) == (begins[3] - HOUR_MS, valid)
    assert_recomputed(site.loaded, tmp_path / "out", 4)
    export_of_the_last_month(site, tmp_path / "evidence", f"{civil(begins[2], CIVIL):%Y-%m}", len(last.fields["uses"]))


def export_of_the_last_month(site: Site, folder: Path, month: str, used: int) -> None:
    """Nothing is written before all has receipts; then the folder alone is enough, with the plan and the closure of
    earlier batches, the rows that the stack's population is of, and the closure's document."""
    command = ["export", str(site.loaded.path), "--period", month, "-o", str(folder)]
    waits = CliRunner().invoke(main, command)
    assert (waits.exit_code, "no gateway is running" in waits.stderr, folder.exists()) == (2, True, False)
    receipted(site.loaded.database)
    done = CliRunner().invoke(main, [*command, "--json"])
    assert done.exit_code == 0, done.output + done.stderr
    facts = json.loads(done.stdout)
    store = site.store()
    last = history_of(store).periods[-1]
    store.close()
    first = last.fields["batches"][0][0]
    assert (first > 1, facts["batches"][0].endswith(f"{first:010d}.mbatch")) == (True, True)
    assert (facts["lacking"], len(facts["rows"])) == ([], 1 + used)
    (deed,) = map(Path, facts["documents"])
    assert (deed.read_bytes(), deed.suffix) == (b"sold", ".pdf")
    trust = trust_of(site.loaded)
    verdict = judge([folder], trust, FAR_S, period=lambda civil_min: span_ms(month, civil_min), processes=1)
    assert [why.rule for why in verdict.why] == ["T7"]  # hours of the stack lack, and nothing else does
    (of_gateway,) = verdict.gateways
    assert of_gateway.result.equal
    assert [one.record for one in of_gateway.result.periods] == [last.record]
    nothing = CliRunner().invoke(main, ["export", str(site.loaded.path), "--period", "1999-01", "-o", str(folder)])
    assert (nothing.exit_code, "nothing of 1999-01 is stated" in nothing.stderr) == (2, True)
